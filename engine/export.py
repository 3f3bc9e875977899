"""`python -m engine.export RUN_DIR FOLDER`: exports a run's model or adapter for other tools."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from glob import has_magic
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.contract.errors import InputError, Unwritable
from engine.contract.exit_codes import STOPPED, end_signals
from engine.contract.intervals import Estimate
from engine.contract.journal.events import Record, RunStarted, Sample, Step, Void
from engine.contract.journal.live import live_records
from engine.contract.run_folder.folder import RunDir, require_free
from engine.contract.settings.config import RunConfig
from engine.model.backend import Backend, prepare

if TYPE_CHECKING:
    from engine.adapters.committed_model import CommittedModel

FORMATS = ("mlx", "adapter", "peft", "gguf", "gguf-adapter")
ADAPTERS = ("adapter", "peft", "gguf-adapter")


def export(
    run: RunDir, target: Path, form: str = "mlx", rank: int = 0, numbers: str = "", measure: bool = False
) -> list[str]:
    """Writes base and committed deltas as one model, or the deltas as one adapter. Returns lines to print.

    A `rank` above 0 approximates the adapter by the nearest one of that rank. `numbers` is the number type of a GGUF
    file, f16 by default; `measure` scores what it costs the voice. Raises InputError before anything is written.
    """
    taken = InputError(f"{target}: exists already; name a folder that does not")
    if os.path.lexists(target):
        raise taken
    require_free(target)
    if form == "mlx" and has_magic(str(target)):
        raise InputError(
            f"{target}: mlx-lm, which checks the model there, reads * ? [ in a path as a pattern; rename it"
        )
    if rank and form not in ADAPTERS:
        raise InputError("--rank is for --format adapter, peft and gguf-adapter; a fused model has no rank")
    if (numbers or measure) and form != "gguf":
        raise InputError("--type and --measure are for --format gguf; other formats have the number type of the run")
    backend = prepare()  # before mlx: the ledger replays to the same bits only with the BLAS that committed it
    from engine.adapters.committed_model import open_stage
    from engine.contract.run_folder.files import write_folder
    from engine.formats import adapter_folders, fused_model, gguf_adapter, gguf_folder, gguf_model, low_rank
    from engine.formats.model_card import card

    told = live_records(run.journal)  # read before the ledger, so the card counts nothing that the model lacks
    records: Sequence[Record] = [record for record in told if not isinstance(record.event, Step | Sample | Void)]
    opened = open_stage(run, None, backend, print)
    records = _begun(records, run, opened.config)
    ledger, loss, note = opened.ledger, None, None
    places = fused_model.find_places(ledger.base, fused_model.touched(ledger)) if form == "mlx" else None
    as_gguf = gguf_folder.plan(opened, run, numbers or "f16") if form == "gguf" else None
    voice = _voice(run, opened, backend) if measure else None
    factors = low_rank.combined(ledger.deltas) if form in ADAPTERS else {}
    if form == "peft":
        adapter_folders.refuse_for_peft(ledger, factors)
    if form == "gguf-adapter":
        gguf_model.architecture_of(ledger.model)
    if rank:
        factors, loss = low_rank.truncated(factors, rank)
    base = adapter_folders.base_name(ledger.base)

    def fill(folder: Path) -> None:
        nonlocal note
        if as_gguf is not None:
            note = as_gguf.write(folder, voice)
        elif form == "mlx":
            note = fused_model.write_model(folder, ledger, places)
        elif form == "adapter":
            adapter_folders.write_adapter(folder, ledger, factors)
        elif form == "peft":
            adapter_folders.write_peft(folder, ledger, factors)
        else:
            gguf_adapter.write_adapter(folder, ledger, factors)
        text = card(records, form, base, len(ledger.deltas), ledger.declared, loss, note)
        (folder / "README.md").write_text(text, encoding="utf-8")

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_folder(target, fill, replace=False, mode=0o777)  # other accounts may read it, as the umask says
    except Unwritable as error:
        if os.path.lexists(target):  # created since the first check
            raise taken from error
        raise InputError(f"{target}: {'no folder can be made there' if error.gone else error.reason}") from error
    except OSError as error:
        raise InputError(f"{target}: the folder cannot be written ({error.strerror or error})") from error
    said = [f"{target}: model {ledger.declared}"]
    if factors:
        ranks = sorted({each.rank for each in factors.values()})
        said[0] = f"{target}: {len(ledger.deltas)} deltas as one adapter, rank {', '.join(map(str, ranks))}"
        note = f"its base: {base if '/' in base else ledger.base.resolve()}"
    uses = as_gguf.uses(target) if as_gguf is not None else []
    return [*said, *(str(part) for part in (loss, note) if part), *uses]


def _voice(run: RunDir, opened: "CommittedModel", backend: Backend) -> Callable[[], Estimate]:
    """Returns a function that measures the model's mean voice over the held-out questions of what was trained.

    Raises InputError if the run's rows or its scorer cannot be read.
    """
    from engine.adapters.committed_model import renderer_of
    from engine.pipeline import saved_voice, setup

    config, ledger, tokenizer = opened.config, opened.ledger, opened.loaded.tokenizer
    curriculum = setup.load(config)
    trained = {delta.topic for delta in ledger.deltas}
    topics = [topic for topic in curriculum.topics if topic.id in trained and topic.questions]
    if not topics:
        raise InputError("--measure: the topics that were trained have no held-out questions")
    scoring = saved_voice.saved_scoring(run, backend, config, curriculum, print)
    renderer = renderer_of(opened)
    return lambda: saved_voice.mean_voice(ledger.model, tokenizer, renderer, topics, scoring, config)


def _begun(records: Sequence[Record], run: RunDir, config: RunConfig) -> Sequence[Record]:
    """Returns the records, starting with RunStarted.

    If that line of the journal is damaged, the event is rebuilt from the run folder, without versions.
    """
    from engine.pipeline.setup import run_started

    if any(isinstance(record.event, RunStarted) for record in records):
        return records
    return [Record(-1, 0.0, replace(run_started(run, config), pid=0, versions={})), *records]


def _end_once() -> None:
    """Lets the first signal to end interrupt the work, and ignores later ones, so that the clean-up can finish.

    Signals that were already ignored, for example by `nohup`, stay ignored.
    """
    heard = end_signals()

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in heard:
        signal.signal(number, end)


def main() -> int:
    """Returns exit status 0; 2 after printing an error; 130 if it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m engine.export")
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--format", choices=FORMATS, default="mlx")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--type", default="")
    parser.add_argument("--measure", action="store_true")
    given = parser.parse_args()
    _end_once()
    try:
        lines = export(RunDir(given.run), given.target, given.format, given.rank, given.type, given.measure)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return STOPPED
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
