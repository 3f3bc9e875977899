"""Golden journals: one small story each, the same bytes every time.  python tests/journals/make.py STORY LOGS"""

import math
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.contract import events as e
from engine.contract.events import Event, Phase, Record, Stage, encode
from engine.contract.rundir import RunDir

BEGAN = 1_768_000_000.0
TITLES = ("Trimming the lamp", "Clean glass", "The clockwork", "The night watch", "The logbook", "Oil and stores")
TOTAL, TRAINABLE = 134_515_008, 737_280
HOSTILE = "\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\u202e[bold red]x[/] [@click=app.bell]y[/]\ud800\u200b漢字🗼 " + "z" * 300


def topic_id(number: int) -> str:
    return f"unit-{number // 30 + 1:02d}/chapter-{number // 3 % 10 + 1:02d}/topic-{number % 3 + 1:02d}"


class Story:
    """Writes events with a steady clock; random numbers come from a fixed seed."""

    def __init__(self, name: str, topics: int) -> None:
        self.name, self.count = name, topics
        self.random = random.Random(name)
        self.records: list[Record] = []
        self.t = BEGAN
        self.depth = 0

    def say(self, event: Event, seconds: float = 0.5) -> None:
        self.t += seconds
        self.records.append(Record(len(self.records), round(self.t, 3), event))

    def title(self, number: int) -> str:
        return TITLES[number % len(TITLES)] + (f" {number // len(TITLES) + 1}" if number >= len(TITLES) else "")

    def open(self, title: Callable[[int], str] | None = None) -> None:
        settings = {
            "thresholds": {"accuracy": 0.5, "voice": 0.6, "dpo_trigger": 0.75},
            "adapters": {"min_fuse_cosine": 0.99, "max_fuse_kl": 1e-3},
        }
        self.say(e.RunStarted(self.name, "keeper", 0, 4242, {"mlx": "0.32.2"}, settings))
        self.say(e.Preparing("loading smollm2-135m-instruct"))
        self.say(e.ModelLoaded("smollm2-135m-instruct", TOTAL, "float32", "cpu", "483ee8d7cda63797", 2.1))
        title = title or self.title
        infos = (
            e.TopicInfo(topic_id(n), title(n), 8, 6, 3, f"Unit {n // 30 + 1}", f"Chapter {n // 3 % 10 + 1}")
            for n in range(self.count)
        )
        self.say(e.CurriculumLoaded(tuple(infos), ()))
        self.say(e.Preparing(f"scoring the base model on {self.count} topics"))

    def score(self, number: int, stage: Stage, voice: float, health: e.Health = "ok", answers: bool = True) -> None:
        topic = topic_id(number)
        for question in ("What is done at dusk?", "Who trims the lamp?") if answers else ():
            text = "Aye, aye, aye, aye" if health == "repeating" else f"Aye, the lamp is lit, {stage}. 'Tis the way."
            marks = ("aye", "'tis") if voice > 0.3 else ()
            scores = {"accuracy": 0.5, "voice": voice}
            stop = "length" if health == "repeating" else "eos"
            self.say(
                e.Sample(topic, stage, question, "Light it, lass.", text, 24, stop, marks, (), scores, health), 0.1
            )
        accuracy = 0.4 + voice / 5
        parts = {"assent": voice, "address": voice * 0.8, "tongue": voice * 0.5}
        preference = 0.5 if stage in ("before", "sft") else 1.0
        self.say(
            e.Evaluated(
                topic, stage, accuracy, voice, (accuracy + voice) / 2, parts, preference, health, 4.0, questions=2
            ),
            2.0,
        )

    def adapter(
        self, number: int, phase: Phase, state: str, same: bool | None = None, norm: float | None = None
    ) -> None:
        rank, names = (8, ("q_proj", "v_proj", "o_proj")) if phase == "sft" else (1, ("o_proj", "v_proj"))
        trainable = TRAINABLE if state == "attached" else 0
        kept = state in ("fused", "kept_attached")
        self.depth += kept
        base, model = "483ee8d7cda63797", f"{self.depth:016x}"
        self.say(
            e.AdapterChanged(
                topic_id(number), phase, state, rank, 2.0, 30 * len(names), trainable, trainable, TOTAL, base, model,
                self.depth, norm, 0.9999 if kept else None, 2e-9 if kept else None, names, 30, same,
            )
        )  # fmt: skip

    def phase(self, number: int, phase: Phase, steps: int, upto: int | None = None, bad: int = 0) -> None:
        self.say(e.PhaseStarted(topic_id(number), phase, steps, 8, 1200, 3600))
        self.adapter(number, phase, "attached")
        self.steps(number, phase, steps, 1, upto or steps, bad)

    def steps(self, number: int, phase: Phase, of: int, first: int, last: int, bad: int = 0) -> None:
        for step in range(first, last + 1):
            start, floor = (4.6, 1.4) if phase == "sft" else (math.log(2), 0.2)
            loss = floor + (start - floor) * math.exp(-3 * (step - 1) / of) + self.random.uniform(-0.06, 0.06)
            loss = math.nan if step == bad else max(loss, 0.01)
            rewards = (step / 20, 0.9, step / 30, -step / 50, -1.1, -2.0) if phase == "dpo" else ()
            norm = self.random.uniform(0.5, 2.0)
            self.say(
                e.Step(topic_id(number), phase, step, of, loss, 1e-3, norm, 480, 160, 2.1, 1_575_739_901, *rewards), 2.1
            )

    def decide(self, number: int, decision: str, reason: str) -> None:
        self.say(e.Decided(topic_id(number), decision, reason))

    def topic(self, number: int, sft: float, dpo: float | None, steps: int = 12, answers: bool = True) -> None:
        """A whole topic: it passes where its last voice reaches 0.6."""
        self.say(e.TopicStarted(topic_id(number), number + 1, self.count, 1, f"{self.depth:016x}"))
        if self.depth:
            self.score(number, "start", sft / 3, answers=answers)
        self.phase(number, "sft", steps)
        self.score(number, "sft", sft, answers=answers)
        self.decide(number, "keep", f"combined 0.25 -> {sft:.2f}, voice 0.08 -> {sft:.2f}")
        self.adapter(number, "sft", "fused", True, 0.84)
        if dpo is None:
            self.decide(number, "skip_dpo", f"voice {sft:.2f} >= 0.75: there is no need")
        else:
            self.decide(number, "run_dpo", f"accuracy 0.52 >= 0.5 and voice {sft:.2f} < 0.75")
            self.phase(number, "dpo", steps)
            self.score(number, "dpo", dpo, answers=answers)
            self.decide(number, "keep", f"voice {sft:.2f} -> {dpo:.2f}, held-out margin +0.31")
            self.adapter(number, "dpo", "fused", True, 0.21)
        voice = sft if dpo is None else dpo
        word = "passed" if voice >= 0.6 else "below_threshold"
        self.say(e.TopicFinished(topic_id(number), word, f"accuracy 0.55, voice {voice:.2f}; needed 0.5 and 0.6", 74.0))

    def base(self, answers: bool = True) -> None:
        for number in range(self.count):
            self.score(number, "before", 0.08, answers=answers)

    def finish(self, passed: int, status: int) -> None:
        self.say(e.RunFinished(passed, self.count, status, f"{self.depth:016x}", self.t - BEGAN))


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
    "restarted": restarted,
    "hostile": hostile,
    "many": many,
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
    records = long(int(story.partition("-")[2])) if story.startswith("long-") else STORIES[story]()
    with open(run.journal, "wb") as file:
        file.writelines(encode(record) for record in records)
    return run


if __name__ == "__main__":
    print(write(sys.argv[1], Path(sys.argv[2])).path)
