"""Writes a run's model as a folder with a GGUF file and a Modelfile, for Ollama, LM Studio and llama.cpp."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.adapters.committed_model import CommittedModel, renderer_of
from engine.contract.intervals import Estimate
from engine.contract.regular_file import read_text
from engine.contract.run_folder.folder import RunDir
from engine.formats import gguf_model, ollama
from engine.formats.fused_model import LICENCES, copy_files
from engine.formats.gguf_file import require_number_type
from engine.formats.gguf_model import GgufModel
from engine.formats.gguf_vocabulary import adds_begin
from engine.model.loading import name_of

NO_TEMPLATE = (
    "no Modelfile, since the chat template cannot be written in Ollama's syntax; llama.cpp and LM Studio read it"
)
DEFAULT_CONTEXT = 2048  # tokens, if config.json does not say how long a text may be


@dataclass(frozen=True, slots=True)
class GgufFolder:
    """Content of the folder; `stem` is the name of its model in Ollama."""

    model: GgufModel
    weights: Any  # the run's model
    base: Path
    stem: str
    numbers: str
    template: str | None  # in Go's syntax
    stops: tuple[str, ...]
    context: int
    penalty: float  # for repetition, as in evaluation

    @property
    def file(self) -> str:
        return f"{self.stem}-{self.numbers}.gguf"

    def write(self, folder: Path, voice: Callable[[], Estimate] | None = None) -> str | None:
        """Fills the folder; returns remarks about it, or None. Raises InputError as gguf_file.write does.

        `voice` measures the mean voice of the run's model. If it is given, the remarks say what the type of numbers
        cost; the run's model then has the weights of the file.
        """
        self.model.write(folder / self.file, self.numbers)
        said = copy_files(self.base, folder, LICENCES)
        if voice is not None:
            before = voice()
            gguf_model.load_back(self.weights, folder / self.file)
            said.append(f"voice {before} → {voice()} at {self.numbers}")
        if self.template is None:
            said.append(NO_TEMPLATE)
        else:
            licences = sorted(path for pattern in LICENCES[:1] for path in folder.glob(pattern))
            licence = read_text(licences[0]) if licences else None
            text = ollama.modelfile(self.file, self.template, self.stops, self.context, licence, self.penalty)
            (folder / "Modelfile").write_text(text, encoding="utf-8")
        return "; ".join(said) or None

    def uses(self, folder: Path) -> list[str]:
        """Returns a line for each program, with the command that uses the folder."""
        file = shlex.quote(str(folder / self.file))
        made = f"ollama create {self.stem} -f {shlex.quote(str(folder / 'Modelfile'))} && ollama run {self.stem}"
        return [
            *([f"Ollama: {made}"] if self.template is not None else []),
            f"LM Studio: lms import --copy {file}",
            f"llama.cpp: llama-cli -m {file} --temp 0 --repeat-penalty {self.penalty:g}",
        ]


def plan(opened: CommittedModel, run: RunDir, numbers: str) -> GgufFolder:
    """Plans the folder of a run's model. Raises InputError if the model cannot be written as GGUF in that type."""
    require_number_type(numbers)
    tokenizer, base = opened.loaded.tokenizer, opened.ledger.base
    renderer = renderer_of(opened)
    settings = opened.loaded.config
    sizes = settings.get("text_config") or settings
    context = int(sizes.get("max_position_embeddings") or DEFAULT_CONTEXT)
    model = gguf_model.plan(opened.ledger, tokenizer, renderer.end_id, run.name, name_of(base), context)
    turns = ollama.derive(renderer.text)
    begin = tokenizer.bos_token if adds_begin(tokenizer) else ""
    stops = tuple(tokenizer.decode([number]) for number in sorted(renderer.end_ids))
    stem = re.sub(r"[^a-z0-9._-]+", "-", run.name.lower()).strip("-._") or "voice"
    template = turns.template(begin) if turns else None
    penalty = opened.config.evaluation.repetition_penalty
    return GgufFolder(model, opened.ledger.model, base, stem, numbers, template, stops, context, penalty)
