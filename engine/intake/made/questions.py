"""Has the base model write the question that a passage answers (instruction back-translation)."""

import re
from collections.abc import Callable, Iterator, Sequence

from engine.contract.workbook.drafts import Made
from engine.contract.workbook.workbook import Entry
from engine.data.templates.chat_template import Message
from engine.intake.made.writer import BATCH, Writer

READ = 90  # words of a passage that the model reads
LIMIT = 28  # tokens of a question
LEAST, MOST = 3, 22  # words of a question
COPIED = 5  # words in a row that a question must not have in common with its passage
ASKED = "Text: {text}\nWrite the question that this text answers."
SHOWN = (  # of nobody's; the model copies their form
    (
        "We used to swim in the quarry before they fenced it. The water was black, and nobody ever touched the bottom.",
        "Where did you swim when you were young?",
    ),
    (
        "I never trust a recipe that says 'to taste'. Whose taste? Mine is bad on Mondays.",
        "What do you think of recipes?",
    ),
    ("The train was late again, so I read the timetable for fun. It is our best novel.", "How was your trip today?"),
)
QUESTION = re.compile(r"[^\n?]*\?")
WORD = re.compile(r"\w+")


def write_questions(entries: Sequence[Entry], writer: Writer, told: Callable[[int], None]) -> Iterator[Made]:
    """Yields a question for each passage for which the model writes a usable one, at the second try at the latest.

    `told` gets the number of passages that are done, now and then.
    """
    waiting = sorted(entries, key=lambda entry: len(entry.turns[0].text))
    for start in range(0, len(waiting), BATCH):
        batch = waiting[start : start + BATCH]
        for sampled in (False, True):
            prompts = [_prompt(entry.turns[0].text) for entry in batch]
            written = writer.write(prompts, [LIMIT] * len(batch), lambda done, s=start: told(s + done), sampled)  # type: ignore[misc]  # a default binds the loop's value
            left = []
            for entry, (text, _) in zip(batch, written, strict=True):
                if (question := usable_question(text, entry.turns[0].text, writer.renderer.special_tokens)) is not None:
                    yield Made(entry.draft.id, "question", question)
                else:
                    left.append(entry)
            batch = left
            if not batch:
                break


def usable_question(written: str, passage: str, marks: Sequence[str]) -> str | None:
    """Returns the question in what a model wrote; None if there is none that asks without telling the answer."""
    match = QUESTION.search(written)
    question = match[0].strip(" \"'*-:") if match is not None else ""
    question = re.sub(r"^(?:Question|Q)\s*:\s*", "", question)
    words = WORD.findall(question.casefold())
    if not LEAST <= len(words) <= MOST or any(mark in question for mark in marks):
        return None
    told = " ".join(WORD.findall(passage.casefold()))
    runs = (" ".join(words[i : i + COPIED]) for i in range(len(words) - COPIED + 1))
    return None if any(f" {run} " in f" {told} " for run in runs) else question


def _prompt(passage: str) -> list[Message]:
    shown = [turn for text, question in SHOWN for turn in (_ask(text), Message("assistant", question))]
    return [*shown, _ask(" ".join(passage.split()[:READ]))]


def _ask(text: str) -> Message:
    return Message("user", ASKED.format(text=text))
