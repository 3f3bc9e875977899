"""Remarks about a draft for the review: too short, too long, said before, in another language, private data in it."""

from collections.abc import Callable, Sequence

from engine.contract.workbook.drafts import Turn
from engine.intake.rows import private_data
from engine.intake.rows.languages import is_other
from engine.intake.rows.near_duplicates import NearDuplicates

LEAST_WORDS = 4  # of the person in a conversation; "ok", "haha yes" and their like teach little
LEAST_PASSAGE = 8  # words of a passage, for which a question has to be written


class Flags:
    """Makes the flags of drafts in their order, comparing each with those before it."""

    def __init__(self, languages: Sequence[str], tokens: Callable[[str], int], limit: int) -> None:
        """`limit` is the largest number of tokens of a draft; `tokens` counts those of a text."""
        self._languages, self._tokens, self._limit = list(languages), tokens, limit
        self._earlier = NearDuplicates()

    def of(self, turns: Sequence[Turn], where: str) -> tuple[str, ...]:
        """Returns the flags of a draft, and remembers its words for those after it."""
        own = "\n".join(turn.text for turn in turns if turn.role == "assistant")
        found = []
        if len(own.split()) < (LEAST_PASSAGE if turns[0].role == "assistant" else LEAST_WORDS):
            found.append("short")
        whole = "\n".join(turn.text for turn in turns)
        if len(whole.encode("utf-8", "surrogatepass")) > self._limit and self._tokens(whole) > self._limit:
            found.append("long")
        if (other := is_other(own, self._languages)) is not None:
            found.append(f"language: {other}")
        if "short" not in found:
            if (earlier := self._earlier.find(own)) is not None:
                found.append(f"near-duplicate: of {earlier}")
            self.remember(turns, where)
        kinds = {kind for turn in turns for _, _, kind in private_data.find(turn.text, self._languages)}
        return (*found, *(f"private: {kind}" for kind in private_data.KINDS if kind in kinds))

    def remember(self, turns: Sequence[Turn], where: str) -> None:
        """Adds the person's words to those that later drafts are compared with."""
        self._earlier.add(where, "\n".join(turn.text for turn in turns if turn.role == "assistant"))
