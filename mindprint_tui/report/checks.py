"""What held while a run trained, counted over its whole journal: the invariants with their numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from mindprint_tui.journal.step_batch import Stretch
from mindprint_tui.view.text import number, small

LN2_WITHIN = 1e-3  # of the first DPO loss, as the engine holds it
NOT_YET = "not looked at yet"
SHOWN = 50  # warnings and failures that are kept


@dataclass(frozen=True, slots=True)
class Check:
    """A rule in words, what was found, and whether it holds; None where there was nothing to look at."""

    rule: str
    found: str
    holds: bool | None


@dataclass(slots=True)
class Count:
    """How often something held, of how many looks."""

    held: int = 0
    of: int = 0

    def look(self, holds: bool) -> None:
        self.held += holds
        self.of += 1


@dataclass(slots=True)
class Tally:
    """Everything about the run as a whole that its state does not keep; records are taken in order."""

    trainable: Count = field(default_factory=Count)
    left: Count = field(default_factory=Count)
    frozen: Count = field(default_factory=Count)
    steps: Count = field(default_factory=Count)  # committed phases that did what they planned
    states: dict[str, int] = field(default_factory=dict)
    cosine: float = math.inf
    kl: float = 0.0
    kl_limit: float = 0.0
    starts: int = 0
    far_from_ln2: float = 0.0
    not_finite: int = 0
    done: int = 0  # optimizer steps of phases that are over
    depth: int = 0  # committed deltas in the model, as last stated
    model: str = ""  # its fingerprint, as last stated
    broken: list[e.Failed] = field(default_factory=list)
    failed: int = 0
    rules: int = 0  # failures that were a broken rule
    warnings: dict[tuple[str, str], int] = field(default_factory=dict)
    unshown: int = 0  # warnings beyond those that are kept
    _planned: int = 0
    _seqs: list[tuple[int, int]] = field(default_factory=list)  # (seq, step) of the phase in progress

    @property
    def optimizer_steps(self) -> int:
        return self.done + len(self._seqs)

    def take(self, records: Iterable[Record | Stretch]) -> None:
        """Counts these records too."""
        for record in records:
            if isinstance(record, Stretch):
                self._step(record.last.phase, record.points)
            else:
                self._event(record)

    def _event(self, record: Record) -> None:
        match record.event:
            case e.Step() as step:
                self.not_finite += not math.isfinite(step.loss)
                self._step(step.phase, [(record.seq, step.step, step.loss)])
            case e.TopicStarted() as topic:
                self.model = topic.model_fingerprint or self.model
            case e.PhaseStarted() as phase:
                self._planned = phase.steps
            case e.Restored(rewind_to=last):
                self._seqs = [pair for pair in self._seqs if pair[0] <= last]
            case e.AdapterChanged() as adapter:
                self._adapter(adapter)
            case e.Failed() as failed:
                self.failed += 1
                self.rules += failed.rule is not None
                if len(self.broken) < SHOWN:
                    self.broken.append(failed)
            case e.Warned() as warned:
                key = (warned.key, warned.message)
                if key in self.warnings or len(self.warnings) < SHOWN:
                    self.warnings[key] = self.warnings.get(key, 0) + 1
                else:
                    self.unshown += 1
            case _:
                pass

    def _step(self, phase: e.Phase, points: list[tuple[int, int, float]]) -> None:
        self._seqs += [(seq, step) for seq, step, _ in points]
        if phase == "dpo" and points[0][1] == 1:
            self.starts += 1
            self.far_from_ln2 = max(self.far_from_ln2, abs(points[0][2] - math.log(2)))

    def _adapter(self, event: e.AdapterChanged) -> None:
        self.states[event.state] = self.states.get(event.state, 0) + 1
        if event.state == "attached":
            self.trainable.look(event.trainable == event.expected_trainable > 0)
            return
        self.depth, self.model = event.ledger_depth, event.model_fingerprint
        if event.base_unchanged is None:  # no adapter came off: a retry drops a delta, or a shared one's DPO is undone
            return
        self.left.look(event.trainable == 0)
        self.frozen.look(event.base_unchanged)
        if event.state in e.KEPT:
            self.steps.look(bool(self._seqs) and self._seqs[-1][1] == self._planned)
            if event.state == "fused" and event.fuse_cosine is not None and event.fuse_kl is not None:
                self.cosine, self.kl = min(self.cosine, event.fuse_cosine), max(self.kl, event.fuse_kl)
                self.kl_limit = max(self.kl_limit, event.fuse_kl_limit or 0.0)
        self.done, self._seqs = self.done + len(self._seqs), []


def checks(tally: Tally, limits: dict[str, Any], finished: e.RunFinished | None) -> list[Check]:
    """The invariants in words; `limits` is the section `adapters` of the configuration."""
    cosine, kl = _limit(limits, "min_fuse_cosine", 0.99), max(_limit(limits, "max_fuse_kl", 1e-3), tally.kl_limit)
    beside = tally.states.get("kept_attached", 0)
    survived, found = None, NOT_YET
    if tally.states.get("fused", 0):
        survived = tally.cosine >= cosine and tally.kl <= kl
        found = f"lowest cosine {number(tally.cosine, 6)}, highest KL {small(tally.kl)}"
    if beside:
        found = f"{beside} kept beside the weights in float32" + (f"; {found}" if survived is not None else "")
    last = f"model {tally.model}, committed deltas: {tally.depth}" if tally.model else NOT_YET
    same = None if finished is None or not tally.model else finished.fingerprint == tally.model
    start = f"the furthest of {tally.starts} is {small(tally.far_from_ln2)} off" if tally.starts else NOT_YET
    return [
        _counted("Exactly the requested parameters train, counted from shapes", tally.trainable),
        _counted("The weights under an adapter are the same after the phase as before", tally.frozen),
        _counted("Nothing is left to train once a phase is settled", tally.left),
        _counted("A committed phase did the steps that it planned", tally.steps),
        Check(
            f"A DPO phase begins at ln 2, within {LN2_WITHIN:g}",
            start,
            tally.far_from_ln2 <= LN2_WITHIN if tally.starts else None,
        ),
        Check(f"A fuse keeps the change: cosine ≥ {cosine:g}, KL ≤ {small(kl)} nats", found, survived),
        Check("The run ends with the model that its ledger declares", last, same),
        Check("Every step is finite", f"{tally.not_finite} of {tally.optimizer_steps:,} are not", not tally.not_finite),
        Check("No rule is broken", f"{tally.rules} broken", tally.rules == 0),
    ]


def _counted(rule: str, count: Count) -> Check:
    if not count.of:
        return Check(rule, NOT_YET, None)
    return Check(rule, f"in {count.held:,} of {count.of:,} phases", count.held == count.of)


def _limit(limits: dict[str, Any], name: str, otherwise: float) -> float:
    value = limits.get(name, otherwise)
    return float(value) if isinstance(value, int | float) else otherwise
