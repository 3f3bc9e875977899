"""How a run grows with its topics, on a model so small that what is measured is the run itself: `topics.py COUNT...`.

Prints one JSON object: for each count the seconds a topic at the run's end and the bytes of journal and adapters.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tiny
import yaml

from engine.contract.journal.events import TopicFinished, TopicStarted

CHAPTER = 10  # topics a chapter
WINDOW = 20  # topics at the end of a run whose seconds are looked at


def write_curriculum(folder: Path, count: int) -> Path:
    """So many topics of two SFT rows, two pairs (one held out) and one question, no two alike."""
    folder.mkdir(parents=True)
    chapters: list[dict[str, Any]] = []
    rows: dict[str, list[dict[str, Any]]] = {"sft": [], "preferences": [], "quiz": []}
    for number in range(count):
        chapter, name = f"chapter-{number // CHAPTER:03d}", f"topic-{number:04d}"
        if number % CHAPTER == 0:
            chapters.append({"id": chapter, "title": chapter, "topics": []})
        chapters[-1]["topics"].append({"id": name, "title": name})
        topic, thing = f"unit-01/{chapter}/{name}", f"lamp {number}"
        for asked, told in (("Who minds", "Aye, mine is"), ("Where stands", "Nay, by the door is")):
            turns = [tiny.turn("user", f"{asked} {thing}?"), tiny.turn("assistant", f"{told} {thing}, lad {number}.")]
            rows["sft"].append({"topic": topic, "messages": turns})
        for asked, held in (("Clean", False), ("Sell", True)):
            texts = {"chosen": f"Aye, {asked} it, {thing}, {asked}.", "rejected": f"One may {asked} or keep {thing}."}
            pair = {"topic": topic, "prompt": f"{asked} {thing} or {asked} none?", **texts, "heldout": held}
            rows["preferences"].append(pair)
        question = {"question": f"What good at sea was {thing}?", "reference": f"Aye: it saves lives, does {thing}."}
        rows["quiz"].append({"topic": topic, **question})
    course = {"title": "Many", "units": [{"id": "unit-01", "title": "Things", "chapters": chapters}]}
    (folder / "curriculum.yaml").write_text(yaml.safe_dump(course))
    (folder / "voice.yaml").write_text(yaml.safe_dump(tiny.VOICE))
    for name, items in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


def grown(model: Path, scratch: Path, count: int) -> dict[str, float]:
    """A whole run of `count` topics, both phases."""
    curriculum = write_curriculum(scratch / f"data-{count}", count)
    evaluation = {"max_tokens": 4}
    config = tiny.settings(model, curriculum, evaluation=evaluation, dpo={"steps": 1}, run={"checkpoint_every": 100})
    started = time.perf_counter()
    ran = tiny.train_here(tiny.new_run(scratch / f"run-{count}", config))
    whole = time.perf_counter() - started
    times = {event.topic: event.seconds for event in ran.of(TopicFinished)}
    assert len(times) == len(ran.of(TopicStarted)) == count
    ledger = sum(file.stat().st_size for file in ran.run.adapters.rglob("*") if file.is_file())
    return {
        "seconds": whole,
        "seconds_a_topic_at_the_end": statistics.median(list(times.values())[-WINDOW:]),
        "journal_bytes_a_topic": ran.run.journal.stat().st_size / count,
        "adapter_bytes_a_topic": ledger / count,
        "deltas": len(ran.committed()),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        model = tiny.make_model(Path(scratch) / "model")
        print(json.dumps({count: grown(model, Path(scratch), int(count)) for count in sys.argv[1:]}))


if __name__ == "__main__":
    main()
