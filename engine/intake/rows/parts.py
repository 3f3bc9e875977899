"""What becomes of the items of a source: a part of it that is one draft, or an item that is left out."""

from dataclasses import dataclass

from engine.contract.workbook.drafts import Turn


@dataclass(frozen=True, slots=True)
class Part:
    """The turns of one draft, made of `items` items of a source. `heading` is the folder or heading it stands under."""

    turns: tuple[Turn, ...]
    place: str
    items: int
    heading: str = ""
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """An item that is left out, and why."""

    place: str
    reason: str
    text: str
