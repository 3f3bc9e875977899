"""The log of sources in a workbook: what was read of each, and what became of it (rule 23)."""

from pathlib import Path

import msgspec
from msgspec import Struct

from engine.contract.errors import Unwritable
from engine.contract.run_folder.files import append_line
from engine.contract.workbook.files import WorkbookDir, read_lines
from engine.rules.enforce import require


class SourceRecord(Struct):
    """What was read of a source. `stamp` tells whether it has changed since; `reading` is that of the request.

    `items` are the messages, passages and rows in it: `kept` of them are in drafts, the others are in `dropped` by
    reason. `parts` counts what was left out of items that were kept, such as quotations in a mail.
    """

    name: str
    kind: str
    path: str
    stamp: str
    reading: str
    items: int = 0
    kept: int = 0
    drafts: int = 0
    dropped: dict[str, int] = {}
    parts: dict[str, int] = {}
    replaced: dict[str, int] = {}
    remarks: list[str] = []


class SourceLog:
    """The records of a workbook, the last of each source by its path."""

    def __init__(self, folder: WorkbookDir) -> None:
        self.path = folder.inner / "sources.jsonl"
        self.by_path = {record.path: record for _, record in read_lines(self.path, SourceRecord)}

    def name_for(self, path: Path, name: str) -> str:
        """Returns the name of a source; if another source has it already, with its folder or a number before it."""
        if (record := self.by_path.get(str(path))) is not None:
            return record.name
        taken = {record.name for record in self.by_path.values()}
        tried = [name, f"{path.parent.name}/{name}", *(f"{number}/{name}" for number in range(2, len(taken) + 3))]
        return next(one for one in tried if one not in taken)

    def add(self, record: SourceRecord) -> None:
        """Appends the record of a source that was read whole, after checking that nothing of it was lost."""
        require_accounted(record)
        try:
            append_line(self.path, msgspec.json.encode(record), durable=True)
        except OSError as error:
            raise Unwritable(self.path, error) from error
        self.by_path[record.path] = record


def require_accounted(record: SourceRecord) -> None:
    """Checks rule 23: items read are in drafts, or dropped for a reason. Raises Broken."""
    dropped = sum(record.dropped.values())
    require(
        "rows-accounted",
        record.items == record.kept + dropped,
        f"{record.name}: {record.items} items were read, {record.kept} are in drafts and {dropped} were dropped",
    )


def stamp_of(path: Path) -> str:
    """Returns what changes if a file changes, or a file in a folder: sizes and times."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    stats = [one.stat() for one in files]
    return f"{len(stats)}-{sum(one.st_size for one in stats)}-{max((one.st_mtime_ns for one in stats), default=0)}"
