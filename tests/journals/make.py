"""Golden journals: one small story each, the same bytes every time.  python tests/journals/make.py STORY LOGS"""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from learned import learned
from story import HOSTILE, Story, topic_id

from engine.contract.journal import events as e
from engine.contract.journal.codec import encode
from engine.contract.journal.events import Record
from engine.contract.run_folder.folder import RunDir


def happy() -> list[Record]:
    """Six topics: three done, the fourth in the middle of DPO."""
    story = Story("happy", 6)
    story.open()
    story.base()
    story.topic(0, 0.71, 0.78)
    story.topic(1, 0.44, 0.52)
    story.topic(2, 0.80, None)
    story.say(e.TopicStarted(topic_id(3), 4, 6, 1, f"{story.depth:016x}"))
    story.score(3, "start", 0.31)
    story.phase(3, "sft", 36)
    story.score(3, "sft", 0.66)
    story.decide(3, "keep", "combined 0.25 -> 0.60, voice 0.08 -> 0.66")
    story.adapter(3, "sft", "fused", True, 0.9)
    story.decide(3, "run_dpo", "accuracy 0.53 >= 0.5 and voice 0.66 < 0.75")
    for count in (1, 2, 3):
        story.say(e.Warned("cut", "an answer was cut at 96 tokens", count))
    story.phase(3, "dpo", 24, 14)
    return story.records


def finished() -> list[Record]:
    """A run that came to its end with every topic passed."""
    story = Story("finished", 3)
    story.open()
    story.base()
    for number, (sft, dpo) in enumerate(((0.71, 0.78), (0.64, 0.70), (0.81, None))):
        story.topic(number, sft, dpo)
    story.finish(3, 0)
    return story.records


def not_a_number() -> list[Record]:
    """A loss that is not finite, a rule that broke for it, and a phase that was rolled back."""
    story = Story("not-a-number", 3)
    story.open()
    story.base()
    story.say(e.TopicStarted(topic_id(0), 1, 3))
    story.phase(0, "sft", 24, 16, bad=9)
    message = "the loss of step 16 is nan, the second in this phase; rows 3, 5 and 7 are in the batch"
    trace = "Traceback (most recent call last):\n  …\nBroken: finite-loss"
    story.say(e.Failed(f"{topic_id(0)} sft", message, trace, topic_id(0), "sft", "finite-loss"))
    story.adapter(0, "sft", "rolled_back", True)
    story.say(e.TopicFinished(topic_id(0), "error", message, 61.0))
    story.topic(1, 0.7, None)
    return story.records


def rolled_back() -> list[Record]:
    """DPO made the answers repeat, so it was taken back; the next topic collapsed; one was skipped."""
    story = Story("rolled-back", 4)
    story.open()
    story.base()
    story.say(e.TopicStarted(topic_id(0), 1, 4))
    story.phase(0, "sft", 12)
    story.score(0, "sft", 0.62)
    story.adapter(0, "sft", "fused", True, 0.8)
    story.phase(0, "dpo", 12)
    story.score(0, "dpo", 0.02, "repeating")
    story.decide(0, "roll_back", "the answers became repetitive (combined 0.58 -> 0.21, voice 0.62 -> 0.02)")
    story.adapter(0, "dpo", "rolled_back", True)
    story.say(e.TopicFinished(topic_id(0), "passed", "accuracy 0.52, voice 0.62; needed 0.5 and 0.6", 90.0))
    story.say(e.TopicStarted(topic_id(1), 2, 4))
    story.phase(1, "sft", 12)
    story.score(1, "sft", 0.0, "repeating")
    story.adapter(1, "sft", "kept_attached", True, 9.0)
    story.say(e.TopicFinished(topic_id(1), "collapsed", "the answers are repetitive (accuracy 0.40, voice 0.00)", 70.0))
    story.say(e.TopicFinished(topic_id(2), "skipped", "skipped by keeper@pts/3 before it began", 0.0))
    story.finish(1, 1)
    return story.records


def collapsed() -> list[Record]:
    """SFT drove the second topic into repeating itself; the third trains on what was before it."""
    story = Story("collapsed", 4)
    story.open()
    story.base()
    story.topic(0, 0.66, None)
    story.say(e.TopicStarted(topic_id(1), 2, 4, 1, f"{story.depth:016x}"))
    story.score(1, "start", 0.25)
    story.phase(1, "sft", 12)
    story.score(1, "sft", 0.0, "repeating")
    story.decide(1, "roll_back", "the answers became repetitive (combined 0.35 -> 0.20, voice 0.25 -> 0.00)")
    story.adapter(1, "sft", "rolled_back", True)
    story.say(e.TopicFinished(topic_id(1), "collapsed", "the answers are repetitive (accuracy 0.40, voice 0.00)", 70.0))
    story.say(e.TopicStarted(topic_id(2), 3, 4, 1, f"{story.depth:016x}"))
    story.score(2, "start", 0.31)
    story.phase(2, "sft", 12, 3)
    return story.records


