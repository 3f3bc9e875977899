"""Breaks the engine on purpose while one topic trains, and checks how it reacts."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import mlx.nn as nn
import pytest
import tiny

from engine.contract.journal import events as e
from engine.pipeline import run as pipeline
from engine.training.phases import phase, settle
from mindprint_tui.journal.feed import Feed, Liveness
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.view.focus import LOG, Focus
from mindprint_tui.view.header import condition
from mindprint_tui.view.notices import banner
from mindprint_tui.view.panes.adapter import adapter_lines
from mindprint_tui.view.panes.log import log_lines

FIRST, SECOND = tiny.TOPICS[:2]


class Breaker:
    """Replaces functions of the engine while the topic `victim` is being trained."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, victim: str) -> None:
        self.patch = monkeypatch
        self.on = False
        self.session: Any = None
        real = pipeline._attempt

        def attempt(session, history, subject, done):
            self.on, self.session = subject.id == victim, session
            try:
                return real(session, history, subject, done)
            finally:
                self.on = False

        monkeypatch.setattr(pipeline, "_attempt", attempt)

    def replace(self, owner: object, name: str, broken: Callable) -> None:
        """Replaces a function by `broken`, which gets the real function first, then its arguments."""
        real = getattr(owner, name)

        def either(*args, **kwargs):
            return broken(real, *args, **kwargs) if self.on else real(*args, **kwargs)

        self.patch.setattr(owner, name, either)


@dataclass(frozen=True)
class Fault:
    """A broken engine: the rule that must catch it, the phase, and the function that breaks it.

    `rule` is None if the fault is a plain exception.
    """

    name: str
    rule: str | None
    phase: str
    break_it: Callable[[Breaker], None]
    victim: str = FIRST


class Faults(list[Fault]):
    """The broken engines of one test file. A call returns a decorator that adds one."""

    def __call__(self, rule: str | None, phase: str = "sft", victim: str = FIRST) -> Callable:
        def keep(function: Callable[[Breaker], None]) -> Callable[[Breaker], None]:
            self.append(Fault(function.__name__, rule, phase, function, victim))
            return function

        return keep

    @property
    def each(self) -> pytest.MarkDecorator:
        return pytest.mark.parametrize("fault", self, ids=lambda fault: fault.name)


def some_layer(model: nn.Module) -> nn.Module:
    return model.model.layers[0]


def settings(sources: tuple, phase: str) -> dict[str, Any]:
    strategy = "sft_only" if phase == "sft" else "fuse_between"
    best = {"validate_every": 1, "keep": "loss"}
    return tiny.settings(*sources, adapters={"strategy": strategy}, sft=best, dpo=best)


@contextlib.contextmanager
def broken_by(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> Iterator[None]:
    with monkeypatch.context() as patch:
        fault.break_it(Breaker(patch, fault.victim))
        yield


def stopping_after(patch: pytest.MonkeyPatch, name: str, topic: str = FIRST) -> None:
    """Makes the engine stop, as after a signal, when a phase's function `name` was done once for a topic."""
    owner = phase if hasattr(phase, name) else settle
    real, asked = getattr(owner, name), []

    def then_stop(session, attached):
        found = real(session, attached)
        if not asked and attached.topic == topic:
            asked.append(name)
            session.control._signal = "SIGTERM"
        return found

    patch.setattr(owner, name, then_stop)


class Unbroken(dict[str, tiny.Ran]):
    """Complete runs by name, and the rules that were checked in them and held."""

    held: frozenset[str] = frozenset()


def caught(fault: Fault, unbroken: Unbroken, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains with the fault and checks the result.

    Its rule must end the phase, nothing of it may be committed, and the other topic must be unharmed.
    """
    with broken_by(monkeypatch, fault):
        ran = tiny.train_here(run)
    first = ran.of(e.Failed)[0]
    assert first.rule == fault.rule, first.traceback
    assert first.topic == fault.victim and "Traceback" in first.traceback
    assert first.message.splitlines()[0] in run.log.read_text()
    shown(run, fault.rule, first.message)
    committed_nothing(fault, ran)
    unharmed(fault, ran, unbroken)


def committed_nothing(fault: Fault, ran: tiny.Ran) -> None:
    assert ran.verdicts() == {FIRST: "passed", SECOND: "passed"} | {fault.victim: "error"}
    assert ran.status == 1
    for state in ("fused", "kept_attached"):
        assert ran.of(e.AdapterChanged, topic=fault.victim, phase=fault.phase, state=state) == []
    part = f"{fault.victim.replace('/', '.')}-{fault.phase}"
    assert not [name for name in (*ran.committed(), *ran.adapters()) if name.endswith(part)]


def unharmed(fault: Fault, ran: tiny.Ran, unbroken: Unbroken) -> None:
    """Checks that the other topic's adapters have the same bytes as in a run without the fault."""
    if fault.victim == SECOND:
        assert bytes_of(ran, FIRST) == bytes_of(unbroken[fault.phase], FIRST)
        return
    alone = fault.name == "dpo_goes_on_top_of_the_adapter_that_sft_left"  # here SFT was not committed either
    clean = unbroken["sft alone" if fault.phase == "sft" else "dpo alone" if alone else "dpo after sft"]
    assert bytes_of(ran, SECOND) == bytes_of(clean, SECOND) != []
    assert ran.of(e.RunFinished)[0].fingerprint == clean.of(e.RunFinished)[0].fingerprint


def bytes_of(ran: tiny.Ran, topic: str) -> list[bytes]:
    """Returns the bytes of a topic's adapters, SFT first."""
    return [data for name, data in ran.adapters().items() if topic.replace("/", ".") in name]


def screen(run: Any, engine: Literal["alive", "gone"] = "gone") -> tuple[RunState, dict[str, str]]:
    """Returns the console's state of a run, and its text by pane."""
    records = Feed(run).read(60)
    state, focus, live = fold(RunState(), records), Focus(pane=LOG), Liveness(engine, 0.0)
    panes = {
        "condition": [[condition(state, live, focus, state.t)]],
        "banner": banner(state, live, focus, state.t, 400),
        "adapter": adapter_lines(state, 400),
        "log": log_lines(state, focus, 400, 400)[0],
    }
    return state, {
        name: "\n".join("".join(text for text, _ in line) for line in lines) for name, lines in panes.items()
    }


def shown(run: Any, rule: str | None, message: str) -> None:
    """Checks that the banner, the adapter pane and the log show the broken rule.

    If no rule broke, the banner and the log must show the failure.
    """
    state, panes = screen(run)
    rules = [failed.rule for _, failed in state.failures]  # removing a broken phase may break more rules
    assert rules[0] == rule
    words = " ".join(message.split())[:60]
    if rule is None:
        assert "✗ FAILED" in panes["banner"] and words in panes["banner"]
        assert f"failed: {words}" in panes["log"]
        return
    assert f"✗ RULE BROKEN: {rule}" in panes["banner"]
    assert f"✗ {rules[-1]}:" in panes["adapter"]
    assert f"rule broken: {rule}: {words}" in panes["log"]
