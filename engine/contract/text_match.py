"""Finds a voice's words in a text, as whole words in one spelling, to score them and to mark them."""

import re
import unicodedata

UNSPACED = (  # letters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
START = rf"(?:(?<![^\W{UNSPACED}])|(?=[{UNSPACED}]))"
END = rf"(?:(?![^\W{UNSPACED}])|(?<=[{UNSPACED}]))"


def whole_words(pattern: str) -> re.Pattern[str]:
    """Compiles `pattern` to match whole words only, ignoring case; raises re.error.

    Next to a letter of a script without spaces, every position may be a word boundary.
    """
    return re.compile(f"{START}(?:{one_spelling(pattern)}){END}", re.IGNORECASE)


def inner_pattern(pattern: re.Pattern[str]) -> str:
    """Returns the pattern inside a result of `whole_words`, without the word boundaries."""
    return pattern.pattern.removeprefix(f"{START}(?:").removesuffix(f"){END}")


def one_spelling(text: str) -> str:
    """Returns the text in NFC with straight apostrophes; text in NFC keeps its length."""
    return composed(text).replace("’", "'").replace("‘", "'")


def composed(text: str) -> str:
    """Returns the text in NFC: a letter and its accent become one character if there is one."""
    return unicodedata.normalize("NFC", text)
