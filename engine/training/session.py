"""Session: the state that all phases of a run share, such as model, ledger, journal and control.

pipeline/setup.py creates it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from engine.adapters import fingerprint
from engine.adapters.ledger import Ledger
from engine.adapters.lora import AdapterSpec
from engine.contract.journal.events import Phase
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig, SupervisedConfig
from engine.contract.vocabulary import FOUNDATION
from engine.data.curriculum import Curriculum
from engine.data.templates.chat_template import Renderer
from engine.data.topic import Topic
from engine.model.logprobs import Scorer
from engine.model.sentence_embedder import Embedder
from engine.runtime.control import Control
from engine.runtime.recorder import Recorder
from engine.runtime.score_log import ScoreLog
from engine.runtime.set_aside import SetAside
from engine.training.checkpoint import Checkpoint, Measure
from engine.training.optimizer import Updater


@dataclass(slots=True)
class ActiveAdapter:
    """A phase in progress: its adapter is attached to the model.

    `frozen` holds digests of the weights under the adapter. `step` counts the optimizer steps done; `refused` counts
    those that were not finite. `reference` is DPO's reference. `measures` are the validations so far; `best` is the
    adapter of the best one, and `best_digest` its digest at that step. `whole` becomes True when every check after
    the last step has held; nothing is committed without it.
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
    measures: list[Measure] = field(default_factory=list)
    best: dict[str, mx.array] = field(default_factory=dict)
    best_digest: str = ""

    @property
    def base(self) -> str:
        return fingerprint.fingerprint(self.frozen)


FewScores = tuple[float, tuple[str, ...]]  # the mean score of a few answers, and the answers


@dataclass(slots=True)
class Session:
    """State of a run in progress.

    `probe` is (1, L) token ids of a fixed text. `resume` is the checkpoint to continue from; it becomes None when its
    phase starts. `attached` is the phase in progress, or None if no adapter is on the model.
    """

    config: RunConfig
    run: RunDir
    recorder: Recorder
    control: Control
    curriculum: Curriculum
    renderer: Renderer
    ledger: Ledger
    scorer: Scorer
    base: Scorer  # for the base model, which is never trained
    embedder: Embedder
    probe: mx.array
    parameters: int
    resume: Checkpoint | None = None
    attached: ActiveAdapter | None = None
    dpo_rolled_back: int = 0  # number of consecutive topics whose DPO was rolled back
    collapsed: bool = False  # whether a phase of the current topic broke the answers
    scoring: Any = None  # the fitted Scoring of evaluation; None until it is fitted
    few_scores: "Callable[[Session, Topic], FewScores] | None" = None  # answers and scores a few of a topic's questions
    scored: ScoreLog = field(default_factory=ScoreLog)  # the scored answers of this run so far
    set_aside: SetAside = field(default_factory=SetAside)  # rolled-back adapters that a person can keep
    pieces: int = 1  # a micro-batch is processed in this number of pieces, to save memory

    @property
    def model(self) -> nn.Module:
        return self.ledger.model

    def sft_settings(self, topic: Topic) -> SupervisedConfig:
        """Returns the settings of a topic's SFT: those of the foundation, or those of all other topics."""
        return self.config.foundation if topic.id == FOUNDATION else self.config.sft

    def parts(self, rows: Sequence[int]) -> list[list[int]]:
        """Splits a micro-batch into its pieces."""
        size = math.ceil(len(rows) / self.pieces)
        return [list(rows[start : start + size]) for start in range(0, len(rows), size)]

    @property
    def layers(self) -> int:
        model: Any = self.ledger.model
        return len(model.layers)
