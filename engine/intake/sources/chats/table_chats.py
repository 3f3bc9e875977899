"""Reads chats in tables (CSV, TSV): one message a row, in columns with an author, a time and a text."""

from collections.abc import Callable, Iterator
from pathlib import Path

from engine.contract.errors import InputError
from engine.data.sources.csv_files import read_csv
from engine.intake.sources.chats.fields import AUTHORS, TEXTS, TIMES, first, folded, name_of, text_of, time_of
from engine.intake.sources.chats.stamps import Order, seconds
from engine.intake.sources.items import Dropped, Item, Message, Tally
from engine.intake.sources.sorting import sort


def read_table_chat(path: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of a table of messages."""

    def read(tally: Tally) -> Iterator[Item]:
        tally.size = path.stat().st_size
        order = Order()
        for _, row in read_csv(path, (*AUTHORS, *TEXTS, *TIMES)):
            if not isinstance(row, InputError):
                order.note(*_stamp(str(first(folded(row), TIMES) or "")))
        for number, (where, row) in enumerate(read_csv(path, (*AUTHORS, *TEXTS, *TIMES)), 1):
            tally.units += 1
            place = f"row {number}"
            if isinstance(row, InputError):
                yield Dropped(place, "damaged", "", f"{place}: {str(row).removeprefix(f'{where}: ')}")
                continue
            message = folded(row)
            author, stamp = name_of(first(message, AUTHORS)), str(first(message, TIMES) or "")
            reason, text = sort(text_of(first(message, TEXTS)))
            if reason is None and not author:
                reason = "system"
            if reason is not None:
                media = reason == "empty" and any(message.get(key) for key in ("attachments", "file", "media"))
                yield Dropped(place, "media" if media else reason, text)
                continue
            time = time_of(stamp)
            if time is None:
                time = seconds(*_stamp(stamp), order.best)
            thread = name_of(first(message, ("chat", "channel", "conversation", "thread"))) or path.stem
            yield Message(author, time, text, thread, place)
        tally.position = tally.size

    return read


def _stamp(text: str) -> tuple[str, str]:
    """Returns the date and the time of a cell."""
    date, _, time = text.replace(",", "").partition(" ")
    return date, time
