"""The scores of every answer by stage and topic, to estimate spreads and paired changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.contract.journal.events import EngineRestarted, Evaluated, Record, Sample
from engine.contract.vocabulary import FOUNDATION

Key = tuple[str, str]  # stage and topic


@dataclass(slots=True)
class ScoreLog:
    """The last evaluation of each topic at each stage; `gaps` has those of its held-out pairs, in nats."""

    samples: dict[Key, tuple[Sample, ...]] = field(default_factory=dict)
    gaps: dict[Key, tuple[float, ...]] = field(default_factory=dict)

    def add(self, found: Evaluated, samples: Sequence[Sample]) -> None:
        """Adds an evaluation with its answers."""
        key = (found.stage, found.topic)
        self.samples[key] = tuple(samples)
        self.gaps[key] = found.heldout_gaps

    def topics(self, stage: str) -> list[str]:
        """Returns the topics evaluated at a stage, sorted, so that sums over them are equal after a restart.

        The foundation is left out: its questions are those of the topics.
        """
        return sorted(topic for kind, topic in self.samples if kind == stage and topic != FOUNDATION)


def read_scores(records: Iterable[Record]) -> ScoreLog:
    """Folds a journal; leaves out evaluations that did not finish, and those by an older kind of score."""
    log, open_samples = ScoreLog(), dict[Key, list[Sample]]()
    for record in records:
        match record.event:
            case Sample() as sample:
                open_samples.setdefault((sample.stage, sample.topic), []).append(sample)
            case Evaluated() as found:
                samples = open_samples.pop((found.stage, found.topic), [])[-found.questions :]
                if found.style is not None and len(samples) == found.questions:
                    log.add(found, samples)
            case EngineRestarted():
                open_samples.clear()
            case _:
                pass
    return log
