"""Golden journals by name, and consoles on them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from golden import NOW, Living, Open
from make import write

from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.feed import Feed
from mindprint_tui.tui.app import MindprintApp


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RunDir]:
    monkeypatch.chdir(tmp_path)
    return lambda name: write(name, Path("logs"))


@pytest.fixture
def console(story: Callable[[str], RunDir]) -> Open:
    """A console on a golden journal, its clock standing still; `alive` says whether there is an engine.

    With `first` it opens on the first screen.
    """

    def open_console(name: str, alive: bool = True, first: bool = False) -> MindprintApp:
        feed = Living if alive else Feed
        run = story(name) if name and not first else None
        return MindprintApp(run, Path("logs"), clock=lambda: NOW, feed=feed, first=first)

    return open_console
