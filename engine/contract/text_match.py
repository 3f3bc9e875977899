"""How a voice's words are found in a text, to score them and to mark them: whole words, in one spelling."""

import re
import unicodedata

UNSPACED = (  # letters of scripts that put no space between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
START = rf"(?:(?<![^\W{UNSPACED}])|(?=[{UNSPACED}]))"
END = rf"(?:(?![^\W{UNSPACED}])|(?<=[{UNSPACED}]))"


def whole_words(pattern: str) -> re.Pattern[str]:
    """`pattern`, without regard to case, where it is no part of a longer word; raises re.error.

    Beside a letter of a script without spaces every place may be the boundary of a word.
    """
    return re.compile(f"{START}(?:{one_spelling(pattern)}){END}", re.IGNORECASE)


def core(pattern: re.Pattern[str]) -> str:
    """What `whole_words` was given."""
    return pattern.pattern.removeprefix(f"{START}(?:").removesuffix(f"){END}")


def one_spelling(text: str) -> str:
    """Letters composed (NFC), apostrophes straight; composed text keeps its length."""
    return composed(text).replace("’", "'").replace("‘", "'")


def composed(text: str) -> str:
    """A letter and its accent as one character, where there is one (NFC)."""
    return unicodedata.normalize("NFC", text)
