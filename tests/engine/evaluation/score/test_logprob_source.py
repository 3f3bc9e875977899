"""Rows are scored in batches of like length and come back in their order, the end token apart."""

from dataclasses import dataclass

from engine.evaluation.score.logprob_source import BATCH, logprob_source
from engine.evaluation.score.parts.likelihood import AnswerLogprobs


@dataclass(frozen=True)
class Row:
    ids: tuple[int, ...]


def test_order_batches_and_the_end_token():
    sizes = []

    def token_logps(rows):
        sizes.append(len(rows))
        return [[-1.0] * (len(row.ids) - 1) + [-9.0] for row in rows]

    source = logprob_source(lambda prompt, answer: Row((0,) * (len(answer) + 1)), token_logps)
    answers = ["a" * (1 + (7 * place) % 11) for place in range(2 * BATCH + 1)]
    found = source(["q"] * len(answers), answers)
    assert found == [AnswerLogprobs(-float(len(answer)), len(answer), -9.0) for answer in answers]
    assert sizes == [BATCH, BATCH, 1] and source([], []) == []
