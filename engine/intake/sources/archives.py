"""Unpacks ZIP archives, such as those that WhatsApp and Slack export, into a private folder until the program ends."""

import atexit
import lzma
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from engine.contract.errors import InputError
from engine.intake.sources.streams import cleaned

MAX_MEMBERS = 100_000
MAX_UNPACKED = 4 << 30  # bytes of all members that are unpacked
MAX_RATIO = 500  # of unpacked to packed bytes of a member
PIECE = 1 << 20
DAMAGED = (
    OSError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
)
DOCUMENTS = ("word/document.xml", "content.xml")  # members of a DOCX or ODT file, which is no archive to unpack
MEDIA = tuple(
    b"\xff\xd8\xff|\x89PNG|GIF8|RIFF|OggS|ID3|\x1aE\xdf\xa3|#!AMR".split(b"|")
)  # how pictures and sounds begin


@dataclass(slots=True)
class Unpacked:
    """The folder with the members of an archive, and the names of those that are left out, with the reason."""

    folder: Path
    left_out: list[tuple[str, str]] = field(default_factory=list)


def is_archive(path: Path) -> bool:
    """Whether a file is a ZIP archive, and not a document in the form of one."""
    try:
        with open(path, "rb") as file:
            if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
                return False
        with zipfile.ZipFile(path) as archive:
            return not any(name in DOCUMENTS for name in archive.namelist())
    except DAMAGED as error:
        raise InputError(f"{path}: the archive cannot be read ({error})") from error


def unpack(path: Path) -> Unpacked:
    """Unpacks an archive, without its pictures and sounds. Raises InputError if it is too large or damaged."""
    folder = Path(tempfile.mkdtemp(prefix="mindprint-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    found = Unpacked(folder / (cleaned(path.stem).replace("/", "?") or "archive"))
    found.folder.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            if len(members) > MAX_MEMBERS:
                raise InputError(f"{path}: it has more than {MAX_MEMBERS:,} members")
            left = MAX_UNPACKED
            for info in members:
                if why := _left_out(info):
                    found.left_out.append((info.filename, why))
                    continue
                left -= info.file_size
                if left < 0:
                    raise InputError(f"{path}: it unpacks to more than {MAX_UNPACKED >> 30} GB")
                try:
                    if not _copy(archive, info, found.folder):
                        found.left_out.append((info.filename, "it is a picture, a sound or a film"))
                except DAMAGED as error:
                    found.left_out.append((info.filename, f"it cannot be unpacked ({error})"))
    except DAMAGED as error:
        raise InputError(f"{path}: the archive cannot be read ({error})") from error
    return found


def _left_out(info: zipfile.ZipInfo) -> str:
    parts = PurePosixPath(info.filename).parts
    if info.filename.startswith("/") or ".." in parts or "\\" in info.filename:
        return "its name leads out of the archive"
    if info.file_size > MAX_RATIO * max(info.compress_size, 1) + PIECE:
        return f"it unpacks to {info.file_size >> 20:,} MB, which no text does"
    if info.flag_bits & 1:
        return "it is protected by a password"
    return ""


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> bool:
    """Copies a member unless it is a picture or a sound; returns whether it did."""
    with archive.open(info) as source:
        piece = source.read(PIECE)
        if piece.startswith(MEDIA) or piece[4:8] == b"ftyp":
            return False
        target = folder.joinpath(*(cleaned(part)[:120] for part in PurePosixPath(info.filename).parts))
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            while piece:
                file.write(piece)
                piece = source.read(PIECE)
    return True