def restarted() -> list[Record]:
    """The engine was killed in the middle of a phase, and went on from its checkpoint."""
    story = Story("restarted", 3)
    story.open()
    story.base()
    story.topic(0, 0.7, None)
    story.say(e.TopicStarted(topic_id(1), 2, 3))
    story.phase(1, "sft", 24, 10)
    story.say(e.Checkpointed(topic_id(1), "sft", 10, 0.2, 2_000_000))
    mark = story.records[-2].seq
    story.steps(1, "sft", 24, 11, 17)
    story.say(e.EngineDied(-9, "SIGKILL", 1))
    story.say(e.EngineRestarted(-9, "SIGKILL", 1))
    story.say(e.Restored(mark, f"{topic_id(1)} goes on at sft step 10 from its checkpoint"))
    story.steps(1, "sft", 24, 11, 14)
    return story.records


def hostile() -> list[Record]:
    """Control sequences, markup, bidi overrides, wide and endless text wherever text can be."""
    story = Story("hostile", 3)
    story.open(lambda number: HOSTILE if number == 0 else f"[bold]{number}[/bold] \x1b]0;x\x07")
    story.base()
    story.say(e.TopicStarted(topic_id(0), 1, 3))
    story.phase(0, "sft", 12)
    scores = {"accuracy": 0.5, HOSTILE: 0.1}
    sample = e.Sample(
        topic_id(0), "sft", HOSTILE, HOSTILE, HOSTILE + "\n" + HOSTILE, 9, "length", (HOSTILE,), (), scores
    )
    story.say(sample)
    story.say(e.Evaluated(topic_id(0), "sft", 0.5, 0.3, 0.4, {HOSTILE: 0.5, "[red]b": 0.1}, None, "ok", 1.0))
    story.decide(0, "keep", HOSTILE)
    story.say(e.Warned("w", HOSTILE, 1))
    story.say(e.Failed(HOSTILE, HOSTILE, HOSTILE, topic_id(0), "sft", "base-unchanged"))
    story.say(
        e.RulesChecked({HOSTILE: 1}, {"[red]": 1}, {HOSTILE: (1.0, None)}, topic_id(0), "sft", {HOSTILE: HOSTILE})
    )
    story.say(e.Paused(HOSTILE))
    return story.records


def many() -> list[Record]:
    """Ten thousand topics, of which two hundred are done."""
    story = Story("many", 10_000)
    story.open()
    story.base(answers=False)
    for number in range(200):
        story.topic(number, 0.5 + number % 5 / 10, None, steps=4, answers=False)
    return story.records


STORIES: dict[str, Callable[[], list[Record]]] = {
    "happy": happy,
    "finished": finished,
    "not-a-number": not_a_number,
    "rolled-back": rolled_back,
    "collapsed": collapsed,
    "restarted": restarted,
    "hostile": hostile,
    "many": many,
    "learned": learned,
    "not-separable": lambda: learned(separable=False, lift=-0.05),
}


def long(events: int) -> Iterator[Record]:
    """About so many events: 28 topics again and again, steps for the most part."""
    story, round_, told = Story("long", 28), 0, 0
    story.open()
    story.base()
    while told + len(story.records) < events:
        if len(story.records) > 10_000:
            yield from story.records
            told, story.records = told + len(story.records), []
        number, round_ = round_ % 28, round_ + 1
        first = len(story.records)
        story.topic(number, 0.7, 0.75, steps=40)
        shifted = [Record(told + place, r.t, r.event) for place, r in enumerate(story.records[first:], first)]
        story.records[first:] = shifted
    yield from story.records


def write(story: str, logs: Path) -> RunDir:
    """Writes a story as a run of that name; returns its folder."""
    run = RunDir(logs / story)
    run.path.mkdir(parents=True, exist_ok=True)
    with open(run.journal, "wb") as file:
        if story.startswith("long-"):
            file.writelines(encode(record) for record in long(int(story.partition("-")[2])))
        else:
            file.write(journal(story))
    return run


@cache
def journal(story: str) -> bytes:
    """A story as the bytes of its journal."""
    return b"".join(encode(record) for record in STORIES[story]())


if __name__ == "__main__":
    print(write(sys.argv[1], Path(sys.argv[2])).path)
