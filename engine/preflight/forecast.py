"""How long a run will take: its work counted in tokens, and what a token takes here; pure functions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.settings.config import RunConfig, may_prefer
from engine.contract.vocabulary import ATTEMPT_STAGES, BASE, PREFERENCE

TRAINED = tuple(stage for stage in ATTEMPT_STAGES if stage != BASE)  # stages of a topic as it is trained
STEP = 2.3  # forward passes that a training step takes: one, one back through frozen weights, and the adapter's own


@dataclass(frozen=True, slots=True)
class Work:
    """What a topic asks for: tokens trained on by SFT and by DPO, tokens of the DPO reference, tokens that one
    evaluation reads (prompts, held-out pairs), and its decoding steps when answers are as long as their references."""

    sft: int
    dpo: int
    reference: int
    read: int
    answers: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds: of a trained token in SFT and in DPO, of a token in a forward pass, of a decoding step, and of what is
    done around the steps of a phase (attach, checks, checkpoint, fuse)."""

    sft: float
    dpo: float
    forward: float
    decode: float
    phase: float


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds if DPO runs in every topic, and at least, if it runs in none (a gate, SFT that is rolled back)."""

    seconds: float
    least: float

    def __add__(self, other: "Span") -> "Span":
        return Span(self.seconds + other.seconds, self.least + other.least)


def of_topics(works: Sequence[Work], rates: Rates, config: RunConfig, begun: bool) -> Span:
    """Seconds of these topics one after the other; `begun` says whether a topic was trained before the first."""
    total = Span(0.0, 0.0)
    for number, work in enumerate(works):
        total += _topic(work, rates, config, begun or number > 0)
    return total


def _topic(work: Work, rates: Rates, config: RunConfig, start: bool) -> Span:
    evaluation = work.answers * rates.decode + work.read * rates.forward
    sft = work.sft * rates.sft + rates.phase + evaluation * (2 if start else 1)
    dpo = work.reference * rates.forward + work.dpo * rates.dpo + rates.phase + evaluation
    return Span(sft + dpo if may_prefer(config) else sft, sft)


def as_answered(work: Work, cut: int, limit: int) -> Work:
    """Where answers of the base model were cut at the limit, trained ones will be; the longest of a batch counts."""
    return replace(work, answers=limit) if cut else work


def refined(works: dict[str, Work], guess: Rates, records: Iterable[Record]) -> Rates:
    """Rates from what a journal says that steps and evaluations took; `guess` where it has none of a kind yet."""
    tokens: Counter[bool] = Counter()  # of the steps of supervised phases, and of those that learn from pairs
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
