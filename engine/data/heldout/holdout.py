"""Chooses the held-out rows if the data do not: pairs for preference accuracy, questions for a quiz.

Rows are chosen in the order of a hash, so that the choice is the same at every start. A row that overlaps with a
training row is not chosen: it would measure nothing, since the model was trained on its text (rule 19).
"""

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.contract.errors import InputError
from engine.contract.workbook.ngram_index import Index
from engine.data.forms.row_types import Pair, Question, SftRow


@dataclass
class TopicRows:
    """Rows of one topic while the curriculum is built; training does not use `heldout` pairs."""

    sft: list[SftRow] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    heldout: list[Pair] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


@dataclass
class _SameQuestion:
    """All rows of a topic that ask the same question."""

    sft: list[SftRow] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)


def add_rows(index: Index, sft: Iterable[SftRow], pairs: Iterable[Pair]) -> None:
    """Adds the training text of rows and pairs to the index, including the turns before the answer.

    A held-out question may be a small part of a plain text, so plain texts are added as running text.
    """
    for row in sft:
        if row.messages:
            index.add(row.where, *_turns(row), row.answer)
        else:
            index.add_running(row.where, row.answer)
    for pair in pairs:
        index.add(pair.where, *_turns(pair), *(turn.content for turn in pair.chosen_turns), pair.chosen)


def _turns(row: SftRow | Pair) -> list[str]:
    """Returns the texts of all user and assistant turns before the answer."""
    return [message.content for message in row.messages if message.role != "system"]


def hold_out(topics: Mapping[str, TopicRows], pair_share: float, quiz_share: float) -> list[str]:
    """Moves pairs to `heldout`, and moves rows to `questions` if a topic has no questions; returns warnings.

    If any pair of a topic has the field `heldout`, that field decides for all of its pairs. If none has it, the
    function holds out `pair_share` of the topic's pairs, and at least one if there are two or more. Raises InputError
    if a quiz must be made and no row can be held out.
    """
    index = Index()
    unsaid = any(rows.pairs and all(pair.heldout is None for pair in rows.pairs) for rows in topics.values())
    if quiz_share or (pair_share and unsaid):
        for rows in topics.values():
            add_rows(index, rows.sft, (pair for pair in rows.pairs if not pair.heldout))
    said = []
    for id, rows in topics.items():
        flagged = any(pair.heldout is not None for pair in rows.pairs)
        total = len(rows.pairs)
        if quiz_share and rows.sft and not rows.questions:
            _make_quiz(id, rows, quiz_share, index)
        if flagged:
            rows.heldout += [pair for pair in rows.pairs if pair.heldout]
            rows.pairs = [pair for pair in rows.pairs if not pair.heldout]
        elif total >= 2 and pair_share > 0:
            wanted = max(1, min(total - 1, round(pair_share * total)))
            _hold_pairs(rows, wanted - len(rows.heldout), index)
            if len(rows.heldout) < wanted:
                said.append(
                    f"{id}: {len(rows.heldout)} of {total} pairs are held out, {wanted} were asked for; the others "
                    "overlap with what is trained on"
                )
    return said


def _hold_pairs(rows: TopicRows, count: int, index: Index) -> None:
    by_hash = sorted(rows.pairs, key=lambda pair: _hash((pair.messages, pair.chosen)))
    held: set[str] = set()
    for pair in by_hash:
        if len(held) >= min(count, len(rows.pairs) - 1):
            break
        if _apart(index, {pair.where}, (pair.messages[-1].content, pair.chosen)):
            held.add(pair.where)
            rows.heldout.append(dataclasses.replace(pair, heldout=True))
    rows.pairs = [pair for pair in rows.pairs if pair.where not in held]


def _make_quiz(id: str, rows: TopicRows, share: float, index: Index) -> None:
    """Holds out whole questions: all rows and pairs that ask the same question leave the training set together."""
    groups: dict[str, _SameQuestion] = defaultdict(_SameQuestion)
    for row in rows.sft:
        if len(row.messages) == 1 or [message.role for message in row.messages] == ["system", "user"]:
            groups[_key(row.messages[-1].content)].sft.append(row)
    for pair in rows.pairs:
        if (key := _key(pair.messages[-1].content)) in groups:
            groups[key].pairs.append(pair)
    count = max(1, min(len(groups) - 1, round(share * len(groups))))
    sft_left, pairs_left, taken = len(rows.sft), len(rows.pairs), set[str]()
    for key in sorted(groups, key=_hash):
        asked = groups[key]
        leaves_rows = len(asked.sft) < sft_left
        leaves_pairs = len(asked.pairs) < pairs_left or not asked.pairs
        texts = [key, *(row.answer for row in asked.sft), *(pair.chosen for pair in asked.pairs)]
        places = {*(row.where for row in asked.sft), *(pair.where for pair in asked.pairs)}
        meant = any(pair.heldout is False for pair in asked.pairs)
        if meant or not (leaves_rows and leaves_pairs) or not _apart(index, places, texts):
            continue
        rows.questions += [
            Question(row.messages[-1].content, row.answer, (), row.where, row.messages[:-1]) for row in asked.sft
        ]
        rows.heldout += [dataclasses.replace(pair, heldout=True) for pair in asked.pairs]
        sft_left, pairs_left = sft_left - len(asked.sft), pairs_left - len(asked.pairs)
        taken |= places
        count -= 1
        if count == 0:
            break
    rows.sft = [row for row in rows.sft if row.where not in taken]
    rows.pairs = [pair for pair in rows.pairs if pair.where not in taken]
    if not rows.questions:
        raise InputError(
            f"topic {id}: none of its {len(rows.sft)} rows can be held out as a question: each overlaps with another "
            "row, or is not one question with its answer alone; give it a quiz"
        )


def _apart(index: Index, places: set[str], texts: Iterable[str]) -> bool:
    return all(index.find(text, frozenset(places)) is None for text in texts)


def _key(question: str) -> str:
    return " ".join(question.casefold().split())


def _hash(value: object) -> bytes:
    return hashlib.sha256(repr(value).encode()).digest()
