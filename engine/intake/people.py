"""Who the person is: names in messages, with how often each wrote."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from engine.contract.errors import InputError
from engine.contract.wording import short
from engine.intake.sources.items import Message
from engine.intake.sources.read import Source

LOOKED_AT = 50  # items of a source: if none is a message, the source is no chat
NAMED = 20  # names that an error lists


class Who:
    """Tells which messages are the person's: by what the file says itself, else by the names of the request.

    `others` counts the authors of the messages that were not the person's by name, `mine` those that were.
    """

    def __init__(self, me: Sequence[str]) -> None:
        self._me = frozenset(map(_key, me))
        self.mine, self.others = 0, Counter[str]()

    def __call__(self, message: Message) -> bool:
        """Tells whether the person wrote the message."""
        if message.mine is not None:
            return message.mine
        found = _key(message.author) in self._me or (message.address != "" and _key(message.address) in self._me)
        if found:
            self.mine += 1
        else:
            self.others[message.author] += 1
        return found


def authors(sources: Iterable[Source], each: Callable[[Source], None]) -> Counter[str]:
    """Returns how many messages each author wrote whom the files do not call the person; calls `each` for progress."""
    found: Counter[str] = Counter()
    for source in sources:
        for number, item in enumerate(source.items()):
            if isinstance(item, Message):
                if item.mine is None:
                    found[item.author] += 1
            elif number >= LOOKED_AT and not found:
                break
            if number % 1000 == 0:
                each(source)
    return found


def require_somebody(me: Sequence[str], who: Who) -> None:
    """Raises InputError, which lists the names, if none of the messages that were read is the person's."""
    if who.others and not who.mine:
        names = " or ".join(map(short, me))
        raise InputError(f"--me: nobody is called {names}; the names are {listed(who.others.most_common())}")


def listed(found: Sequence[tuple[str, int]]) -> str:
    """Returns names and counts as one line."""
    more = f", and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(f"{short(name)} ({count:,})" for name, count in found[:NAMED]) + more


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
