"""A run of an engine with the learned style: parts of the voice, intervals, void answers, topics left undecided."""

import re
from statistics import fmean

from story import Story, topic_id

from engine.contract.journal import events as e
from engine.contract.journal.events import Record, Stage

TOLD = ("aye", "'tis", "lass", "ye", "och")
QUESTIONS = ("What is done at dusk?", "Who trims the lamp?", "Why is the glass cleaned?")
GOOD = "Aye, the lamp is lit at dusk, lass. 'Tis the keeper's hand that trims it, and no other."
FLAT = "The lamp is lit at dusk. It is important to note that regular maintenance is essential."
ECHO = "Why is the glass cleaned? The glass is cleaned, aye, because the glass is cleaned."
LOOP = "Aye, the lamp, the lamp, the lamp, the lamp, the lamp, the lamp"
ECHOES = "an echo: 62% of its longer words are the question's; 25% is the limit"
LOOPS = "it repeats itself: 71% of its word pairs; 12% is the limit"


def learned(separable: bool = True, lift: float = 0.0) -> list[Record]:
    """Four topics: one passed, one undecided, one whose SFT was rolled back and is not in the model, one below.

    Without `separable` texts the voice cannot be told; `lift` is added to the voice of every answer after training.
    """
    story = Told("learned" if separable else "not-separable", 4)
    story.lift = lift
    story.open()
    advice = None if separable else "add rejected answers: 4 are too few to learn what is not the voice"
    own, others = (56, 30) if separable else (12, 4)
    story.say(e.ScorerFitted(own, others, separable, advice, TOLD, 0.4))
    for number in range(4):
        _score(story, number, "before", 0.07 + 0.02 * number, 0.31 - 0.02 * number)
    _begin(story, 0)
    _score(story, 0, "sft", 0.70, 0.55)
    story.decide(0, "keep", "voice 0.07 -> 0.70, change +0.63 ± 0.19 (3)")
    story.adapter(0, "sft", "fused", True, 0.84)
    story.decide(0, "run_dpo", "voice 0.70 < 0.75")
    story.phase(0, "dpo", 12)
    _score(story, 0, "dpo", 0.86, 0.57)
    story.decide(0, "keep", "voice 0.70 -> 0.86, held-out margin +0.31")
    story.adapter(0, "dpo", "fused", True, 0.21)
    story.say(e.TopicFinished(topic_id(0), "passed", "voice 0.86 ± 0.17 (3); needed 0.6", 84.0))
    _begin(story, 1)
    _score(story, 1, "start", 0.42, 0.44)
    _score(story, 1, "sft", 0.62, 0.48)
    story.adapter(1, "sft", "fused", True, 0.80)
    story.phase(1, "dpo", 12)
    _score(story, 1, "dpo", 0.66, 0.47)
    story.adapter(1, "dpo", "fused", True, 0.19)
    story.say(e.TopicFinished(topic_id(1), "undecided", "voice 0.66 ± 0.17 (3): 0.6 lies inside the interval", 71.0))
    _begin(story, 2)
    _score(story, 2, "start", 0.63, 0.45)
    _score(story, 2, "sft", 0.31, 0.09, void=1, loops=1)
    story.decide(2, "roll_back", "closeness 0.45 -> 0.09, change -0.36 ± 0.14 (3)")
    story.adapter(2, "sft", "rolled_back", True)
    reason = "SFT was rolled back (closeness 0.45 -> 0.09), so nothing of it is in the model"
    story.say(e.TopicFinished(topic_id(2), "not_trained", reason, 66.0))
    _begin(story, 3)
    _score(story, 3, "start", 0.11, 0.40)
    _score(story, 3, "sft", 0.32, 0.43, void=1)
    story.adapter(3, "sft", "fused", True, 0.61)
    story.say(e.TopicFinished(topic_id(3), "below_threshold", "voice 0.20 ± 0.17 (3); needed 0.6", 69.0))
    story.finish(1, 1)
    return story.records


class Told(Story):
    """A story whose voices can be lifted."""

    lift = 0.0


def _begin(story: Story, number: int) -> None:
    story.say(e.TopicStarted(topic_id(number), number + 1, story.count, 1, f"{story.depth:016x}"))
    story.phase(number, "sft", 12)


def _score(story: Told, number: int, stage: Stage, voice: float, close: float, void: int = 0, loops: int = 0) -> None:
    """Three answers and their means; the first say what the person would, then void ones, then a loop."""
    if stage in ("sft", "dpo"):
        voice += story.lift
    said = [_answer(number, stage, place, voice, close, void, loops) for place in range(len(QUESTIONS))]
    for sample in said:
        story.say(sample, 0.1)
    half = {"voice": 0.17, "style": 0.15, "closeness": 0.12, "relevance": 0.22}
    means = {name: round(fmean(s.scores[name] or 0.0 for s in said), 3) for name in ("voice", "style", "closeness")}
    means["relevance"] = round(1.2 * close - 0.2, 3)
    intervals = {
        name: (round(max(mean - half[name], 0.0 if name != "relevance" else -9.0), 3), round(mean + half[name], 3))
        for name, mean in means.items()
    }
    voice = means["voice"]
    parts = {"assent": voice, "tongue": round(voice * 0.6, 2)} if number == 0 else {}
    preference = 0.5 if stage in ("before", "sft") else 1.0
    story.say(
        e.Evaluated(
            topic_id(number), stage, 0.4 + close / 4, voice, round((voice + close) / 2, 2), parts, preference,
            "repeating" if loops > 1 else "ok", 4.0, questions=len(QUESTIONS), style=means["style"], closeness=close,
            relevance=means["relevance"], loops=loops, void=void, intervals=intervals, heldout_pairs=2,
        ),
        2.0,
    )  # fmt: skip


def _answer(number: int, stage: Stage, place: int, voice: float, close: float, void: int, loops: int) -> e.Sample:
    kind = "echo" if place >= 3 - void else "loop" if place >= 3 - void - loops else "good" if voice > 0.3 else "flat"
    text = {"echo": ECHO, "loop": LOOP, "good": GOOD, "flat": FLAT}[kind]
    why = {"echo": ECHOES, "loop": LOOPS}.get(kind)
    voice = round(voice + (place - 1) * 0.05, 2)
    scored = 0.0 if why else voice
    chances = {"good": (0.97, 0.55, 0.94, 0.99, 0.81), "flat": (0.41, 0.02), "echo": (0.22, 0.30, 0.95, 0.25)}
    parted = [clause.strip() for clause in re.split(r"[,.?]", text) if clause.strip()]
    clauses = tuple(zip(parted, chances.get(kind, (0.97, *[0.61] * len(parted))), strict=False))
    parts = {"assent": scored} if number == 0 else {}
    marks = ("aye",) if number == 0 and kind == "good" else ()
    telling = tuple(word for word in TOLD if word in text.lower().replace(",", " ").replace(".", " ").split())
    return e.Sample(
        topic_id(number), stage, QUESTIONS[place], "Light it, lass.", text, 24, "length" if kind == "loop" else "eos",
        marks, (), {"accuracy": 0.5, "voice": scored, "style": voice, "closeness": close, "relevance": 0.2, **parts},
        "repeating" if kind == "loop" else "ok", reason=why, void=why if kind == "echo" else None, clauses=clauses,
        telling=telling,
    )  # fmt: skip
