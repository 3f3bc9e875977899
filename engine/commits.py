"""What a journal says that the model is made of, commit by commit."""

from collections.abc import Iterable

from engine.contract.journal.events import KEPT, AdapterChanged, Event
from engine.contract.names import new_delta


def commits(events: Iterable[Event], topic: str | None = None) -> dict[str, AdapterChanged]:
    """The commits in the model by the names of their deltas, in order: at the end, or after a topic's last one.

    What a retry took out later was in the model until then. A line that is damaged leaves its commit out, and shifts
    the names of those after it; the fingerprint that the last one states tells.
    """
    standing: dict[str, AdapterChanged] = {}
    asked: dict[str, AdapterChanged] = {}
    made = 0
    for event in events:
        if not isinstance(event, AdapterChanged):
            continue
        if event.state in KEPT:
            made += 1
            standing[new_delta(made, event.topic, event.phase)] = event
            asked = dict(standing) if event.topic == topic else asked
        elif event.state == "rolled_back":
            gone = (event.topic, event.phase)
            standing = {name: each for name, each in standing.items() if (each.topic, each.phase) != gone}
    return standing if topic is None else asked
