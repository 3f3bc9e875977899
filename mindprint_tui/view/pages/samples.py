"""Answers to one question by stage, in columns or, if it is narrow, below each other."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from engine.contract.journal.events import Sample, TopicStarted
from engine.contract.journal.judge_file import Judgement
from engine.contract.text_match import composed, one_spelling, whole_words
from engine.contract.vocabulary import BASE, STAGES, Stage, health_label, score_label
from mindprint_tui.view.pages.judge import answer_marks
from mindprint_tui.view.text import Line, Span, crop, fit, line, number, sparkline, width, wrap

COLUMN, GAP = 21, 3  # least width of a column (120 cells hold five), and the gap between columns
OWN, OTHER = 2 / 3, 1 / 3  # a clause counts as the person's from OWN up, as another's below OTHER
ROLES = {  # kind of a piece -> its role in the console
    "": "",
    "own": "own",
    "other": "other",
    "marker": "mark",
    "telling": "mark",
    "violation": "bad",
}
SHOWN = ("voice", "style", "closeness")  # for learned scores; one answer's relevance is nearly meaningless
HIDDEN = ("relevance", "accuracy")
NOT_JUDGED = Judgement()


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answers of the latest attempt, by stage."""

    text: str
    reference: str
    answers: dict[Stage, Sample]


def questions(told: Iterable[Sample | TopicStarted]) -> list[Question]:
    """Returns the questions of one topic in the order in which they were first asked.

    A later answer of the same stage replaces the earlier one. When the topic starts again, only the base model's
    answers (`before`) stay valid. The new attempt begins without the deltas of the last attempt, and later topics may
    have added theirs. So its `start` is measured again.
    """
    found: dict[str, Question] = {}
    for event in told:
        if isinstance(event, TopicStarted):
            for question in found.values():
                for stage in question.answers.keys() - {BASE}:
                    del question.answers[stage]
        else:
            known = found.setdefault(event.question, Question(event.question, event.reference, {}))
            known.answers[event.stage] = event
    return list(found.values())


def plain(question: Question) -> str:
    """Returns the question and its answers as text for the clipboard."""
    parts = [f"Question: {question.text}", f"Reference: {question.reference}"]
    parts += [f"{STAGES[key].label}: {sample.answer}" for key, sample in _answers(question)]
    return "\n\n".join(parts)


def sample_lines(
    question: Question, cells: int, undone: Mapping[str, str], judged: Judgement = NOT_JUDGED
) -> list[Line]:
    """Returns the question, then the reference and the answers in as many columns as fit.

    `undone` maps stages that were not kept to the reason. `judged` has a judge's marks of the answers.
    """
    lines: list[Line] = [line((text, "bold")) for text in wrap(question.text, cells, "  ")]
    answers = _answers(question)
    across = (cells + GAP) // (COLUMN + GAP)
    if across < min(3, len(answers) + 1):
        lines += [(), line(("reference", "title")), *(line(text) for text in wrap(question.reference, cells))]
        for key, sample in answers:
            marks = answer_marks(judged, question.text, sample.answer)
            lines += [(), *_answer(key, sample, cells, undone.get(key), marks)]
        return [crop(text, cells) for text in lines]
    across = min(across, len(answers) + 1)
    side = (cells + GAP) // across - GAP
    blocks = [[line(("reference", "title")), (), *(line(text) for text in wrap(question.reference, side))]]
    blocks += [
        _answer(key, sample, side, undone.get(key), answer_marks(judged, question.text, sample.answer))
        for key, sample in answers
    ]
    for first in range(0, len(blocks), across):
        lines += [(), *_beside(blocks[first : first + across], side)]
    return lines


def _answers(question: Question) -> list[tuple[Stage, Sample]]:
    return [(key, question.answers[key]) for key in STAGES if key in question.answers]


def _answer(key: Stage, sample: Sample, cells: int, undone: str | None, marks: str) -> list[Line]:
    name = STAGES[key].label + (f" ⟲ {undone}" if undone else "")
    stop = ("cut short", "warn") if sample.stop == "length" else ("complete", "dim")
    lines: list[Line] = [line((name, "title")), line((f"{sample.tokens} tokens, ", "dim"), stop)]
    body = sample.answer if sample.answer.strip() else "(empty)"
    lines += _marked(wrap(body, cells), sample)
    lines.append(())
    lines += [line((text, role)) for note, role in faults(sample) for text in wrap(f"✗ {note}", cells, "  ")]
    for names, sign, role in ((sample.markers, "✓ ", "ok"), (wrongs(sample), "✗ ", "bad")):
        lines += [line((text, role)) for text in wrap(sign + ", ".join(names), cells, "  ")] if names else []
    if sample.clauses:
        lines += [line((text, "dim")) for text in wrap(by_clause(sample), cells, "  ")]
    if sample.telling and not sample.markers:
        lines += [line((text, "ok")) for text in wrap(f"tells: {', '.join(sample.telling)}", cells, "  ")]
    scores = [f"{score_label(name)} {number(value)}" for name, value in scores_of(sample)]
    glue = "  " if len("  ".join(scores)) <= cells else "\n"
    lines += [line((text, "dim")) for text in wrap(glue.join(scores), cells)]
    return lines + [line((text, "accent")) for text in wrap(marks, cells, "  ") if marks]


