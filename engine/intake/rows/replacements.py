"""Replaces names of others and private data in texts, the same way each time."""

import re
from collections import Counter

from engine.contract.workbook.request import Request
from engine.intake.rows import private_data


class Replacements:
    """Replaces the names of the request's table, and private data by its kind if the request says so.

    `replaced` counts what was replaced, by kind.
    """

    def __init__(self, request: Request, languages: list[str]) -> None:
        self.replaced: Counter[str] = Counter()
        self._redact, self._languages = request.redact, languages
        self._table = {name.casefold(): other for name, other in request.names.items()}
        names = "|".join(map(re.escape, sorted(self._table, key=len, reverse=True)))  # the longest first
        self._names = re.compile(rf"(?<!\w)(?:{names})(?!\w)", re.IGNORECASE) if names else None

    def __call__(self, text: str) -> str:
        """Returns the text with everything replaced."""
        if self._names is not None:
            text, count = self._names.subn(lambda match: self._table.get(match[0].casefold(), match[0]), text)
            self.replaced["name"] += count
        if self._redact:
            text, kinds = private_data.redacted(text, self._languages)
            self.replaced.update(kinds)
        return text
