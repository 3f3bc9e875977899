"""Drives the embedded model into collapse on purpose, and compares the next topic with runs that never had the fault.

    python tests/soak/collapse.py [FAULT ...]

Faults: sft-x100 (learning rate), full-weights (training every weight, smuggled in after the check), dpo-wreck.
"""

import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from engine.model.backend import prepare

prepare()  # before mlx

import pytest  # noqa: E402
import tiny  # noqa: E402
from breaking import Breaker, bytes_of, screen  # noqa: E402

from engine.adapters import lora  # noqa: E402
from engine.contract.journal import events as e  # noqa: E402
from engine.pipeline import decisions  # noqa: E402
from engine.pipeline.decisions import Decision  # noqa: E402
from engine.training import optimizer  # noqa: E402

KEEPER = tiny.ROOT / "configs" / "curricula" / "keeper"
FIRST, SECOND = (f"unit-01/chapter-01/topic-0{number}" for number in (1, 2))
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def sft_x100(engine: Breaker) -> None:
    engine.replace(optimizer, "learning_rate", lambda real, *args: 100 * real(*args))


def full_weights(engine: Breaker) -> None:
    def broken(real, model, *args):
        made = real(model, *args)
        model.unfreeze()
        return made

    engine.replace(lora, "attach", broken)


def dpo_wreck(engine: Breaker) -> None:
    def rate(real, *args):
        attached = engine.session.attached
        return (3000 if attached is not None and attached.phase == "dpo" else 1) * real(*args)

    engine.replace(optimizer, "learning_rate", rate)


FAULTS: dict[str, tuple[str, Callable[[Breaker], None]]] = {
    "sft-x100": ("sft_only", sft_x100),
    "full-weights": ("sft_only", full_weights),
    "dpo-wreck": ("fuse_between", dpo_wreck),
}


def settings(strategy: str, topics: list[str]) -> dict[str, Any]:
    """quick.yaml, shorter: two epochs and four steps of DPO, answers of 32 tokens; the base does not pass."""
    return {
        "curriculum": {"path": str(KEEPER), "topics": topics},
        "foundation": {"epochs": 0},
        "sft": {"modules": ALL, "epochs": 2, "learning_rate": 4e-3},
        "dpo": {"when": "always", "rank": 4, "alpha": 8, "steps": 4, "learning_rate": 3e-4},
        "adapters": {"strategy": strategy},
        "evaluation": {"max_tokens": 32},
        "thresholds": {"accuracy": 0.30, "voice": 0.20},
    }


def control(strategy: str, folder: Path) -> tiny.Ran:
    """What a first topic leaves that lost the phase in question: nothing, or its SFT alone."""
    if strategy == "sft_only":
        return tiny.train_here(tiny.new_run(folder / "control-sft", settings(strategy, [SECOND])))
    with pytest.MonkeyPatch.context() as patch:
        Breaker(patch, FIRST).replace(decisions, "gate", lambda real, *args: Decision("skip_dpo", "for the test"))
        return tiny.train_here(tiny.new_run(folder / "control-dpo", settings(strategy, [FIRST, SECOND])))


def wreck(name: str, folder: Path) -> tiny.Ran:
    """A run of two topics whose first has the fault."""
    strategy, break_it = FAULTS[name]
    with pytest.MonkeyPatch.context() as patch:
        break_it(Breaker(patch, FIRST))
        return tiny.train_here(tiny.new_run(folder / name, settings(strategy, [FIRST, SECOND])))


def check(name: str, ran: tiny.Ran, clean: tiny.Ran) -> str:
    """Asserts that the fault was rolled back and marked and harmed nothing else; returns what happened in words."""
    phase = "dpo" if name == "dpo-wreck" else "sft"
    states = [event.state for event in ran.of(e.AdapterChanged, topic=FIRST, phase=phase)]
    failed = [event.rule for event in ran.of(e.Failed)]
    (finished,) = ran.of(e.TopicFinished, topic=FIRST)
    assert states[0] == "attached" and not {"fused", "kept_attached"} & set(states), states
    assert bytes_of(ran, SECOND) == bytes_of(clean, SECOND) != []
    assert ran.of(e.RunFinished)[-1].fingerprint == clean.of(e.RunFinished)[-1].fingerprint
    if name == "full-weights":
        assert failed[0] == "trainable-set" and finished.verdict == "error"
    else:
        assert not failed and states == ["attached", "rolled_back"]
        assert any(item.decision == "roll_back" for item in ran.of(e.Decided, topic=FIRST))
        assert finished.verdict == ("passed" if phase == "dpo" else "not_trained"), finished.reason
        assert screen(ran.run)[0].topics[FIRST].settled[phase] == "rolled_back"
    decided = [f"{item.decision}: {item.reason}" for item in ran.of(e.Decided, topic=FIRST)]
    return f"{name}: {finished.verdict} ({finished.reason}); {decided}; rules {failed}; next topic: the same bytes"


def main(names: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as place:
        controls: dict[str, tiny.Ran] = {}
        for name in names or list(FAULTS):
            strategy = FAULTS[name][0]
            controls[strategy] = controls.get(strategy) or control(strategy, Path(place))
            print(check(name, wreck(name, Path(place)), controls[strategy]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
