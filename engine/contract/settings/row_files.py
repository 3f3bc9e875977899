"""Names of files with rows: which kinds are read, and which are packed."""

from pathlib import PurePath

KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")  # kinds of files with rows
PACKED = (".gz", ".zst")  # a text file of rows may be packed: train.jsonl.gz
READ = f"{', '.join(KINDS[:-1])} and {KINDS[-1]} are (text files also packed as {' or '.join(PACKED)})"


def row_kind(path: str) -> str:
    """Returns the kind of a file of rows by its name, without packing: ".jsonl" for train.jsonl.gz; "" if not read."""
    name = PurePath(path)
    packed = name.suffix.lower() in PACKED
    suffix = (name.with_suffix("") if packed else name).suffix.lower()
    return suffix if suffix in KINDS and not (packed and suffix in (".parquet", ".arrow")) else ""


def bare_name(path: str) -> str:
    """Returns the file name without its kind and packing: "train" for data/train.jsonl.gz."""
    name = PurePath(path)
    if not row_kind(path):
        return name.name
    return (name.with_suffix("") if name.suffix.lower() in PACKED else name).stem
