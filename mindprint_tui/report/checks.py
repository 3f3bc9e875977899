"""Rule checks of a run, as its engine reported them: how often, and the last measured value."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.vocabulary import ADAPTER_STATES
from mindprint_tui.journal.rule_counts import RuleCount, RuleCounts, added
from mindprint_tui.journal.step_batch import Stretch
from mindprint_tui.view.text import number, small

SHOWN = 50  # the most warnings, and failures, that are kept


@dataclass(frozen=True, slots=True)
class Check:
    """A rule as a sentence, its result, and whether it held. `holds` is None for a fact without a rule."""

    rule: str
    found: str
    holds: bool | None


@dataclass(slots=True)
class RunFacts:
    """Facts about the whole run that RunState does not keep. Takes records in order."""

    rules: RuleCounts = field(default_factory=dict)  # empty for an older engine, which did not report rule checks
    texts: dict[str, str] = field(default_factory=dict)  # rule name -> the rule as a sentence
    breaches: dict[str, int] = field(default_factory=dict)  # rule name -> number of failures
    states: dict[str, int] = field(default_factory=dict)
    cosine: float = math.inf
    kl: float = 0.0
    not_finite: int = 0
    done: int = 0  # optimizer steps of finished phases
    depth: int = 0  # number of committed deltas in the model, from the latest event
    model: str = ""  # the model's fingerprint, from the latest event
    broken: list[e.Failed] = field(default_factory=list)
    failed: int = 0
    warnings: dict[tuple[str, str], int] = field(default_factory=dict)
    unshown: int = 0  # number of warnings that were not kept
    _running: int = 0  # optimizer steps of the current phase

    @property
    def optimizer_steps(self) -> int:
        return self.done + self._running

    def take(self, records: Iterable[Record | Stretch]) -> None:
        """Adds live records to the counts."""
        for record in records:
            if isinstance(record, Stretch):
                self._running += len(record.points)
            else:
                self._event(record)

    def _event(self, record: Record) -> None:
        match record.event:
            case e.Step() as step:
                self.not_finite += not math.isfinite(step.loss)
                self._running += 1
            case e.Void(event=e.Step() as step):
                self.not_finite += not math.isfinite(step.loss)
            case e.TopicStarted() as topic:
                self.model = topic.model_fingerprint or self.model
            case e.AdapterChanged() as adapter:
                self._adapter(adapter)
            case e.Failed() as failed:
                self.failed += 1
                if failed.rule is not None:
                    self.breaches[failed.rule] = self.breaches.get(failed.rule, 0) + 1
                if len(self.broken) < SHOWN:
                    self.broken.append(failed)
            case e.RulesChecked() as checked:
                self.rules = added(self.rules, checked)
                self.texts |= checked.texts
            case e.Warned() as warned:
                key = (warned.key, warned.message)
                if key in self.warnings or len(self.warnings) < SHOWN:
                    self.warnings[key] = self.warnings.get(key, 0) + 1
                else:
                    self.unshown += 1
            case _:
                pass

    def _adapter(self, event: e.AdapterChanged) -> None:
        self.states[event.state] = self.states.get(event.state, 0) + 1
        if not ADAPTER_STATES[event.state].settled:
            return
        self.depth, self.model = event.ledger_depth, event.model_fingerprint
        if event.base_unchanged is None:  # no adapter came off: a retry drops a delta, or shared DPO is undone
            return
        if event.state == "fused" and event.fuse_cosine is not None and event.fuse_kl is not None:
            self.cosine, self.kl = min(self.cosine, event.fuse_cosine), max(self.kl, event.fuse_kl)
        self.done, self._running = self.done + self._running, 0


def checks(tally: RunFacts) -> list[Check]:
    """Returns every rule that the engine checked or that broke, then plain facts without a judgement."""
    names = dict.fromkeys((*tally.rules, *tally.breaches))
    found = [_rule(name, tally) for name in names]
    if not tally.rules:
        found.append(Check("How often each rule was checked and held", "not stated by the engine of this run", None))
    return [*found, *_facts(tally)]


def _rule(name: str, tally: RunFacts) -> Check:
    text, count, breaches = tally.texts.get(name, name), tally.rules.get(name, RuleCount()), tally.breaches.get(name, 0)
    broken = max(count.broken, breaches)
    if not count.checked:
        return Check(text, f"broken {broken} times", False)
    words = f"held {count.held:,} of {count.held + broken:,} times"
    if count.found is not None:
        words += f", last {small(count.found)}"
        words += f" of at most {small(count.limit)}" if count.limit is not None else ""
    return Check(text, words, not broken)


def _facts(tally: RunFacts) -> list[Check]:
    beside = tally.states.get("kept_attached", 0)
    facts = [Check("Steps with a loss that is not finite", f"{tally.not_finite} of {tally.optimizer_steps:,}", None)]
    if tally.states.get("fused", 0):
        words = f"lowest cosine {number(tally.cosine, 6)}, highest KL {small(tally.kl)} nats"
        facts.append(Check("What the fuses kept of their changes", words, None))
    if beside:
        facts.append(Check("Changes kept beside the weights, in float32", f"{beside}", None))
    if tally.model:
        facts.append(Check("The model, as last stated", f"{tally.model}, committed deltas: {tally.depth}", None))
    return facts
