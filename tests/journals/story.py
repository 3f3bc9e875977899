"""A run told event by event, with a steady clock and random numbers from a fixed seed."""

import math
import random
from collections.abc import Callable

from engine.contract.journal import events as e
from engine.contract.journal.events import Event, Phase, Record, Stage

BEGAN = 1_768_000_000.0
TITLES = ("Trimming the lamp", "Clean glass", "The clockwork", "The night watch", "The logbook", "Oil and stores")
TOTAL, TRAINABLE = 134_515_008, 737_280
HOSTILE = "\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\u202e[bold red]x[/] [@click=app.bell]y[/]\ud800\u200b漢字🗼 " + "z" * 300


def topic_id(number: int) -> str:
    return f"unit-{number // 30 + 1:02d}/chapter-{number // 3 % 10 + 1:02d}/topic-{number % 3 + 1:02d}"


ATTACHED = ("no-stacked-adapter", "trainable-set", "counted-over-leaves", "requested-modules")
SETTLED = ("frozen-unchanged", "no-stacked-adapter")


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
        if state != "attached":
            self.rules(number, phase, state)

    def rules(self, number: int, phase: Phase, state: str) -> None:
        """What the rules came to in the first step of a phase (`attached`), or as its adapter came off."""
        held = dict.fromkeys(ATTACHED if state == "attached" else SETTLED, 1)
        numbers: dict[str, tuple[float, float | None]] = {}
        if state in ("fused", "kept_attached"):
            numbers["fuse-moves-weights"] = 2e-9, 1e-3
            held |= {"fuse-moves-weights": 1, "steps-as-planned": 2}
        if state == "attached" and phase == "dpo":
            held["dpo-starts-at-ln2"] = 2
            numbers["dpo-starts-at-ln2"] = 2e-7, 1e-3
        first = not any(isinstance(record.event, e.RulesChecked) for record in self.records)
        texts = {rule: f"The sentence of {rule}." for rule in held} if first else {}
        self.say(e.RulesChecked(held, {}, numbers, topic_id(number), phase, texts), 0.01)

    def phase(self, number: int, phase: Phase, steps: int, upto: int | None = None, bad: int = 0) -> None:
        self.say(e.PhaseStarted(topic_id(number), phase, steps, 8, 1200, 3600))
        self.adapter(number, phase, "attached")
        self.steps(number, phase, steps, 1, upto or steps, bad)

    def steps(self, number: int, phase: Phase, of: int, first: int, last: int, bad: int = 0) -> None:
        for step in range(first, last + 1):
            start, floor = (4.6, 1.4) if phase == "sft" else (math.log(2), 0.2)
            noise = self.random.uniform(-0.06, 0.06) if step > 1 else 0.0  # DPO begins at ln 2, exactly
            loss = floor + (start - floor) * math.exp(-3 * (step - 1) / of) + noise
            loss = math.nan if step == bad else max(loss, 0.01)
            rewards = (step / 20, 0.9, step / 30, -step / 50, -1.1, -2.0) if phase == "dpo" else ()
            norm = self.random.uniform(0.5, 2.0)
            self.say(
                e.Step(topic_id(number), phase, step, of, loss, 1e-3, norm, 480, 160, 2.1, 1_575_739_901, *rewards), 2.1
            )
            if step == 1 != bad:
                self.rules(number, phase, "attached")

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
