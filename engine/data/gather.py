"""Gathers the rows of a curriculum: finds the files, and reads and parses every row."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.settings.config import CurriculumConfig, SourceConfig
from engine.contract.wording import short
from engine.data.forms.fields import require_whole
from engine.data.forms.pairs import pair_row
from engine.data.forms.row_types import NotTrained, Pair, Question, SftRow
from engine.data.forms.rows import question_row, sft_row
from engine.data.forms.system_messages import placed
from engine.data.sources.read import read_file, read_source, topic_name
from engine.data.sources.text_files import Row
from engine.data.unusable import UnusableRow, unusable

FOUND = {  # the first file that exists in the curriculum's folder is used; *_data.jsonl come from the earlier system
    "sft": ("sft.jsonl", "sft.parquet", "sft_data.jsonl"),
    "preferences": ("preferences.jsonl", "preferences.parquet", "preference_data.jsonl"),
    "quiz": ("quiz.jsonl", "quiz.parquet"),
}
CALLED = {"sft": "rows to train on", "preferences": "pairs of answers", "quiz": "held-out questions"}
INSTEAD = {
    "sft": "curriculum.sft names a file elsewhere",
    "preferences": "curriculum.preferences names a file elsewhere, or dpo.when: never trains without pairs",
    "quiz": "curriculum.quiz names a file elsewhere, or curriculum.quiz_share: 0.1 holds out some of the training rows",
}
SMALLEST = "the smallest set that would do is sft.jsonl with curriculum.quiz_share: 0.1 and dpo.when: never"
UNREAD = 8  # unread fields that a warning names

Source = SourceConfig | Path


@dataclass(frozen=True, slots=True)
class Found:
    """A row and the topic that it names, if any; two rows with the same `key` are duplicates."""

    role: str
    topic: str | None
    row: SftRow | Pair | Question
    key: tuple[Any, ...]


@dataclass
class Gathered:
    """All rows that were read: those that can be used, those that cannot, and those that say that they are not to be.

    `unread` counts the fields that are not read, by role.
    """

    found: list[Found] = field(default_factory=list)
    unusable: list[UnusableRow] = field(default_factory=list)
    not_trained: list[str] = field(default_factory=list)
    unread: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def read(self) -> int:
        return len(self.found) + len(self.unusable) + len(self.not_trained)

    def warnings(self, sources: dict[str, tuple[Source, ...]]) -> list[str]:
        """Returns a warning for each row that is not trained on by its own mark, and for fields that are not read."""
        said = [*self.not_trained]
        for role, fields in self.unread.items():
            named = ", ".join(f"{short(name)} ({count:,})" for name, count in fields.most_common(UNREAD))
            more = f", and {len(fields) - UNREAD} more" if len(fields) > UNREAD else ""
            if named:
                said.append(f"{called(sources[role])}: fields that are not read: {named}{more}")
        return said


def sources_of(settings: CurriculumConfig, optional: dict[str, bool], warnings: list[str]) -> dict[str, Any]:
    """Returns the sources of each role: the configured ones, or the first file in the folder; warns about other files.

    Raises InputError that names every role without a source, and what to use instead.
    """
    found = {role: _sources(settings, role, warnings) for role in FOUND}
    missing = [role for role, sources in found.items() if not sources and not optional.get(role, False)]
    if missing:
        folder = Path(settings.path)
        lacking = [f"{folder / FOUND[role][0]}: no such file ({CALLED[role]}); {INSTEAD[role]}" for role in missing]
        raise InputError("\n  ".join([*lacking, *([SMALLEST] if len(missing) > 1 else [])]))
    return found


def _sources(settings: CurriculumConfig, role: str, warnings: list[str]) -> tuple[Source, ...]:
    named = {"sft": settings.sft, "preferences": settings.preferences, "quiz": settings.quiz}[role]
    if named:
        listed = named if isinstance(named, tuple) else (named,)
        return tuple(SourceConfig(one) if isinstance(one, str) else one for one in listed)
    folder = Path(settings.path)
    there = [folder / name for name in FOUND[role] if (folder / name).exists()]
    if strange := [path for path in there if path.is_dir()]:
        raise InputError(f"{strange[0]}: found a folder, expected a file; curriculum.{role} can name it as a dataset")
    warnings += [f"{path}: not read, since {there[0].name} is there too" for path in there[1:]]
    return tuple(there[:1])


def called(sources: Sequence[Source]) -> str:
    """Returns the path or name of the first source; an empty string if there is none."""
    return next((one.path if isinstance(one, SourceConfig) else str(one) for one in sources), "")


def gather(sources: dict[str, tuple[Source, ...]], system: str) -> Gathered:
    """Reads and parses every row of all sources. `system` is curriculum.system: what is done with system messages."""
    gathered = Gathered()
    for role, named in sources.items():
        unread = gathered.unread[role] = Counter()
        for where, data in _rows(named):
            try:
                if isinstance(data, InputError):
                    raise data
                gathered.found.append(_parse(role, where, data, unread, system))
            except NotTrained as error:
                gathered.not_trained.append(f"{where}: not used: {str(error).removeprefix(f'{where}: ')}")
            except InputError as error:
                gathered.unusable.append(unusable(where, error))
    return gathered


def _rows(sources: Sequence[Source]) -> Iterator[Row]:
    for source in sources:
        yield from read_file(source) if isinstance(source, Path) else read_source(source)


def _parse(role: str, where: str, data: dict[str, Any], unread: Counter[str], system: str) -> Found:
    row: SftRow | Pair | Question
    key: tuple[Any, ...]
    if role == "sft":
        row = placed(sft_row(where, data, unread), system)
        key = (row.messages, row.answer)
    elif role == "preferences":
        row = placed(pair_row(where, data, unread), system)
        key = (row.messages, row.chosen_turns, row.chosen, row.rejected_turns, row.rejected)
    else:
        row = placed(question_row(where, data, unread), system)
        key = (row.before, row.question, row.reference)
    given = data.get("topic", data.get("source"))
    topic = topic_name(given)
    if given is not None and topic is None:
        raise InputError(f"{where}: topic: found {short(given)}, expected a topic id")
    require_whole(f"{where}: topic", topic or "")
    return Found(role, topic, row, key)
