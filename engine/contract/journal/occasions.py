"""Occasions to tell a person about: their events, and a sentence for each without texts and paths of the person."""

from dataclasses import dataclass
from typing import Literal

from engine.contract.journal import events as e
from engine.contract.vocabulary import VERDICTS

Kind = Literal["failed", "collapsed", "undecided", "rule", "paused", "died", "disk", "ended"]
KINDS: dict[Kind, str] = {
    "failed": "topics failed",
    "collapsed": "topics collapsed",
    "undecided": "topics are undecided",
    "rule": "rules broke",
    "paused": "pauses",
    "died": "deaths of the engine",
    "disk": "warnings about the disk",
    "ended": "ends of runs",
}
_OF_VERDICT: dict[str, Kind] = {
    "below_threshold": "failed",
    "not_trained": "failed",
    "error": "failed",
    "collapsed": "collapsed",
    "undecided": "undecided",
}


@dataclass(frozen=True, slots=True)
class Occasion:
    """One thing to tell. `over` says that it ends an earlier one of its kind: resumed, restarted, room again."""

    kind: Kind
    text: str
    over: bool = False


@dataclass(slots=True)
class Occasions:
    """Finds the occasions among a run's events, in their order. Topics are named by their ids."""

    paused: bool = False
    died: bool = False

    def take(self, event: e.Event) -> Occasion | None:
        """Returns what there is to tell about an event, or None."""
        match event:
            case e.TopicFinished() if event.verdict in _OF_VERDICT:
                return Occasion(_OF_VERDICT[event.verdict], f"{event.topic}: {VERDICTS[event.verdict].label}")
            case e.Failed(rule=str()):
                return Occasion("rule", f"rule {event.rule} broke" + (f" in {event.topic}" if event.topic else ""))
            case e.Paused():
                self.paused = True
                return Occasion("paused", f"paused by {event.by}")
            case e.Resumed() if self.paused:
                self.paused = False
                return Occasion("paused", f"resumed by {event.by}", over=True)
            case e.EngineDied():
                self.died = True
                return Occasion("died", f"the engine died ({event.signal or f'status {event.status}'})")
            case e.EngineRestarted() if self.died:
                self.died = False
                return Occasion("died", "the engine was started again", over=True)
            case e.RunFinished():
                text = f"{event.passed} of {event.of} topics passed after {event.seconds / 60:.0f} min"
                return Occasion("ended", f"{text}, exit status {event.exit_status}")
        return None
