"""The adapter pane: what must hold, each as a tick with its number; what does not is shouted."""

from typing import Any

from engine.contract.events import AdapterChanged
from mindprint_tui.clean import one_line
from mindprint_tui.state import RunState
from mindprint_tui.view.text import Line, crop, fit, line, number, small, wrap

STATES = {
    "attached": "attached",
    "fused": "fused into the model",
    "kept_attached": "kept attached: the change is below the model's resolution",
    "detached": "detached",
    "rolled_back": "rolled back",
}
TICK, CROSS = ("✓", "ok"), ("✗ BROKEN", "breach")


def adapter_lines(state: RunState, cells: int) -> list[Line]:
    """The latest state of the adapter, and the last fuse."""
    event = state.adapter
    lines = _breaches(state, cells)
    if event is None:
        return [*lines, line(("No adapter yet: each phase attaches one.", "dim"))]
    names = " ".join(name.removesuffix("_proj") for name in event.module_names)
    where = f" · {names} × {event.layers} layers" if event.layers else f" · {event.modules} modules"
    role = {"attached": "accent", "rolled_back": "warn", "kept_attached": "warn"}.get(event.state, "bold")
    lines.append(
        line(
            (STATES.get(event.state, event.state), role),
            f" · {event.phase.upper()} r={event.rank} scale {event.scale:g}{where}",
        )
    )
    same = event.trainable == event.expected_trainable
    share = f"  {event.trainable / event.total:.2%} of {event.total:,}" if event.total and event.trainable else ""
    none = " (nothing is left to train)" if not event.trainable and same else ""
    sign = "=" if same else "≠"
    lines.append(
        line(
            f"trainable {event.trainable:,} {sign} expected {event.expected_trainable:,} ",
            TICK if same else CROSS,
            (share + none, "dim"),
        )
    )
    lines.append(_base(event))
    lines.append(_change(event))
    lines.append(_fuse(state))
    lines.append(line(f"model {event.model_fingerprint[:16]}", (f"  ledger {_deltas(event.ledger_depth)}", "")))
    return [crop(text, cells) for text in lines]


def _breaches(state: RunState, cells: int) -> list[Line]:
    """The latest broken rule of this run, whatever else there is to see."""
    broken = [failed for failed in state.failures if failed.rule]
    if not broken:
        return []
    words = wrap(f"✗ {broken[-1].rule}: {one_line(broken[-1].message)}", cells, "  ")[:3]
    more = [line((f"{len(broken)} rules were broken in this run", "bad"))] if len(broken) > 1 else []
    return [line((fit(word, cells), "breach")) for word in words] + more


def _base(event: AdapterChanged) -> Line:
    name = f"base {event.base_fingerprint[:16]} "
    if event.base_unchanged is None:
        return line(name, ("looked at when the phase ends", "dim"))
    return line(name, "unchanged " if event.base_unchanged else "CHANGED ", TICK if event.base_unchanged else CROSS)


def _change(event: AdapterChanged) -> Line:
    norm = small(event.delta_norm) if event.delta_norm is not None else "is known at the end of the phase"
    return line(f"change ‖Δ‖ {norm}")


def _fuse(state: RunState) -> Line:
    event = state.fuse
    if event is None or event.fuse_cosine is None or event.fuse_kl is None:
        return line(("no fuse yet", "dim"))
    limits = settings(state, "adapters")
    cosine, kl = float(limits.get("min_fuse_cosine", 0.99)), float(limits.get("max_fuse_kl", 1e-3))
    good = event.fuse_cosine >= cosine and event.fuse_kl <= kl
    verdict = TICK if good else ("kept attached", "warn") if event.state == "kept_attached" else CROSS
    return line(f"last fuse  cosine {number(event.fuse_cosine, 4)}  KL {small(event.fuse_kl)} ", verdict)


def settings(state: RunState, section: str) -> dict[str, Any]:
    """A section of the effective configuration; empty where the journal does not hold it."""
    found = state.started.settings.get(section) if state.started else None
    return found if isinstance(found, dict) else {}


def _deltas(count: int) -> str:
    return "1 delta" if count == 1 else f"{count} deltas"
