"""The rows of a workbook as lines: ids, flags, and the beginning of question and answer."""

from engine.contract.workbook.workbook import Workbook
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.view.text import shorten


def row_lines(book: Workbook, everything: bool, cells: int) -> list[str]:
    """Returns a line for each row of a workbook: its id, whether it is kept, its flags, question and answer.

    Without `everything`, only rows with a flag, and those that are left out. The last line counts them.
    """
    lines, kept = [], 0
    for entry in book.entries():
        kept += entry.usable
        if not (everything or entry.draft.flags or not entry.usable):
            continue
        question = entry.question or entry.turns[0].text if len(entry.conversation) > 1 else "(no question)"
        flags = f" [{', '.join(entry.draft.flags)}]" if entry.draft.flags else ""
        text = f"{entry.draft.id}  {'keep' if entry.usable else 'out '}{flags}  {question} → {entry.turns[-1].text}"
        lines.append(shorten(one_line(clean(text)), cells))
    return [*lines, f"{kept} of {len(book.drafts)} rows are kept"]
