"""The file ledger.json: which adapters of a folder are committed, in order, and the fingerprint of their model."""

import json
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import msgspec

from engine.adapters import fingerprint
from engine.adapters.deltas import Delta, load_delta
from engine.contract.errors import InputError
from engine.contract.names import delta_name
from engine.contract.regular_file import read_text
from engine.contract.run_folder.files import write_file


class LedgerRow(TypedDict):
    """A committed delta in ledger.json; older engines wrote no digest of its arrays."""

    name: str
    fused: bool
    digest: NotRequired[str]


class LedgerFile(TypedDict):
    """The content of ledger.json; older engines wrote no digest."""

    fingerprint: str
    commits: int
    deltas: list[LedgerRow]
    digest: NotRequired[str]


def write_ledger(folder: Path, data: dict[str, Any]) -> None:
    """Writes ledger.json with a digest of its fields, which are those of LedgerFile."""
    text = json.dumps({**data, "digest": _digest(data)}, indent=1)
    write_file(folder / "ledger.json", f"{text}\n".encode())


def read_ledger(folder: Path) -> dict[str, Any]:
    """Reads the ledger.json that `write_ledger` wrote: fingerprint, commits, and the committed deltas in order.

    Raises InputError if the name of a delta is not valid, since names become paths. Raises ValueError if the content
    does not match its digest, and msgspec.DecodeError if it is not a ledger.
    """
    file = folder / "ledger.json"
    data: dict[str, Any] = {**msgspec.json.decode(read_text(file), type=LedgerFile)}
    for place, row in enumerate(data["deltas"]):
        try:
            delta_name(row["name"])
        except InputError as error:
            raise InputError(f"{file}: deltas[{place}].name: {error}") from None
    if data.get("digest", _digest(data)) != _digest(data):  # older engines wrote no digest
        raise ValueError(f"{file.name} is not as it was written")
    return data


def load_deltas(folder: Path, data: dict[str, Any]) -> list[Delta]:
    """Loads the committed deltas that `data`, the ledger of the same folder, lists.

    Raises ValueError if the arrays of a delta are not the committed ones.
    """
    deltas = [load_delta(folder / row["name"], fused=row["fused"]) for row in data["deltas"]]
    for row, delta in zip(data["deltas"], deltas, strict=True):
        if row.get("digest", "") not in ("", delta.digest()):  # older engines wrote no digest
            raise ValueError(f"the arrays of {delta.name} are not those that were committed")
    return deltas


def listed_deltas(folder: Path) -> list[str]:
    """Returns the names of the deltas that ledger.json lists as committed; empty if the file does not exist."""
    return [row["name"] for row in read_ledger(folder)["deltas"]] if (folder / "ledger.json").exists() else []


def _digest(data: dict[str, Any]) -> str:
    """Returns one hash over the other fields of ledger.json."""
    return fingerprint.fingerprint({name: repr(data[name]) for name in ("fingerprint", "commits", "deltas")})
