"""Helpers for console tests: a fixed clock, and golden journals with a living engine."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from textual.pilot import Pilot

from engine.contract.journal import events as e
from engine.contract.journal.codec import encode
from engine.contract.journal.events import Record
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.feed import Feed, Liveness
from mindprint_tui.tui.app import MindprintApp
from mindprint_tui.tui.widgets.lines import Lines

os.environ["TZ"] = "UTC"  # because the log shows the time of day
time.tzset()
NOW = 1_768_000_900.0
Open = Callable[..., MindprintApp]


def said(*events: e.Event) -> list[Record]:
    """Returns the events as records, one second apart."""
    return [Record(number, NOW + number, event) for number, event in enumerate(events)]


def put(folder: Path, records: Iterable[Record]) -> RunDir:
    """Creates a run folder whose journal has these records."""
    folder.mkdir(parents=True)
    run = RunDir(folder)
    run.journal.write_bytes(b"".join(map(encode, records)))
    return run


class Living(Feed):
    """A journal whose engine counts as alive."""

    def liveness(self) -> Liveness:
        return Liveness("alive", 1.0)


def shown(app: MindprintApp, id: str) -> str:
    """Returns the text of one widget."""
    widget = app.screen.query_one(f"#{id}", Lines)
    return "\n".join(widget.render_line(y).text for y in range(widget.size.height))


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Waits until `true()` is true. Fails after 60 seconds."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        await pilot.pause(0.05)
