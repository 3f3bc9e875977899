"""Reads plain text as passages between blank lines, and Markdown as passages below its headings."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from engine.contract.errors import InputError
from engine.intake.sources.documents.html import passage
from engine.intake.sources.items import Dropped, Item, Reason, Tally
from engine.intake.sources.streams import lines_of, text_of

MAX_MARKDOWN = 16 << 20  # characters of a file
MAX_PASSAGE = 1 << 20  # characters; a longer one is read in pieces
FRONT = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)|\A\+\+\+[ \t]*\n.*?\n\+\+\+[ \t]*(?:\n|\Z)", re.S)
WIKI = re.compile(r"!?\[\[(?:[^\[\]|\n]*\|)?([^\[\]|\n]+)\]\]")
FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]")
LEFT_OUT: dict[str, Reason] = {
    "fence": "code",
    "code_block": "code",
    "table_open": "code",
    "html_block": "boilerplate",
    "blockquote_open": "quoted",
}


def read_text(path: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of plain text; a passage ends at a blank line."""

    def read(tally: Tally) -> Iterator[Item]:
        lines: list[str] = []
        start = size = 0
        for number, line in lines_of(path, tally):
            if line.strip() and size <= MAX_PASSAGE:
                start = start if lines else number
                lines.append(line.rstrip())
                size += len(line)
                continue
            if lines:
                tally.units += 1
                yield passage(f"line {start}", "\n".join(lines), "")
            lines, start, size = ([line.rstrip()], number, len(line)) if line.strip() else ([], 0, 0)
        if lines:
            tally.units += 1
            yield passage(f"line {start}", "\n".join(lines), "")

    return read


def read_markdown(path: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of Markdown: paragraphs and lists as plain text, without marks and addresses."""

    def read(tally: Tally) -> Iterator[Item]:
        with text_of(path, tally) as file:
            text = file.read(MAX_MARKDOWN + 1)
        if len(text) > MAX_MARKDOWN:
            raise InputError(f"{path}: the file is longer than {MAX_MARKDOWN >> 20} MB; split it")
        skipped = 0
        if front := FRONT.match(text):
            tally.units += 1
            yield Dropped("line 1", "front matter", front[0].strip())
            skipped, text = front[0].count("\n"), text[front.end() :]
        yield from _blocks(text, skipped, tally)

    return read


def _blocks(text: str, skipped: int, tally: Tally) -> Iterator[Item]:
    lines = text.split("\n")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    heading, at = "", 0
    while at < len(tokens):
        token = tokens[at]
        end = _end(tokens, at)
        inside = tokens[at : end + 1]
        at = end + 1
        if token.type == "hr" or token.map is None:
            continue
        place = f"line {skipped + token.map[0] + 1}"
        raw = "\n".join(lines[token.map[0] : token.map[1]]).strip("\n")
        if token.type == "heading_open":
            heading = _plain(inside).strip()
            continue
        tally.units += 1
        reason = LEFT_OUT.get(token.type)
        said = _plain(inside).strip()
        if reason is None and not said:
            reason = "media" if any(c.type == "image" for t in inside for c in t.children or ()) else "empty"
        yield passage(place, said if reason is None else raw, heading, reason)


def _end(tokens: list[Token], at: int) -> int:
    """Returns where the block that begins at a token ends."""
    depth = 0
    for end in range(at, len(tokens)):
        depth += tokens[end].nesting
        if depth <= 0:
            return end
    return len(tokens) - 1


def _plain(tokens: list[Token]) -> str:
    """Returns the text of a block as a reader sees it; an item of a list begins with a hyphen."""
    out: list[str] = []
    for token in tokens:
        if token.type == "list_item_open":
            out.append(("" if not out or out[-1].endswith("\n") else "\n") + "- ")
        elif token.type in ("paragraph_close", "list_item_close") and out and not out[-1].endswith("\n"):
            out.append("\n")
        for child in token.children or ():
            if child.type in ("text", "code_inline"):
                out.append(child.content)
            elif child.type in ("softbreak", "hardbreak"):
                out.append("\n")
    return FOOTNOTE.sub("", WIKI.sub(r"\1", "".join(out)))
