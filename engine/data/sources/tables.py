"""Reads rows from Parquet and Arrow files, as the library `datasets` and pandas write them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.regular_file import NotRegular, only_regular, require_regular
from engine.data.sources import text_files
from engine.data.sources.text_files import Row

BATCH = 1000  # rows that are converted at a time


def read_table(path: Path) -> Iterator[Row]:
    """Yields ("<path> row N", row) from N = 1. Columns of images, sounds and other bytes are left out.

    Class labels come as their names. Raises InputError if the file is damaged or is not a regular file.
    """
    try:
        require_regular(path)
        yield from _rows(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (IsADirectoryError, NotRegular) as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        NotImplementedError,
        RecursionError,
    ) as error:  # pyarrow's, and those of JSON in a cell
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
        raise InputError(f"{path}: the data cannot be read: {reason}") from error


def _rows(path: Path) -> Iterator[Row]:
    number = 0
    for schema, batch in _batches(path):
        features = features_of(schema)
        text = [field.name for field in schema if not _bytes(field.type)]
        for row in batch.select(text).to_pylist():
            number += 1
            if number > text_files.MAX_ROWS:
                raise text_files.TooManyRows(f"{path}: more than {text_files.MAX_ROWS:,} rows; write a smaller file")
            yield f"{path} row {number}", {name: _value(value, features.get(name)) for name, value in row.items()}


def _batches(path: Path) -> Iterator[tuple[Any, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open(path, "rb", opener=only_regular) as file:
        parquet = file.read(4) == b"PAR1"
    if parquet or path.suffix.lower() == ".parquet":
        with pq.ParquetFile(path) as file:
            fields = [field for field in file.schema_arrow if not _bytes(field.type)]
            schema = pa.schema(fields, file.schema_arrow.metadata)
            for batch in file.iter_batches(BATCH, columns=schema.names):
                yield schema, batch
        return
    with pa.memory_map(str(path)) as source:
        reader: Any
        try:
            reader = pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            source.seek(0)
            table = pa.ipc.open_file(source).read_all()
            for batch in table.to_batches(BATCH):
                yield table.schema, batch
            return
        for batch in reader:
            for start in range(0, batch.num_rows, BATCH):
                yield reader.schema, batch.slice(start, BATCH)


def _bytes(kind: Any) -> bool:
    """Returns whether values of an Arrow type hold bytes: images and sounds are structs with a field `bytes`."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def features_of(schema: Any) -> dict[str, Any]:
    """Returns the column types that the library `datasets` notes in a file; empty for files of other programs."""
    noted = (schema.metadata or {}).get(b"huggingface")
    if noted is None:
        return {}
    try:
        found = json.loads(noted)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _value(value: Any, feature: Any) -> Any:
    """Converts a stored value by its noted type: a class label to its name, JSON text to what it says."""
    if value is None or not isinstance(feature, dict | list):
        return value
    if isinstance(feature, list):
        inner = feature[0] if feature else None
        return [_value(item, inner) for item in value] if isinstance(value, list) else value
    match feature.get("_type"):
        case "ClassLabel":
            names = feature.get("names")
            known = isinstance(names, list) and isinstance(value, int) and 0 <= value < len(names)
            return names[value] if known and names else value
        case "Json":
            return text_files.parse(value.encode()) if isinstance(value, str) else value
        case "List" | "LargeList" | "Sequence":
            inner = feature.get("feature")
            return [_value(item, inner) for item in value] if isinstance(value, list) else value
        case None if isinstance(value, dict):
            return {name: _value(item, feature.get(name)) for name, item in value.items()}
    return value
