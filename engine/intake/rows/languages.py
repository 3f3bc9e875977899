"""Finds the language of a text, and which languages a person writes in."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from engine.contract.errors import InputError
from engine.contract.wording import short

LETTERS = 25  # a text with fewer is not judged
SURE = 0.95  # probability above which a text counts as written in a language
SHARE = 0.2  # of the person's texts: a language with at least this share is one of theirs
LETTER = re.compile(r"[^\W\d_]")
NOISE = re.compile(r"\S*(?:://|@)\S*|\[[^\]]*\]")  # links, addresses and what stands for replaced data


def language_of(text: str) -> tuple[str, float] | None:
    """Returns the code of the language (ISO 639-1) and its probability; None if the text is too short to tell."""
    plain = NOISE.sub(" ", text)
    if len(LETTER.findall(plain)) < LETTERS:
        return None
    code, probability = _identifier().classify(plain)
    return str(code), float(probability)


def main_languages(texts: Iterable[str]) -> list[str]:
    """Returns the languages with a share of at least SHARE among the texts, most frequent first."""
    found = Counter(code for code, sure in filter(None, map(language_of, texts)) if sure >= SURE)
    return [code for code, count in found.most_common() if count >= SHARE * found.total()]


def is_other(text: str, languages: list[str]) -> str | None:
    """Returns the language of a text that is surely in none of `languages`; else None."""
    found = language_of(text) if languages else None
    return found[0] if found is not None and found[1] >= SURE and found[0] not in languages else None


def require_languages(codes: Iterable[str]) -> None:
    """Raises InputError for a code that is not known."""
    known = set(map(str, _identifier().labels))
    for code in codes:
        if code not in known:
            raise InputError(
                f"--language: found {short(code)}, expected a code of two letters such as en; known are "
                f"{', '.join(sorted(known))}"
            )


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
