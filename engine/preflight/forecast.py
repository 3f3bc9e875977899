"""Predicts a run's duration from its work in tokens and the seconds per token (pure functions)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.settings.config import RunConfig, may_prefer
from engine.contract.vocabulary import ATTEMPT_STAGES, BASE, PREFERENCE

TRAINED = tuple(stage for stage in ATTEMPT_STAGES if stage != BASE)  # stages evaluated while a topic is trained
STEP = 2.3  # cost of a training step in forward passes: forward, backward through frozen weights, adapter gradients


@dataclass(frozen=True, slots=True)
class TopicWork:
    """Work of one topic. Fields count tokens, or decoding steps: `answers`, `spots`, `dpo_spots`.

    `sft` and `dpo`: tokens that the phase trains on. `reference`: tokens of the DPO reference. `read`: tokens that one
    evaluation reads (prompts and held-out pairs). `answers`: decoding steps of one evaluation, if answers are as long
    as their references. `validated` and `dpo_validated`: tokens of all held-out losses during the phase; `spots` and
    `dpo_spots`: decoding steps of all answers that are scored during it.
    """

    sft: int
    dpo: int
    reference: int
    read: int
    answers: int
    validated: int = 0
    dpo_validated: int = 0
    spots: int = 0
    dpo_spots: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """Costs in seconds.

    `sft` and `dpo`: per trained token. `forward`: per token of a forward pass. `decode`: per decoding step. `phase`:
    per phase, for the work around its steps (attach, checks, checkpoint, fuse).
    """

    sft: float
    dpo: float
    forward: float
    decode: float
    phase: float


@dataclass(frozen=True, slots=True)
class Span:
    """Predicted duration in seconds.

    `seconds`: if DPO runs in every topic. `least`: if it runs in none, because of a gate or because SFT is rolled back.
    """

    seconds: float
    least: float

    def __add__(self, other: "Span") -> "Span":
        return Span(self.seconds + other.seconds, self.least + other.least)


def of_topics(works: Sequence[TopicWork], rates: Rates, config: RunConfig, begun: bool, exam: float) -> Span:
    """Returns the duration of these topics in sequence, and of the final exam.

    `begun` tells whether a topic was trained before them. `exam` is the seconds that the base model took to answer all
    questions; the final model is expected to take as long.
    """
    total = Span(exam, exam)
    for number, work in enumerate(works):
        total += _topic(work, rates, config, begun or number > 0)
    return total


def _topic(work: TopicWork, rates: Rates, config: RunConfig, start: bool) -> Span:
    evaluation = work.answers * rates.decode + work.read * rates.forward
    trained = work.sft * (1 + config.sft.replay if start else 1)  # a replayed row is taken to be as long as its own
    sft = trained * rates.sft + rates.phase + evaluation * (2 if start else 1)
    sft += work.validated * rates.forward + work.spots * rates.decode
    dpo = work.reference * rates.forward + work.dpo * rates.dpo + rates.phase + evaluation
    dpo += work.dpo_validated * rates.forward + work.dpo_spots * rates.decode
    return Span(sft + dpo if may_prefer(config) and work.dpo else sft, sft)


def as_answered(work: TopicWork, cut: int, limit: int) -> TopicWork:
    """Returns `work` with answers of `limit` tokens if any answers of the base model were cut (`cut` > 0).

    Answers after training will be cut then, too, and the longest answer of a batch decides its decoding steps.
    """
    return replace(work, answers=max(limit, work.answers)) if cut else work


def refined(works: dict[str, TopicWork], guess: Rates, records: Iterable[Record]) -> Rates:
    """Returns rates from the durations of steps and evaluations in a journal.

    If the journal has none of a kind yet, the rate from `guess` is used. DPO without steps gets the rate of SFT.
    """
    tokens: Counter[bool] = Counter()  # of all steps; the key is True for phases that learn from pairs
    seconds: dict[bool, float] = defaultdict(float)
    evaluated: list[e.Evaluated] = []
    for record in records:
        match record.event:
            case e.Step() as step:
                tokens[step.phase in PREFERENCE] += step.tokens
                seconds[step.phase in PREFERENCE] += step.seconds
            case e.Evaluated() as found if found.topic in works and found.stage in TRAINED:
                evaluated.append(found)
            case _:
                pass
    sft, dpo = (seconds[kind] / tokens[kind] if tokens[kind] else None for kind in (False, True))
    planned = sum(works[found.topic].answers for found in evaluated)
    read = sum(works[found.topic].read for found in evaluated)
    decode = (sum(found.seconds for found in evaluated) - read * guess.forward) / planned if planned else guess.decode
    sft = guess.sft if sft is None else sft
    return Rates(sft, sft if dpo is None else dpo, guess.forward, max(0.0, decode), guess.phase)
