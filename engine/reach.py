"""Whether the gates can be reached at all (rule 21): the references and the rejected answers, scored as answers are."""

from collections.abc import Sequence

from engine import voice
from engine.contract.config import ThresholdsConfig
from engine.curriculum import Curriculum


def unreachable(curriculum: Curriculum, limits: ThresholdsConfig) -> list[str]:
    """A sentence for each topic whose own references fail the voice threshold, or whose rejected answers pass it."""
    found = []
    for topic in curriculum.topics:
        references = mean_voice(curriculum, [question.reference for question in topic.questions])
        if references is not None and references < limits.voice:
            found.append(
                f"{topic.id}: the references themselves score voice {references:.2f}, below thresholds.voice = "
                f"{limits.voice:g}: no answer could be asked to do better"
            )
        rejected = mean_voice(curriculum, [pair.rejected for pair in (*topic.pairs, *topic.heldout)])
        if rejected is not None and rejected >= limits.voice > 0:
            found.append(
                f"{topic.id}: the rejected answers score voice {rejected:.2f}, which passes thresholds.voice = "
                f"{limits.voice:g}: the score cannot tell the voice from its opposite"
            )
    return found


def mean_voice(curriculum: Curriculum, texts: Sequence[str]) -> float | None:
    """The mean voice of texts, scored as answers are; None where there are none."""
    scores = [voice.score(curriculum.profile, text).score for text in texts]
    return sum(scores) / len(scores) if scores else None
