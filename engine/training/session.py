"""What the phases of a run share: configuration, model, ledger, journal, control; put together in pipeline/setup.py."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from engine.adapters import fingerprint
from engine.adapters.ledger import Ledger
from engine.adapters.lora import AdapterSpec
from engine.contract.journal.events import Phase
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig
from engine.data.chat_template import Renderer
from engine.data.curriculum import Curriculum
from engine.model.logprobs import Scorer
from engine.model.sentence_embedder import Embedder
from engine.runtime.control import Control
from engine.runtime.recorder import Recorder
from engine.runtime.score_log import ScoreLog
from engine.training.checkpoint import Checkpoint
from engine.training.optimizer import Updater


@dataclass(slots=True)
class Attached:
    """A phase whose adapter is on the model.

    `frozen` holds digests of the weights under it, `step` the optimizer steps done, `refused` those that were not
    finite, `reference` what DPO compares with; `whole` is set when every check after the last step has held, and
    nothing is committed without it.
    """

    topic: str
    attempt: int
    phase: Phase
    spec: AdapterSpec
    updater: Updater
    frozen: dict[str, str]
    modules: int
    expected: int
    reference: dict[str, mx.array]
    step: int = 0
    refused: int = 0
    whole: bool = False

    @property
    def base(self) -> str:
        return fingerprint.fingerprint(self.frozen)


@dataclass(slots=True)
class Session:
    """A run at work.

    `probe` is (1, L) token ids of a fixed text; `resume` is the checkpoint to go on from, until its phase has begun;
    `attached` is the phase whose adapter is on the model.
    """

    config: RunConfig
    run: RunDir
    recorder: Recorder
    control: Control
    curriculum: Curriculum
    renderer: Renderer
    ledger: Ledger
    scorer: Scorer
    base: Scorer  # of the base model, which is never trained
    embedder: Embedder
    probe: mx.array
    parameters: int
    resume: Checkpoint | None = None
    attached: Attached | None = None
    dpo_rolled_back: int = 0  # topics in a row
    collapsed: bool = False  # whether a phase of the topic at work broke the answers
    scoring: Any = None  # what evaluation scores answers with, as soon as it is fitted
    scored: ScoreLog = field(default_factory=ScoreLog)  # the answers of this run so far
    pieces: int = 1  # of a micro-batch, worked on one after another where memory asks for it

    @property
    def model(self) -> nn.Module:
        return self.ledger.model

    def parts(self, rows: Sequence[int]) -> list[list[int]]:
        """A micro-batch in its pieces."""
        size = math.ceil(len(rows) / self.pieces)
        return [list(rows[start : start + size]) for start in range(0, len(rows), size)]

    @property
    def layers(self) -> int:
        model: Any = self.ledger.model
        return len(model.layers)
