"""Reads PDF files page by page as passages; lines that recur on most pages are left out."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.regular_file import NotRegular, require_regular
from engine.intake.sources.documents.html import passage
from engine.intake.sources.items import Dropped, Item, Tally

EDGE = 2  # lines at the top and at the bottom of a page that may recur
NUMBER = re.compile(r"\d+")
END = re.compile(r"[.!?…:»”\"')]\s*$")
MAX_PAGES = 5000


def read_pdf(path: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of a PDF file. A page without text, such as a scan, is counted as empty."""

    def read(tally: Tally) -> Iterator[Item]:
        pages = _pages(path, tally)
        edges = Counter(_form(line) for lines in pages for line in {*lines[:EDGE], *lines[-EDGE:]} if line.strip())
        most = max(3, len(pages) / 2)
        for number, lines in enumerate(pages, 1):
            place = f"page {number}"
            kept = []
            for at, line in enumerate(lines):
                if (at < EDGE or at >= len(lines) - EDGE) and edges[_form(line)] >= most and line.strip():
                    tally.units += 1
                    yield Dropped(place, "boilerplate", line.strip())
                else:
                    kept.append(line)
            if not any(line.strip() for line in kept):
                tally.units += 1
                yield Dropped(place, "empty", "")
            for count, text in enumerate(_paragraphs(kept), 1):
                tally.units += 1
                yield passage(f"{place}, paragraph {count}", text, "")

    return read


def _pages(path: Path, tally: Tally) -> list[list[str]]:
    """Returns the lines of every page; a page that cannot be read has one unit, which says so in a remark."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it prints about a file would reach the terminal
    try:
        require_regular(path)
        tally.size = path.stat().st_size
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError(f"{path}: it is protected by a password")
        count = len(reader.pages)
        if count > MAX_PAGES:
            raise InputError(f"{path}: it has {count:,} pages; at most {MAX_PAGES:,} are read")
        pages = []
        for number, page in enumerate(reader.pages, 1):
            pages.append(page.extract_text().split("\n"))
            tally.position = tally.size * number // count
        return pages
    except InputError:
        raise
    except NotRegular as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except Exception as error:  # pypdf raises what it meets in a damaged file: KeyError, TypeError, its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: the PDF cannot be read ({reason})") from error


def _form(line: str) -> str:
    return NUMBER.sub("#", line.strip())


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Yields the paragraphs of a page: they end at a blank line, or at a short line that ends a sentence."""
    width = max((len(line) for line in lines), default=0)
    run: list[str] = []
    for line in lines:
        if line.strip():
            run.append(line.strip())
        if run and (not line.strip() or (END.search(line) and len(line) < 0.8 * width)):
            yield _joined(run)
            run = []
    if run:
        yield _joined(run)


def _joined(lines: list[str]) -> str:
    """Returns lines as one; a word that was divided at the end of a line is put together."""
    return re.sub(r"(?<=[^\W\d_])[-\u00ad]\n(?=[^\W\d_A-Z])", "", "\n".join(lines)).replace("\n", " ")
