"""The scores of every answer by stage and topic, to estimate spreads and paired changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.contract.journal.events import EngineRestarted, Evaluated, Record, Sample
from engine.contract.vocabulary import BASE, FINAL, FOUNDATION

Key = tuple[str, str]  # stage and topic


@dataclass(slots=True)
class ScoreLog:
    """The last evaluation of each topic at each stage; `gaps` has those of its held-out pairs, in nats.

    `base_language` is the base model's loss of the neutral text, and `language` the latest model's, in nats per token;
    None if it was not measured.
    """

    samples: dict[Key, tuple[Sample, ...]] = field(default_factory=dict)
    gaps: dict[Key, tuple[float, ...]] = field(default_factory=dict)
    base_language: float | None = None
    language: float | None = None
    _final: dict[str, str] = field(default_factory=dict)  # topic -> fingerprint of the model in its final exam

    def add(self, found: Evaluated, samples: Sequence[Sample]) -> None:
        """Adds an evaluation with its answers."""
        key = (found.stage, found.topic)
        self.samples[key] = tuple(samples)
        self.gaps[key] = found.heldout_gaps
        self.language = self.language if found.language_loss is None else found.language_loss
        if found.stage == BASE:
            self.base_language = found.language_loss
        elif found.stage == FINAL:
            self._final[found.topic] = found.model_fingerprint

    def keep_final(self, model: str) -> None:
        """Forgets the final exams of other models than `model`: a topic was trained again after them."""
        for topic, examined in list(self._final.items()):
            if examined != model:
                del self._final[topic], self.samples[FINAL, topic], self.gaps[FINAL, topic]

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
