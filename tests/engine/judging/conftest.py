"""What the tests of the judge share: a curriculum, and a judge in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import judged
import pytest
from judge_server import Behave, JudgeServer, serving

from engine.contract.journal.judge_file import Judgement, read_judgement
from engine.contract.run_folder.folder import RunDir
from engine.judging import endpoint


@pytest.fixture(scope="session")
def curriculum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged.make_curriculum(tmp_path_factory.mktemp("judge") / "curriculum")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between two tries."""
    monkeypatch.setattr(endpoint, "WAIT", 0.01)


@pytest.fixture
def rated(curriculum: Path, tmp_path: Path, quick: None) -> Callable[..., tuple[RunDir, Judgement, JudgeServer]]:
    """Rates the run in tmp_path with a server that behaves so; passes on InputError."""

    def rate(behave: Behave, **settings: Any) -> tuple[RunDir, Judgement, JudgeServer]:
        run = RunDir(tmp_path / "run")
        if not run.path.exists():
            judged.make_run(run.path, curriculum)
        with serving(behave) as server:
            judged.rating(run, server, **settings)
        return run, read_judgement(run), server

    return rate
