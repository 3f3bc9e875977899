"""The last rolled-back adapters of a run, which are set aside in its folder so that a person can hear and keep them."""

from collections.abc import Iterable

from engine.contract.errors import InputError
from engine.contract.journal.events import KEPT, AdapterChanged, Event
from engine.contract.names import delta_name
from engine.contract.run_folder.files import remove_folder
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import Phase

MOST = 5  # adapters that are set aside at a time; an older one is deleted


class SetAside:
    """The journal's events of the adapters that are set aside, oldest first; at most one per topic and phase."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._found: dict[tuple[str, Phase], AdapterChanged] = {}
        for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        """Adds a rolled-back adapter that was set aside. Removes one of a phase that is now in the model."""
        if not isinstance(event, AdapterChanged) or not (event.set_aside or event.state in KEPT):
            return
        self._found.pop((event.topic, event.phase), None)
        if event.state == "rolled_back" and _valid(event.set_aside):
            self._found[event.topic, event.phase] = event
            while len(self._found) > MOST:
                del self._found[next(iter(self._found))]

    def renew(self, topic: str, phase: Phase) -> None:
        """Makes an adapter the latest, because a person has asked to keep it: it must not be deleted before that."""
        if (event := self._found.pop((topic, phase), None)) is not None:
            self._found[topic, phase] = event

    def find(self, topic: str, phase: str | None = None) -> AdapterChanged | None:
        """Returns the event of a topic's phase, or of its last phase that is set aside; None if there is none."""
        own = [event for event in self._found.values() if event.topic == topic and phase in (None, event.phase)]
        return own[-1] if own else None

    @property
    def names(self) -> list[str]:
        """The folder names of the adapters."""
        return [event.set_aside for event in self._found.values()]

    @property
    def listed(self) -> str:
        """The adapters as a person names them: `unit-01/chapter-01/topic-01:sft, …`; `none` if there are none."""
        return ", ".join(f"{topic}:{phase}" for topic, phase in self._found) or "none"

    def prune(self, run: RunDir) -> None:
        """Deletes the folders of all other adapters. Only the sole writer of the run may call this."""
        if run.rolled_back.is_dir():
            for folder in sorted(run.rolled_back.iterdir()):
                if folder.name not in self.names and _valid(folder.name):
                    remove_folder(folder)


def _valid(name: str) -> bool:
    try:
        return delta_name(name) == name
    except InputError:
        return False
