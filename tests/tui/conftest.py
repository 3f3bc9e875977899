"""Golden journals by name, and a feed whose engine is said to be alive."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "journals"))

from make import write

from engine.contract.rundir import RunDir
from mindprint_tui.app import MindprintApp
from mindprint_tui.feed import Feed, Liveness

os.environ["TZ"] = "UTC"  # the log shows the time of day
time.tzset()
NOW = 1_768_000_900.0
Open = Callable[..., MindprintApp]


class Living(Feed):
    """A journal whose engine is there."""

    def liveness(self) -> Liveness:
        return Liveness("alive", 1.0)


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RunDir]:
    monkeypatch.chdir(tmp_path)
    return lambda name: write(name, Path("logs"))


@pytest.fixture
def console(story: Callable[[str], RunDir]) -> Open:
    """A console on a golden journal, its clock standing still; `alive` says whether there is an engine."""

    def open_console(name: str, alive: bool = True) -> MindprintApp:
        feed = Living if alive else Feed
        return MindprintApp(story(name) if name else None, Path("logs"), clock=lambda: NOW, feed=feed)

    return open_console
