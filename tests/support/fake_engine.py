"""Fake engine under a supervisor: each start runs the next line of lives.txt."""

import os
import signal
import sys
import time
from pathlib import Path

from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from engine.runtime.heartbeat import EVERY, Heartbeat
from engine.runtime.recorder import Recorder

run = RunDir(Path(sys.argv[1]))
lock, heartbeat = Lock(run, int(sys.argv[2])), Heartbeat(int(sys.argv[3]))
lives = run.path / "lives.txt"
now, *later = lives.read_text().splitlines()
lives.write_text("\n".join(later))
recorder = Recorder(run)


def stop(_number: int, _frame: object) -> None:
    recorder.say(e.RunFinished(0, 1, 130, "", 1.0))
    sys.exit(130)


signal.signal(signal.SIGTERM, stop)
for word in now.split():
    match word.split("="):
        case ["reach", step]:
            recorder.say(e.Checkpointed("unit-01/chapter-01/topic-01", "sft", int(step), 0.1, 1))
        case ["finish", status]:
            recorder.say(e.RunFinished(1, 1, int(status), "", 1.0))
        case ["restart", _]:
            recorder.say(e.EngineRestarted(None, None, 1))
        case ["refuse", words]:
            recorder.say(e.Failed("input", words, ""))
            sys.exit(2)
        case ["exit", status]:
            sys.exit(int(status))
        case ["signal", name]:
            os.kill(os.getpid(), signal.Signals[name])
        case ["print", text]:
            print(text, flush=True)
        case ["beat", seconds]:
            deadline = time.monotonic() + float(seconds)
            while time.monotonic() < deadline:
                heartbeat.beat()
                time.sleep(0.05)
        case ["signs", count]:
            for _ in range(int(count)):
                heartbeat.beat()
                time.sleep(EVERY)
        case ["sleep", seconds]:
            (run.path / "asleep").touch()
            time.sleep(float(seconds))
