"""Has the base model write the question that a passage answers (instruction back-translation)."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import log

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from engine.contract.workbook.drafts import Made
from engine.contract.workbook.workbook import Entry
from engine.data.templates.chat_template import Message
from engine.intake.made.writer import BATCH, Writer

READ = 90  # words of a passage that the model reads
LIMIT = 28  # tokens of a question
LEAST, MOST = 4, 22  # words of a question
COPIED = 5  # words in a row that a question must not have in common with its passage
KEYWORDS = 3  # words of the passage of which the question must have one: else a small model asks "What do you mean?"
OFTEN = 0.15  # of the passages: a word that is in more of them is no keyword
ASKED = "Text: {text}\nWrite a question that this text answers, about: {words}"
SHOWN = (  # of nobody's; the model copies their form
    (
        "We used to swim in the quarry before they fenced it. The water was black, and nobody ever touched the bottom.",
        "swim, quarry",
        "Did you ever swim in the old quarry?",
    ),
    (
        "I never trust a recipe that says 'to taste'. Whose taste? Mine is bad on Mondays.",
        "recipe",
        "How do you follow a recipe?",
    ),
    (
        "The train was late again, so I read the timetable for fun. It is our best novel.",
        "train, timetable",
        "What do you do when the train is late?",
    ),
)
QUESTION = re.compile(r"[^\n?]*\?")
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def write_questions(
    entries: Sequence[Entry], every: Sequence[Entry], writer: Writer, told: Callable[[int], None]
) -> Iterator[Made]:
    """Yields a question for each passage: the model's, or a plain one about its keywords if the model fails twice.

    `every` are all passages, which tell what is rare. `told` gets the number of passages that are done, now and then.
    """
    waiting = sorted(entries, key=lambda entry: len(entry.turns[0].text))
    keywords = keywords_of([entry.turns[0].text for entry in every])
    words = {entry.draft.id: own for entry, own in zip(every, keywords, strict=True)}
    for start in range(0, len(waiting), BATCH):
        batch = waiting[start : start + BATCH]
        for sampled in (False, True):
            prompts = [_prompt(entry.turns[0].text, words[entry.draft.id]) for entry in batch]
            progress = partial(_later, told, start + BATCH - len(batch))
            written = writer.write(prompts, [LIMIT] * len(batch), progress, sampled)
            left = []
            for entry, (text, _) in zip(batch, written, strict=True):
                marks, own = writer.renderer.special_tokens, words[entry.draft.id]
                if (question := usable_question(text, entry.turns[0].text, own, marks)) is not None:
                    yield Made(entry.draft.id, "question", question)
                else:
                    left.append(entry)
            batch = left
            if not batch:
                break
        for entry in batch:
            yield Made(
                entry.draft.id, "question", f"What do you have to say about {' and '.join(words[entry.draft.id])}?"
            )


def keywords_of(passages: Sequence[str]) -> list[list[str]]:
    """Returns for each passage its most telling words, in its order: frequent in it and rare in the others."""
    split = [[word for word in WORD.findall(passage.casefold()) if len(word) > 3] for passage in passages]
    shared = Counter(word for words in split for word in set(words))
    found = []
    for passage, words in zip(passages, split, strict=True):
        known = [word for word in words if word not in ENGLISH_STOP_WORDS]
        rare = [word for word in known if shared[word] <= max(2, OFTEN * len(passages))] or known or words
        weights = {word: words.count(word) * log(len(passages) / shared[word] + 1) for word in rare}
        best = sorted(weights, key=lambda word: -weights[word])[:KEYWORDS]
        found.append(sorted(best, key=words.index) or passage.split()[:1])
    return found


def usable_question(written: str, passage: str, keywords: Sequence[str], marks: Sequence[str]) -> str | None:
    """Returns the question in what a model wrote; None if it has no keyword, or tells the answer, or is none."""
    match = QUESTION.search(written)
    question = match[0].strip(" \"'*-:") if match is not None else ""
    question = re.sub(r"^(?:Question|Q)\s*:\s*", "", question).strip("\"' ")
    words = WORD.findall(question.casefold())
    if not LEAST <= len(words) <= MOST or any(mark in question for mark in marks):
        return None
    if not any(word.startswith(keyword[:5]) for word in words for keyword in keywords):
        return None
    told = " ".join(WORD.findall(passage.casefold()))
    runs = (" ".join(words[i : i + COPIED]) for i in range(len(words) - COPIED + 1))
    return None if any(f" {run} " in f" {told} " for run in runs) else question


def _prompt(passage: str, keywords: Sequence[str]) -> list[Message]:
    shown = [turn for text, words, question in SHOWN for turn in (_ask(text, words), Message("assistant", question))]
    return [*shown, _ask(" ".join(passage.split()[:READ]), ", ".join(keywords))]


def _ask(text: str, words: str) -> Message:
    return Message("user", ASKED.format(text=text, words=words))


def _later(told: Callable[[int], None], done: int, more: int) -> None:
    told(done + more)
