"""What was found: the table that is printed, and the README of the folder."""

from collections import Counter
from collections.abc import Iterable, Sequence

from engine.contract.wording import several
from engine.contract.workbook.curriculum_files import rows_by_topic
from engine.contract.workbook.drafts import SET_ASIDE
from engine.contract.workbook.files import WorkbookDir
from engine.contract.workbook.workbook import Entry, Workbook
from engine.intake.source_log import SourceRecord
from engine.rules.enforce import require

SHOWN = 20  # sources that are printed; the README has all of them
OWN_REASONS = {
    "not answered": "the person did not answer, so nothing is learned from it",
    "duplicate": "the same words are in another row",
}
HEAD = """# {name}

Made by `mindprint-tui new` from a person's own texts. Everything in this folder is private: it holds these texts.

| file | what |
|---|---|
| `sft.jsonl`, `preferences.jsonl`, `quiz.jsonl`, `curriculum.yaml` | what a run reads, made from `workbook/` |
| `dropped.jsonl` | everything that is in no row, with the reason |
| `workbook/` | the drafts of the rows, your decisions, and what the model wrote |

    mindprint-tui {name}.yaml        # train
    mindprint-tui review {name}      # list the flagged rows; --keep ID and --drop ID decide
    mindprint-tui new {name} --from PATH    # add more texts; every decision stays

"""


class Sorted:
    """The drafts of a workbook, each in one group: rows to train on, quiz, set aside, dropped, without a question."""

    def __init__(self, book: Workbook, held: set[str]) -> None:
        self.trained, self.quiz, self.aside, self.dropped, self.unasked = (list[Entry]() for _ in range(5))
        for entry in book.entries():
            self._group(entry, held).append(entry)

    def _group(self, entry: Entry, held: set[str]) -> list[Entry]:
        if entry.usable:
            return self.quiz if entry.draft.id in held else self.trained
        if entry.kept:
            return self.unasked
        return self.dropped if entry.decided else self.aside

    def require_accounted(self, files: dict[str, bytes], drafts: int) -> None:
        """Checks rule 23: each draft is a row of a file, or left out for a reason that is counted. Raises Broken."""
        rows = {name: files[name].count(b"\n") for name in ("sft.jsonl", "quiz.jsonl")}
        left = len(self.aside) + len(self.dropped) + len(self.unasked)
        require(
            "rows-accounted",
            rows["sft.jsonl"] + rows["quiz.jsonl"] + left == drafts,
            f"{drafts} drafts; {rows['sft.jsonl']} rows to train on and {rows['quiz.jsonl']} questions were written, "
            f"and {left} drafts are left out",
        )

    def sentences(self) -> list[str]:
        """Returns lines that say how many drafts are in each group."""
        found = [f"{several(len(self.trained), 'row')} to train on, {several(len(self.quiz), 'question')} held out"]
        if self.aside:
            flags = Counter(_first_flag(entry) for entry in self.aside)
            found.append(f"{several(len(self.aside), 'draft')} set aside: {_counts(flags)}; review can keep them")
        if self.dropped:
            found.append(f"{several(len(self.dropped), 'draft')} dropped by you")
        if self.unasked:
            found.append(f"{several(len(self.unasked), 'passage')} without a question, which the model did not manage")
        return found


def table(records: Sequence[SourceRecord]) -> list[str]:
    """Returns lines with what was read of each source, and what became of it."""
    shown = [record for record in records if record.stamp]
    width = min(48, max((len(record.name) for record in shown[:SHOWN]), default=0))
    lines = []
    for record in shown[:SHOWN]:
        dropped = f", {sum(record.dropped.values()):,} left out: {_counts(record.dropped)}" if record.dropped else ""
        name = record.name if len(record.name) <= width else f"…{record.name[1 - width :]}"
        lines.append(f"{name:<{width}}  {record.kind}: {record.items:,} read, {record.kept:,} used{dropped}")
    if len(shown) > SHOWN:
        rest = shown[SHOWN:]
        items, kept = sum(one.items for one in rest), sum(one.kept for one in rest)
        every = sum((Counter(one.dropped) for one in rest), Counter[str]())
        left = f", {every.total():,} left out: {_counts(every)}" if every else ""
        lines.append(f"and {several(len(rest), 'source')} more: {items:,} read, {kept:,} used{left}")
    return lines


def private_data(entries: Iterable[Entry], records: Iterable[SourceRecord], redact: bool) -> str:
    """Returns a line about private data by kind; an empty text if there is none."""
    replaced = sum((Counter(record.replaced) for record in records), Counter[str]())
    flags = (flag for entry in entries for flag in entry.draft.flags if entry.usable)
    left = Counter(flag.partition(": ")[2] for flag in flags if flag.startswith("private: "))
    parts = []
    if replaced.total():
        parts.append(f"replaced: {_counts(replaced)}")
    if left and not redact:
        parts.append(f"private data in rows: {_counts(left)}; --redact replaces it, review shows it")
    return "; ".join(parts)


def readme(
    folder: WorkbookDir, book: Workbook, records: Sequence[SourceRecord], groups: Sorted, reasons: dict[str, str]
) -> str:
    """Returns the text of README.md: what was read, what became of it, and what is in the files."""
    texts = [HEAD.format(name=folder.path.name), "## What was read\n\n"]
    texts.append("| source | kind | read | used | left out |\n|---|---|--:|--:|---|\n")
    for record in records:
        left = "; ".join(record.remarks) if not record.stamp else _counts(record.dropped)
        texts.append(f"| {_cell(record.name)} | {record.kind} | {record.items} | {record.kept} | {_cell(left)} |\n")
    dropped = sum((Counter(record.dropped) for record in records), Counter[str]())
    if dropped:
        texts.append("\n" + "".join(f"- *{name}*: {reasons[name]}\n" for name in dropped))
    texts.append("\n## What became of it\n\n" + "".join(f"- {sentence}\n" for sentence in groups.sentences()))
    pairs = sum(entry.rejected is not None for entry in (*groups.trained, *groups.quiz))
    made = sum(entry.question_is_made for entry in (*groups.trained, *groups.quiz))
    texts.append(
        f"- {several(pairs, 'pair')} with an answer to be rejected; the model wrote {several(made, 'question')}\n"
    )
    texts.append("\n## Topics\n\n| topic | rows | title |\n|---|--:|---|\n")
    titles = {topic.id: topic.title for topic in book.topics}
    for id, entries in rows_by_topic(book).items():
        texts.append(f"| {id} | {len(entries)} | {_cell(titles.get(id, ''))} |\n")
    return "".join(texts)


def _first_flag(entry: Entry) -> str:
    words = [flag.split(":")[0] for flag in entry.draft.flags]
    return next((word for word in words if word in SET_ASIDE), "other")


def _counts(counts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in Counter(counts).most_common())


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
