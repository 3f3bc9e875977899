"""A stand-in for the engine: appends steps to a run at a given rate, and answers commands.

python tests/journals/simulate.py LOGS/RUN [STEPS_PER_SECOND]
"""

import sys
import time
from pathlib import Path

from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter, Tail
from engine.contract.run_folder.commands import BadCommand, parse
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock

sys.path.insert(0, str(Path(__file__).parent))
from make import Story, topic_id


def main() -> None:
    """Runs until it is told to stop."""
    run, rate = RunDir(Path(sys.argv[1])), float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    run.path.mkdir(parents=True, exist_ok=True)
    lock, writer, tail = Lock(run), JournalWriter(run.journal), Tail(run.commands)
    story = Story(run.name, 28)
    story.open()
    story.base()
    number, paused = 0, False
    while True:
        story.topic(number % 28, 0.71, 0.78, steps=36)
        number += 1
        for record in story.records:
            if isinstance(record.event, e.Step):
                time.sleep(1 / rate)
            while True:
                for offset, line in tail.read():
                    asked = parse(line, offset)
                    if isinstance(asked, BadCommand):
                        continue
                    writer.append(e.CommandTaken(asked.id, asked.kind, "done", "as asked", asked.topic))
                    if asked.kind == "stop":
                        writer.append(e.RunFinished(0, 28, 130, "", 1.0))
                        lock.release()
                        return
                    if asked.kind in ("pause", "resume"):
                        paused = asked.kind == "pause"
                        writer.append(e.Paused(asked.by) if paused else e.Resumed(asked.by))
                if not paused:
                    break
                time.sleep(0.05)
            writer.append(record.event)
        story.records.clear()
        writer.append(e.Checkpointed(topic_id(number), "sft", 1, 0.1, 1))


if __name__ == "__main__":
    main()
