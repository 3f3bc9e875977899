"""A workbook as it stands: each draft with its decision, its topic and the texts that were made for it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.contract.workbook.drafts import SET_ASIDE, Decision, Draft, Made, Topic, Turn
from engine.contract.workbook.files import WorkbookDir, read_lines, read_topics


@dataclass(frozen=True, slots=True)
class Entry:
    """A draft as it stands. `kept` is the person's word, or else whether nothing speaks against it."""

    draft: Draft
    topic: str
    turns: tuple[Turn, ...]
    kept: bool
    decided: bool
    question: str | None
    question_is_made: bool
    rejected: str | None
    rejected_is_made: bool = False

    @property
    def usable(self) -> bool:
        """Whether it becomes a row: kept, and it has a question."""
        return self.kept and (self.turns[0].role == "user" or self.question is not None)

    @property
    def conversation(self) -> tuple[Turn, ...]:
        """The turns to train on, with the question of a passage before it."""
        return self.turns if self.question is None else (Turn("user", self.question), *self.turns)


@dataclass(slots=True)
class Workbook:
    """What the files of a workbook say, in the order of reading."""

    drafts: dict[str, Draft] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    made: dict[tuple[str, str], str] = field(default_factory=dict)
    topics: list[Topic] = field(default_factory=list)
    topic_of: dict[str, str] = field(default_factory=dict)

    def take(self, line: Decision | Made) -> None:
        """Adds a decision, which replaces an earlier one, or a made text."""
        if isinstance(line, Decision):
            self.decisions[line.draft] = line
        else:
            self.made[line.draft, line.field] = line.text

    def entry(self, id: str) -> Entry:
        """Returns a draft as it stands."""
        draft, decision = self.drafts[id], self.decisions.get(id, Decision(id))
        made, answered = self.made.get((id, "question")), self.made.get((id, "rejected"))
        against = any(flag.split(":")[0] in SET_ASIDE for flag in draft.flags)
        return Entry(
            draft=draft,
            topic=decision.topic or self.topic_of.get(id, ""),
            turns=decision.turns or draft.turns,
            kept=not against if decision.keep is None else decision.keep,
            decided=decision.keep is not None,
            question=(decision.question or made) if draft.is_passage else None,
            question_is_made=draft.is_passage and decision.question is None and made is not None,
            rejected=draft.rejected or answered,
            rejected_is_made=draft.rejected is None and answered is not None,
        )

    def entries(self) -> Iterator[Entry]:
        """Yields all drafts as they stand."""
        return map(self.entry, self.drafts)


def read_workbook(folder: WorkbookDir) -> Workbook:
    """Reads a workbook. Raises InputError, which names file and line, for what does not fit."""
    topics = read_topics(folder)
    book = Workbook(topics=topics.topics, topic_of=topics.of)
    for _, draft in read_lines(folder.drafts, Draft):
        book.drafts[draft.id] = draft
    for _, decision in read_lines(folder.decisions, Decision):
        book.take(decision)
    for _, made in read_lines(folder.made, Made):
        book.take(made)
    return book
