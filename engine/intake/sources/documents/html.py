"""Reads pages in HTML as passages below their headings; menus, scripts and quotations are left out."""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from engine.contract.errors import InputError
from engine.intake.sources.items import Dropped, Item, Passage, Reason, Tally
from engine.intake.sources.sorting import sort
from engine.intake.sources.streams import text_of

BLOCKS = set(
    "p div section article main header footer aside nav form ul ol li dl dt dd table tr td th blockquote pre figure "
    "figcaption h1 h2 h3 h4 h5 h6 hr body address details summary fieldset".split()
)
HIDDEN = {"script", "style", "template", "noscript", "svg", "math", "head", "object", "select", "button"}
REASONS: dict[str, Reason] = {
    "nav": "boilerplate", "header": "boilerplate", "footer": "boilerplate", "aside": "boilerplate",
    "form": "boilerplate", "blockquote": "quoted", "pre": "code", "table": "code",
}  # fmt: skip
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
VOID = {"br", "hr", "img", "input", "meta", "link", "area", "base", "col", "embed", "source", "track", "wbr"}
MAX_PAGE = 64 << 20  # characters


class _Blocks(HTMLParser):
    """Collects (kind, text) of every block: "heading", None for text, or the reason why it is left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str | None, str]] = []
        self._text: list[str] = []
        self._open: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._text.append("\n")
        elif tag == "li":
            self.flush()
            self._text.append("- ")
        elif tag in BLOCKS:
            self.flush()
        if tag not in VOID and (tag in BLOCKS or tag in HIDDEN):
            if tag in HIDDEN:
                self._hidden += 1
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self.flush()
        if tag in self._open:
            while self._open:
                closed = self._open.pop()
                self._hidden -= closed in HIDDEN
                if closed == tag:
                    break

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._text.append(data if "pre" in self._open else re.sub(r"\s+", " ", data))

    def flush(self) -> None:
        """Ends the block that is being read."""
        text = re.sub(r" *\n *", "\n", "".join(self._text)).strip()
        self._text = []
        if text and text != "-":
            reason = next((REASONS[tag] for tag in self._open if tag in REASONS), None)
            is_heading = bool(self._open) and self._open[-1] in HEADINGS and reason in (None, "boilerplate")
            self.found.append(("heading" if is_heading else reason, text))


def _blocks(page: str) -> list[tuple[str | None, str]]:
    parser = _Blocks()
    parser.feed(page)
    parser.close()
    parser.flush()
    return parser.found


def text_of_html(page: str) -> str:
    """Returns the text of a mail in HTML, with `> ` before what it quotes."""
    said = []
    for kind, text in _blocks(page):
        said.append("> " + text.replace("\n", "\n> ") if kind == "quoted" else text)
    return "\n\n".join(said)


def read_html(path: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of a page."""

    def read(tally: Tally) -> Iterator[Item]:
        with text_of(path, tally) as file:
            page = file.read(MAX_PAGE + 1)
        if len(page) > MAX_PAGE:
            raise InputError(f"{path}: the page is longer than {MAX_PAGE >> 20} MB")
        heading = ""
        number = 0
        for kind, text in _blocks(page):
            if kind == "heading":
                heading = text
                continue
            number += 1
            tally.units += 1
            yield passage(f"block {number}", text, heading, kind)

    return read


def passage(place: str, text: str, heading: str, reason: str | None = None) -> Item:
    """Returns a passage, or what is dropped: for a reason that its reader knows, or a link alone."""
    if reason is None:
        found, _ = sort(text)
        reason = found if found in ("empty", "link alone") else None
    return Passage(text.strip(), heading, place) if reason is None else Dropped(place, reason, text)  # type: ignore[arg-type]  # a Reason
