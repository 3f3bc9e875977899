"""The real console in a real terminal on the real engine with a tiny model, from start to stop."""

import os
import signal
import sys
import time
from pathlib import Path

import yaml
from terminal import Terminal
from tiny import make_curriculum, make_model, settings

from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder

PROGRAM = str(Path(sys.executable).with_name("mindprint-tui"))


def configuration(folder: Path) -> Path:
    """A run with enough optimizer steps to watch."""
    sft = {"epochs": 4000, "batch": 1, "accumulation": 1}
    whole = settings(make_model(folder / "model"), make_curriculum(folder / "data"), sft=sft, dpo={"when": "never"})
    whole["run"]["checkpoint_every"] = 500
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(whole))
    return path


def gone(run: RunDir, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while holder(run) is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    return holder(run) is None


def test_start_steer_detach_attach_stop(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "logs" / "e2e")
    config = str(configuration(tmp_path))
    try:
        with Terminal([PROGRAM, config, "--run-id", "e2e"], cwd=str(tmp_path)) as first:
            first.wait("tok/s", 90)
            first.type("p")
            first.wait("paused by", 20)
            first.type("e")
            first.wait("✓ re-evaluate", 30)
            first.type("p")
            first.wait("· running ·", 20)
            first.type("q")
            assert first.ended(10) == 0
            assert b"The engine goes on" in first.raw
        assert holder(run) is not None
        with Terminal([PROGRAM, "attach"], cwd=str(tmp_path)) as second:
            second.wait("tok/s", 10)
            with Terminal([PROGRAM, "attach", "e2e"], (80, 24), cwd=str(tmp_path)) as third:
                third.wait("loss", 10)
                third.type("p")
                second.wait("paused by", 20)
                third.wait("paused by", 20)
                second.type("p")
                third.wait("· running ·", 20)
                second.wait("· running ·", 20)
            second.type("Q")
            second.wait("Stop the run?", 5)
            second.type("y")
            second.wait("stopped by a person", 30)
            assert gone(run, 20)
            second.type("q")
            assert second.ended(10) == 130
    finally:
        if (pid := holder(run)) is not None and pid > 0:
            os.kill(pid, signal.SIGKILL)


def test_a_console_that_is_killed_or_loses_its_terminal_leaves_the_engine_training(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "logs" / "e2e")
    try:
        with Terminal([PROGRAM, str(configuration(tmp_path)), "--run-id", "e2e"], cwd=str(tmp_path)) as console:
            console.wait("tok/s", 90)
            os.kill(console.pid, signal.SIGKILL)
            assert console.ended(5) == -signal.SIGKILL
        with Terminal([PROGRAM, "attach"], cwd=str(tmp_path)) as console:
            console.wait("tok/s", 10)
            os.kill(console.pid, signal.SIGHUP)  # what a closed tmux or a lost connection sends
            assert console.ended(5) != 0
        alone = ["sh", "-c", f"trap : HUP; {PROGRAM} attach; exit 7"]  # as make does: the signal ends here
        with Terminal(alone, cwd=str(tmp_path)) as console:
            console.wait("tok/s", 10)
            console.vanish()
            assert console.ended(20) == 7, "the console outlived its terminal"
        size = run.journal.stat().st_size
        time.sleep(0.5)
        assert holder(run) is not None
        assert run.journal.stat().st_size > size
    finally:
        if (pid := holder(run)) is not None and pid > 0:
            os.kill(pid, signal.SIGTERM)
            gone(run, 20)


def test_a_refused_run_says_why_on_the_screen_and_after_it(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("curriculum:\n  path: nowhere\nsft:\n  rnk: 4\n")
    with Terminal([PROGRAM, "bad.yaml"], cwd=str(tmp_path)) as console:
        console.wait("did you mean 'rank'?", 20)
        console.type("q")
        assert console.ended(10) == 2
        assert b"mindprint-tui: " in bytes(console.raw)[-400:]
