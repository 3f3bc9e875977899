"""Destinations of metrics: CSV, TensorBoard event files, Weights & Biases."""

import csv
import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from engine.contract.errors import InputError
from engine.contract.run_folder.folder import require_free
from engine.contract.vocabulary import COMPOSED, PHASES, SCORES
from mindprint_tui.metrics.rows import COLUMNS, COUNTS, ENDS, HELD, STEP, Row

FORMULA = ("=", "+", "-", "@")  # a spreadsheet would run such a cell as a formula
AXES = {f"{phase}/*": "run_step" for phase in PHASES} | {"scores/*": "topic_index"}
NOT_DRAWN = ("tokens", "supervised_tokens")  # their rate is the better curve


class Csv:
    """Writes one CSV line per row with every column. Values that a row does not have stay empty."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
        self._writer.writeheader()

    def begin(self, run: str, settings: dict[str, Any]) -> None:
        """Does nothing: CSV has no place for settings."""

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._writer.writerow({key: _cell(value) for key, value in row.items()})
        self._out.flush()

    def close(self) -> None:
        """Does nothing: every row is already written."""


class TensorBoard:
    """Event files in DIR/<run>.

    The x-axis is the run's optimizer step for steps, and the topic's number in the course for evaluations.
    """

    def __init__(self, folder: Path, run: str) -> None:
        """Raises InputError if TensorBoard is not installed or the folder already has a run of that name."""
        self._writer = extra("tensorboard.summary.writer.event_file_writer", "tensorboard").EventFileWriter
        self._event = extra("tensorboard.compat.proto.event_pb2", "tensorboard").Event
        self._summary = extra("tensorboard.compat.proto.summary_pb2", "tensorboard").Summary
        target = folder / run
        require_free(target)
        if os.path.lexists(target):
            raise InputError(f"{target}: exists already, and a second copy would be drawn over it; name another folder")
        try:
            self._open = self._writer(str(target))
        except OSError as error:
            raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error

    def begin(self, run: str, settings: dict[str, Any]) -> None:
        """Does nothing: the files are already open."""

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            step = row["run_step"] if row["kind"] in ("step", "validated") else row["topic_index"] or 0
            values = [self._summary.Value(tag=tag, simple_value=value) for tag, value in scalars(row).items()]
            if values:
                self._open.add_event(self._event(wall_time=row["time"], step=step, summary=self._summary(value=values)))
        self._open.flush()

    def close(self) -> None:
        self._open.close()


class WandB:
    """A Weights & Biases run with the effective configuration. Its axes are those of TensorBoard."""

    def __init__(self, project: str) -> None:
        """Raises InputError if wandb is not installed."""
        self._wandb = extra("wandb", "wandb")
        self._project = project
        self._run: Any = None

    def begin(self, run: str, settings: dict[str, Any]) -> None:
        """Raises InputError if wandb refuses the run, for example without a login."""
        try:
            self._run = self._wandb.init(project=self._project, name=run, config=settings)
        except self._wandb.Error as error:
            raise InputError(f"wandb cannot begin a run: {error}") from error
        for name, axis in AXES.items():
            self._run.define_metric(name, step_metric=axis)

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if self._run is not None and (found := scalars(row)):
                self._run.log(found | {"run_step": row["run_step"], "topic_index": row["topic_index"]})

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()


def scalars(row: Row) -> dict[str, float]:
    """Returns the numbers of a row by tag: `sft/loss`, `scores/before/voice`, `scores/dpo/voice/assent`."""
    if row["kind"] == "step":
        found = {name: row[name] for name in STEP if name not in NOT_DRAWN}
        found["tokens_per_second"] = row["tokens"] / row["seconds"] if row["seconds"] > 0 else None
        return {f"{row['phase']}/{name}": float(value) for name, value in found.items() if value is not None}
    if row["kind"] == "validated":
        found = {name: row[f"heldout_{name}"] for name in HELD}
        return {f"{row['phase']}/heldout_{name}": value for name, value in found.items() if value is not None}
    if row["kind"] == "evaluated":
        found = {name: row[name] for name in (*SCORES, *ENDS, *COUNTS)} | {
            f"{COMPOSED}/{k}": v for k, v in row["components"].items()
        }
        return {f"scores/{row['stage']}/{name}": float(value) for name, value in found.items() if value is not None}
    return {}


def extra(module: str, name: str) -> Any:
    """Imports a module of an optional extra. Raises InputError if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{name} is not installed; it comes with: pip install 'mindprint-tui[{name}]'") from error


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
