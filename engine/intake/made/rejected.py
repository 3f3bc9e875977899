"""Has the base model answer the person's questions itself, at the person's length: the answers to be rejected."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial

from engine.contract.workbook.drafts import Made
from engine.contract.workbook.workbook import Entry
from engine.data.templates.chat_template import Message
from engine.intake.made.writer import BATCH, Writer

TRAINED, HELD = 48, 12  # pairs of all topics together
LEAST_TRAINED, LEAST_HELD = 12, 4  # of each topic: DPO of the shipped recipes takes 12 pairs in 6 steps
SHORTEST = 40  # characters: shorter answers come last, since the model can hardly keep to their length
RANGE = (0.8, 1.25)  # length in characters, of the person's answer (rule 22)
HINT = "\n(Answer in about {words} words.)"
END = re.compile(r"[.!?…。！？][\"'”’»)\]]*(?=\s|$)")


def wanting(by_topic: Mapping[str, Sequence[Entry]], held: Set[str]) -> list[Entry]:
    """Returns entries that are to get a rejected answer: some of each topic, and some of its held-out ones.

    They are chosen by a hash of their id. Those that have an answer count, so that more rows do not mean more answers.
    """
    found, topics = [], sum(map(bool, by_topic.values())) or 1
    trained, questions = max(LEAST_TRAINED, TRAINED // topics), max(LEAST_HELD, HELD // topics)
    for entries in by_topic.values():
        for most, is_held in ((trained, False), (questions, True)):
            own = [entry for entry in entries if (entry.draft.id in held) is is_held]
            own.sort(key=lambda entry: (len(entry.turns[-1].text) < SHORTEST, _hash(entry.draft.id)))
            room = most - sum(entry.rejected is not None for entry in own)
            found += [entry for entry in own if entry.rejected is None][: max(0, room)]
    return found


def write_rejected(entries: Sequence[Entry], writer: Writer, told: Callable[[int], None]) -> Iterator[Made]:
    """Yields a rejected answer for each entry for which the model keeps to the length, at the second try at the latest.

    The first try is greedy; the second is sampled and has a hint about the length. What is too long is cut where a
    sentence ends. `told` gets the number of entries that are done, now and then.
    """
    waiting = sorted(entries, key=lambda entry: len(entry.turns[-1].text))
    for start in range(0, len(waiting), BATCH):
        batch = waiting[start : start + BATCH]
        for again in (False, True):
            prompts = [_prompt(entry, hinted=again) for entry in batch]
            limits = [int(writer.tokens(entry.turns[-1].text) * RANGE[1]) + 4 for entry in batch]
            progress = partial(_later, told, start + BATCH - len(batch))
            written = writer.write(prompts, limits, progress, sampled=again)
            left = []
            for entry, (text, ended) in zip(batch, written, strict=True):
                own, marks = entry.turns[-1].text, writer.renderer.special_tokens
                fitted = fit_length(text, ended, len(own))
                if fitted is None or fitted == own or any(mark in fitted for mark in marks):
                    left.append(entry)
                else:
                    yield Made(entry.draft.id, "rejected", fitted)
            batch = left
            if not batch:
                break


def fit_length(text: str, ended: bool, length: int) -> str | None:
    """Returns the text, or its longest beginning of whole sentences, of 0.8 to 1.25 times `length`; None if none has.

    `ended` tells whether the text is whole.
    """
    least, most = (share * length for share in RANGE)
    ends = [match.end() for match in END.finditer(text)] + ([len(text)] if ended else [])
    fitting = [end for end in ends if least <= len(text[:end].strip()) <= most]
    return text[: max(fitting)].strip() if fitting else None


def _prompt(entry: Entry, hinted: bool) -> list[Message]:
    *before, own = entry.conversation
    messages = [Message(turn.role, turn.text) for turn in before]
    if hinted:
        words = max(1, len(own.text.split()))
        messages[-1] = Message("user", messages[-1].content + HINT.format(words=words))
    return messages


def _later(told: Callable[[int], None], done: int, more: int) -> None:
    told(done + more)


def _hash(id: str) -> bytes:
    return hashlib.sha256(id.encode()).digest()
