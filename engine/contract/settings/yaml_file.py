"""Reads a YAML file that holds a mapping; errors name the line if the reader knows it."""

import re
from pathlib import Path
from typing import Any

import yaml

from engine.contract.errors import InputError
from engine.contract.regular_file import TEXT, NotRegular, read_bytes
from engine.contract.wording import LONGEST, short

KINDS = {
    type(None): "nothing",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
}


HALF = re.compile("[\ud800-\udfff]")


class Loader(yaml.SafeLoader):
    """Plain YAML without aliases: a few hundred bytes of aliases can expand beyond any memory."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            problem = f"an alias (*{event.anchor}); write the value itself here"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Joins the two halves in which JSON writes an emoji; refuses a lone half, which no file can hold."""
        value = super().construct_scalar(node)
        if isinstance(value, str) and HALF.search(value):
            try:
                return value.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                problem = f"half of a character in {short(value)}"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None
        return value


def read_text(path: Path) -> str:
    """Returns the text of a file; raises InputError.

    FileNotFoundError passes through, because each caller has its own message for it.
    """
    try:
        data = read_bytes(path, TEXT)
    except FileNotFoundError:
        raise
    except (IsADirectoryError, NotRegular) as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: cannot be read: not UTF-8 ({error.reason}, 0x{data[error.start]:02x})"
        ) from error


def mapping(path: Path, text: str, expected: str = "a mapping") -> dict[str, Any]:
    """Returns the mapping that the text of a file holds; raises InputError, also if a key is written twice."""
    try:
        _require_once(path, yaml.compose(text, Loader), "")
        data = yaml.load(text, Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(
            f"{path}:{line}: cannot be read: not valid YAML ({error.reason}: {error.character!r})"
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise InputError(
            f"{where}: cannot be read: not valid YAML ({getattr(error, 'problem', None) or error})"
        ) from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: the file is {'empty' if data is None else kind(data)}; expected {expected}")
    return data


def _require_once(path: Path, node: yaml.Node | None, prefix: str) -> None:
    """Raises InputError for a key that one mapping has twice: the first value would be lost."""
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _require_once(path, item, f"{prefix}[{i}]")
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines:
            full = f"{prefix}.{name}" if prefix else name
            raise InputError(f"{path}:{line}: {_cut(full)} is written twice (first on line {lines[name]})")
        lines[name] = line
        _require_once(path, value, f"{prefix}.{name}" if prefix else name)


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."


def kind(value: Any) -> str:
    """Returns the kind of a value in plain words that are not Python's."""
    return KINDS.get(type(value), "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}")
