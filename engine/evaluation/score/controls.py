"""Controls of the score: attacks made from a curriculum's rows, and texts that must pass."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from engine.contract.intervals import count_interval
from engine.evaluation.score.answer_score import AnswerScore
from engine.evaluation.score.scorer import Answer, whole_topics
from engine.evaluation.score.texts import ScoringTexts, Text, words

Kind: TypeAlias = Literal["must_pass", "must_not_pass"]
ScoreAll: TypeAlias = Callable[[Sequence[Answer]], list[AnswerScore]]
MARKERS = 12  # number of the voice's most telling words in a prefix
FRAME = 4  # number of these words on each side of a question
OTHER_LANGUAGES = (
    "Der Zug hält heute nicht an jeder Station, weil an zwei Brücken gebaut wird. Wer umsteigen will, nimmt den Bus "
    "vor dem Bahnhof. Er fährt alle zwanzig Minuten und braucht etwas länger als sonst.",
    "Le marché ouvre à sept heures et ferme vers midi. On y trouve des légumes, du pain et parfois des fleurs. Quand "
    "il pleut, les marchands s'installent sous les arcades près de la mairie.",
    "La biblioteca abre todos los días menos el domingo. Cada lector puede llevarse cinco libros durante tres semanas. "
    "Si necesita más tiempo, basta con llamar por teléfono antes de la fecha.",
    "The town hall opens at nine on weekdays. Visitors take a number at the entrance and wait for the display. A form "
    "for a new passport can be filled in at the desk, and the photographs are taken upstairs.",
)
KNOWN_SHARE = 0.15  # if the person uses a larger share of a text's words, the text may be in the person's language


@dataclass(frozen=True, slots=True)
class Control:
    """Result of one control: `passed` of `n` texts passed.

    `bound` is the smallest share that must pass, or the largest share that may pass. `broken` has the indices of texts
    with the wrong result.
    """

    name: str
    kind: Kind
    passed: int
    n: int
    bound: float
    broken: tuple[int, ...] = field(default=(), repr=False)

    @property
    def holds(self) -> bool:
        """Tells whether the share of passed texts is within the bound."""
        share = self.passed / self.n if self.n else 0.0
        return not self.n or (share >= self.bound if self.kind == "must_pass" else share <= self.bound)

    @property
    def interval(self) -> tuple[float, float]:
        """Returns Wilson's 90 % interval of the share that passes."""
        return count_interval(self.passed, self.n)

    def __str__(self) -> str:
        limit = f"at least {self.bound:.0%} must" if self.kind == "must_pass" else f"at most {self.bound:.0%} may"
        return f"{self.name}: {self.passed} of {self.n} pass, {limit}"


@dataclass(frozen=True, slots=True)
class Attack:
    """Texts of a control before they are scored. `needs_base`: only the base model can detect this attack."""

    name: str
    kind: Kind
    bound: float
    answers: tuple[Answer, ...]
    needs_base: bool = False


def attacks(texts: ScoringTexts, telling: Sequence[str], most: int = 100) -> list[Attack]:
    """Builds all controls, each with about `most` texts at most. `telling` has the voice's most telling words."""
    references = list(texts.references)[: max(most, 1)]
    pairs = whole_topics(texts.pairs, most)
    prefix = " ".join(telling[:MARKERS])
    before, after = " ".join(telling[:FRAME]), " ".join(telling[FRAME : 2 * FRAME])
    return [
        Attack(
            "rejected answers behind markers",
            "must_not_pass",
            0.02,
            tuple(Answer(pair.topic, pair.question, f"{prefix}, {pair.rejected}", pair.chosen) for pair in pairs),
        ),
        Attack(
            "the question in a frame of markers",
            "must_not_pass",
            0.0,
            tuple(_to(text, f"{before}, {text.question} {after}.") for text in references),
        ),
        Attack("one training row for every question", "must_not_pass", 0.0, tuple(_one_row(texts.sft, references))),
        Attack("references of another question", "must_not_pass", 0.02, tuple(_shifted(references))),
        Attack(
            "words of the reference shuffled",
            "must_not_pass",
            0.01,
            tuple(_to(text, _shuffled(text.text, number)) for number, text in enumerate(references)),
            needs_base=True,
        ),
        Attack("another language", "must_not_pass", 0.01, tuple(_foreign(texts, references)), needs_base=True),
        Attack(
            "the first half of the reference",
            "must_not_pass",
            0.05,
            tuple(_to(text, first_half(text.text)) for text in references),
        ),
        Attack(
            "the base model's answers",
            "must_not_pass",
            0.01,
            tuple(Answer(text.topic, text.question, text.text) for text in texts.base[:most]),
        ),
        Attack("references", "must_pass", 0.98, tuple(_to(text, text.text) for text in references)),
        Attack(
            "chosen answers, out of fold",
            "must_pass",
            0.98,
            tuple(Answer(p.topic, p.question, p.chosen, p.chosen, training=True) for p in pairs),
        ),
    ]


def run_controls(found: Sequence[Attack], score_all: ScoreAll, has_base: bool) -> list[Control]:
    """Scores the controls. Without the base model, those that need it are left out."""
    controls = []
    for attack in found:
        if not attack.answers or (attack.needs_base and not has_base):
            continue
        passed = [score.passes for score in score_all(attack.answers)]
        wrong = attack.kind == "must_not_pass"
        broken = tuple(place for place, passes in enumerate(passed) if passes == wrong)
        controls.append(Control(attack.name, attack.kind, sum(passed), len(passed), attack.bound, broken))
    return controls


def first_half(text: str) -> str:
    """Returns the first half of a text's words. If that ends with a whole sentence, the last word is removed."""
    found = text.split()
    size = max(1, len(found) // 2)
    if size > 1 and found[size - 1][-1] in ".!?\"'”’":
        size -= 1
    return " ".join(found[:size])


def _to(reference: Text, text: str) -> Answer:
    return Answer(reference.topic, reference.question, text, reference.text)


def _one_row(sft: Sequence[Text], references: Sequence[Text]) -> list[Answer]:
    rows: dict[str, str] = {}
    for text in sft:
        rows.setdefault(text.topic, text.text)
    return [_to(text, rows[text.topic]) for text in references if text.topic in rows]


def _shifted(references: Sequence[Text]) -> list[Answer]:
    by_topic: dict[str, list[Text]] = {}
    for text in references:
        by_topic.setdefault(text.topic, []).append(text)
    return [
        _to(text, group[(place + 1) % len(group)].text)
        for group in by_topic.values()
        if len(group) > 1
        for place, text in enumerate(group)
    ]


def _shuffled(text: str, seed: int) -> str:
    found = text.split()
    random.Random(seed).shuffle(found)
    return " ".join(found)


def _foreign(texts: ScoringTexts, references: Sequence[Text]) -> list[Answer]:
    """Returns answers in languages other than the person's. Questions of the same topic get different answers."""
    known = {word for text in texts.own for word in words(text.text)}
    foreign = []
    for other in OTHER_LANGUAGES:
        found = words(other)
        if sum(word in known for word in found) <= KNOWN_SHARE * len(found):
            foreign.append(other)
    if not foreign:
        return []
    seen: dict[str, int] = {}
    answers = []
    for text in references:
        turn = seen[text.topic] = seen.get(text.topic, -1) + 1
        if turn < len(foreign):
            answers.append(_to(text, foreign[turn]))
    return answers