def faults(sample: Sample) -> list[tuple[str, str]]:
    """Returns the reasons why an answer scores 0 or less than its style, each with its role."""
    found = [(health_label(sample.health), "bad")] if sample.health != "ok" else []
    if sample.void:
        found.append((f"void: {sample.void}", "bad"))
    if sample.reason and sample.reason != sample.void:
        found.append((sample.reason, "warn"))
    return found


def by_clause(sample: Sample) -> str:
    """Returns, as bars and numbers, the probability that the person wrote each clause."""
    found = [probability for _, probability in sample.clauses]
    return f"by clause {sparkline(found, len(found))} {' '.join(map(number, found))}"


def scores_of(sample: Sample) -> list[tuple[str, float | None]]:
    """Returns the informative scores of one answer, those of the learned style first if there are any."""
    if "style" not in sample.scores:
        return list(sample.scores.items())
    first = [(name, sample.scores[name]) for name in SHOWN if name in sample.scores]
    return first + [pair for pair in sample.scores.items() if pair[0] not in (*SHOWN, *HIDDEN)]


def wrongs(sample: Sample) -> list[str]:
    """Returns the voice rules that an answer breaks.

    A broken distinction has its name and the words that broke it.
    """
    return [f"{name}: “{sample.quotes[name]}”" if name in sample.quotes else name for name in sample.violations]


def clause_kind(probability: float) -> str:
    """Returns `own` if the person probably wrote a clause, `other` if not, or "" if unsure."""
    return "own" if probability >= OWN else "other" if probability < OTHER else ""


def pieces(text: str, sample: Sample) -> list[tuple[str, str]]:
    """Splits an answer into pieces with a kind: `violation`, `marker`, `telling`, `own`, `other` or plain.

    A `violation` breaks a rule of the voice and a `marker` is a marker of it. Without markers, text that is `telling`
    for the learned style is marked. The rest of a clause is `own`, `other` or plain. Matching works as in the score: in
    any spelling, and across line ends.
    """
    wrong = {_flat(sample.quotes.get(name, name)) for name in sample.violations}
    shown = composed(text)
    kinds = [""] * len(shown)
    for first, last, kind in _clauses(shown, sample):
        kinds[first:last] = [kind] * (last - first)
    for names, kind in ((sample.markers or sample.telling, "marker" if sample.markers else "telling"), (wrong, "")):
        words = sorted({_flat(name) for name in names} - {""}, key=len, reverse=True)
        if not words:
            continue
        pattern = whole_words("|".join(r"\s+".join(map(re.escape, word.split())) for word in words))
        for hit in pattern.finditer(one_spelling(text)):
            found = "violation" if _flat(hit[0]) in wrong else kind
            kinds[hit.start() : hit.end()] = [found] * (hit.end() - hit.start())
    cuts = [place for place in range(len(shown)) if place == 0 or kinds[place] != kinds[place - 1]]
    return [(shown[cut:end], kinds[cut]) for cut, end in pairwise([*cuts, len(shown)])]


def _clauses(text: str, sample: Sample) -> Iterator[tuple[int, int, str]]:
    """Yields start, end and kind of each clause in the text of an answer, in order."""
    spelled, place = one_spelling(text), 0
    for clause, probability in sample.clauses:
        words = map(re.escape, one_spelling(clause).split())
        if (hit := re.compile(r"\s+".join(words)).search(spelled, place)) is not None:
            place = hit.end()
            yield hit.start(), place, clause_kind(probability)


def _flat(text: str) -> str:
    return " ".join(one_spelling(text).lower().split())


def _marked(texts: list[str], sample: Sample) -> list[Line]:
    """Returns the lines of an answer, with markers and violations in their colours."""
    rows: list[list[Span]] = [[]]
    for text, kind in pieces("\n".join(texts), sample):
        first, *others = text.split("\n")
        rows[-1].append((first, ROLES[kind]))
        rows += [[(other, ROLES[kind])] for other in others]
    return [line(*spans) for spans in rows]


def _beside(blocks: list[list[Line]], side: int) -> list[Line]:
    rows: list[Line] = []
    for y in range(max(map(len, blocks))):
        spans: list[Span] = []
        for place, block in enumerate(blocks):
            part = crop(block[y], side) if y < len(block) else ()
            pad = fit("", side - width(part))
            spans += [(" │ ", "dim"), *part, (pad, "")] if place else [*part, (pad, "")]
        rows.append(tuple(spans))
    return rows
