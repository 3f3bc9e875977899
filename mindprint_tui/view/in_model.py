"""Lists the topics that are in the final model, and the reasons why others are not."""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.contract.vocabulary import PHASES, VERDICTS
from mindprint_tui.journal.topic_state import TopicState

NAMED = 3  # the most topics that a sentence names


@dataclass(frozen=True, slots=True)
class NotInModel:
    """A topic with nothing in the model. `why` is a short reason, `reason` the engine's sentence."""

    topic: TopicState
    why: str
    reason: str


def in_model(topics: Iterable[TopicState]) -> tuple[list[TopicState], list[NotInModel]]:
    """Returns the topics with a kept phase, and the others; the foundation is among them."""
    inside: list[TopicState] = []
    outside: list[NotInModel] = []
    for topic in topics:
        if topic.kept is not None:
            inside.append(topic)
        else:
            outside.append(NotInModel(topic, _why(topic), topic.reason))
    return inside, outside


def _why(topic: TopicState) -> str:
    if undone := topic.undone:
        return ", ".join(f"{PHASES[phase].label} {how}" for phase, how in undone.items() if phase in PHASES)
    if topic.verdict is not None and not VERDICTS[topic.verdict].scored:
        return VERDICTS[topic.verdict].label
    return "not run" if topic.status == "pending" else "running" if topic.status == "running" else "nothing kept"


def sentence(topics: Iterable[TopicState]) -> str:
    """Returns one line for the end of a run.

    Example: `in the model: 2 of 3 topics; not in it: Fog signals (SFT rolled back)`.
    """
    inside, outside = in_model(topics)
    kept = sum(topic.counted for topic in inside)
    text = f"in the model: {kept} of {kept + sum(each.topic.counted for each in outside)} topics"
    if not outside:
        return text
    named = ", ".join(f"{each.topic.info.title} ({each.why})" for each in outside[:NAMED])
    more = f" and {len(outside) - NAMED} more" if len(outside) > NAMED else ""
    return f"{text}; not in it: {named}{more}"


def unsure(tally: dict[str, int]) -> str:
    """Returns the verdicts that mean neither yes nor no, to follow the number of passed topics.

    Example: `, 3 undecided, 1 not trained`.
    """
    rows = [(tally.get(name, 0), row.label) for name, row in VERDICTS.items() if row.open]
    return "".join(f", {count} {label}" for count, label in rows if count)
