"""Reads the folder of a Slack export: one folder for each channel, one JSON file for each day."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.regular_file import read_bytes
from engine.intake.sources.chats.fields import name_of
from engine.intake.sources.chats.json_chats import read_json_chat
from engine.intake.sources.items import Dropped, Item, Message, Tally
from engine.intake.sources.streams import decoded

DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].json"


def is_slack(folder: Path) -> bool:
    """Whether a folder is the export of a Slack workspace."""
    if not (folder / "users.json").is_file():
        return False
    return (folder / "channels.json").is_file() or any(folder.glob(f"*/{DAY}"))


def read_slack(folder: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of all channels, in the order of their names and days."""

    def read(tally: Tally) -> Iterator[Item]:
        names = _names(folder / "users.json")
        days = [
            path for path in sorted(folder.glob("*/*.json")) if not path.is_symlink() and not path.parent.is_symlink()
        ]
        sizes = {path: path.stat().st_size for path in days}
        done = 0
        for path in days:
            where = f"{path.parent.name}/{path.name}"
            own = Tally()
            for item in read_json_chat(path, names, path.parent.name)(own):
                yield _placed(item, where)
            done += sizes[path]
            tally.units += own.units
            tally.remarks += [f"{where}: {remark}" for remark in own.remarks]
            tally.position, tally.size = done, sum(sizes.values())

    return read


def _placed(item: Item, where: str) -> Item:
    if isinstance(item, Message):
        return Message(
            item.author, item.time, item.text, item.thread, f"{where}, {item.place}", item.mine, item.address
        )
    if isinstance(item, Dropped):
        return Dropped(f"{where}, {item.place}", item.reason, item.text, item.note, item.part)
    return item


def _names(path: Path) -> dict[str, str]:
    """Returns the names of the users by their ids. Raises InputError if the file cannot be read."""
    try:
        users = json.loads(decoded(read_bytes(path)))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: the users cannot be read: {error}") from error
    found = {}
    for user in users if isinstance(users, list) else []:
        if isinstance(user, dict) and isinstance(user.get("id"), str):
            profile = user.get("profile") if isinstance(user.get("profile"), dict) else {}
            found[user["id"]] = user.get("real_name") or name_of(profile) or name_of(user)
    return found
