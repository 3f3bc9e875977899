"""Reads Word and OpenDocument texts as passages below their headings."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.regular_file import NotRegular, require_regular
from engine.intake.sources.documents.html import passage
from engine.intake.sources.items import Item, Reason, Tally

MAX_UNPACKED = 512 << 20  # bytes of all parts of a document, unpacked
MAX_RATIO = 1000  # of unpacked to packed bytes: XML packs well, but not as well as zeros do
Block = tuple[str, Reason | None, str]  # the heading above it, why it is left out, its text


def read_docx(path: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of a Word document (.docx)."""
    return _reader(path, _docx)


def read_odt(path: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of an OpenDocument text (.odt)."""
    return _reader(path, _odt)


def _reader(path: Path, blocks: Callable[[Path], Iterator[Block]]) -> Callable[[Tally], Iterator[Item]]:
    def read(tally: Tally) -> Iterator[Item]:
        _require_bounded(path)
        tally.size = path.stat().st_size
        try:
            found = list(blocks(path))
        except InputError:
            raise
        except Exception as error:  # the libraries raise what they meet in a damaged file: KeyError, XML errors
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{path}: the document cannot be read ({reason})") from error
        for number, (heading, left_out, text) in enumerate(found, 1):
            tally.units += 1
            yield passage(f"paragraph {number}", text, heading, left_out)
        tally.position = tally.size

    return read


def _require_bounded(path: Path) -> None:
    try:
        require_regular(path)
        with zipfile.ZipFile(path) as archive:
            sizes = [(info.file_size, info.compress_size) for info in archive.infolist()]
    except NotRegular as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: the document cannot be read ({error})") from error
    whole = sum(size for size, _ in sizes)
    if whole > MAX_UNPACKED or any(size > MAX_RATIO * max(packed, 1) + (1 << 20) for size, packed in sizes):
        raise InputError(f"{path}: it unpacks to {whole >> 20:,} MB, which no text does")


def _docx(path: Path) -> Iterator[Block]:
    from docx import Document
    from docx.table import Table

    heading = ""
    for block in Document(str(path)).iter_inner_content():
        if isinstance(block, Table):
            cells = [" | ".join(cell.text for cell in row.cells) for row in block.rows]
            yield heading, "code", "\n".join(cells)
            continue
        style = (block.style.name or "") if block.style is not None else ""
        text = block.text.strip()
        if style.startswith(("Heading", "Title")):
            heading = text or heading
        elif text:
            listed = "- " if style.startswith("List") else ""
            yield heading, "quoted" if "Quote" in style else None, listed + text


def _odt(path: Path) -> Iterator[Block]:
    from odfdo import Document, Element

    heading = ""
    for block in Document(str(path)).body.children:
        if not isinstance(block, Element):
            continue
        for one in block.children if block.tag == "text:section" else [block]:
            text = _odt_text(one)
            if one.tag == "text:h":
                heading = text or heading
            elif one.tag in ("text:p", "text:list", "table:table") and text:
                style = str(getattr(one, "style", "") or "")
                reason: Reason | None = (
                    "code" if one.tag == "table:table" else "quoted" if "Quotation" in style else None
                )
                yield heading, reason, text


def _odt_text(element: object) -> str:
    """Returns the text of an element; each paragraph of a list is an item."""
    from odfdo import Element

    assert isinstance(element, Element)
    if element.tag in ("text:p", "text:h"):
        return str(element.text_recursive).strip()
    mark = "- " if element.tag == "text:list" else ""
    lines = [str(one.text_recursive).strip() for one in element.get_elements("descendant::text:p")]
    return "\n".join(mark + line for line in lines if line)
