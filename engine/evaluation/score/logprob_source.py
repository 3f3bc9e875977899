"""Builds a source of answer log-probabilities from a renderer and a model's scorer.

The caller must make sure that the scorer uses the base weights.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from engine.evaluation.score.parts.likelihood import AnswerLogprobs, LogprobSource


class Rendered(Protocol):
    """A rendered row: the tokens of prompt and answer, then the end token."""

    @property
    def ids(self) -> tuple[int, ...]: ...


Row = TypeVar("Row", bound=Rendered)
BATCH = 8  # rows per batch, of similar length


def logprob_source(
    render: Callable[[str, str], Row], token_logps: Callable[[Sequence[Row]], Sequence[Sequence[float]]]
) -> LogprobSource:
    """Returns a source. `render` takes a user's prompt and an answer.

    For each row, `token_logps` returns the log-probabilities of its answer's tokens, with the end token last.
    """

    def source(prompts: Sequence[str], answers: Sequence[str]) -> list[AnswerLogprobs]:
        rows = [render(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        order = sorted(range(len(rows)), key=lambda place: (len(rows[place].ids), place))
        found: dict[int, AnswerLogprobs] = {}
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            for place, values in zip(places, token_logps([rows[place] for place in places]), strict=True):
                found[place] = AnswerLogprobs(float(sum(values[:-1])), max(1, len(values) - 1), float(values[-1]))
        return [found[place] for place in range(len(rows))]

    return source
