"""The adapter pane: what must hold, each as a tick with its number; what does not is shouted."""

import math

from engine.contract.journal.events import AdapterChanged
from engine.contract.vocabulary import ADAPTER_STATES, KEPT, PHASES
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import one_line
from mindprint_tui.journal.topic_state import PhaseRun
from mindprint_tui.view.text import Line, Span, crop, fit, line, number, small, width, wrap

TICK, CROSS = ("✓", "ok"), ("✗ BROKEN", "breach")
LN2_WITHIN = 1e-3  # of the first DPO loss, as the engine holds it


def adapter_lines(state: RunState, cells: int) -> list[Line]:
    """The latest state of the adapter, and the last fuse."""
    event = state.adapter
    lines = _breaches(state, cells)
    if event is None:
        return [*lines, line(("No adapter yet: each phase attaches one.", "dim"))]
    run = state.phase
    run = run if run is not None and (run.topic, run.phase) == (event.topic, event.phase) else None
    lines += [_what(event, cells), _trainable(event, cells), _modules(event), _frozen(event), _moved(event, run)]
    lines += [_start(run), _fuse(state), _ledger(state, event)]
    return [crop(text, cells) for text in lines if text]


def _breaches(state: RunState, cells: int) -> list[Line]:
    """The latest broken rule of this run, whatever else there is to see."""
    broken = [failed for _, failed in state.failures if failed.rule]
    if not broken:
        return []
    words = wrap(f"✗ {broken[-1].rule}: {one_line(broken[-1].message)}", cells, "  ")[:2]
    return [line((fit(word, cells), "breach")) for word in words]


def _what(event: AdapterChanged, cells: int) -> Line:
    state = ADAPTER_STATES[event.state]
    names = " ".join(name.removesuffix("_proj") for name in event.module_names)
    head = line((state.label, state.role), f" · {PHASES[event.phase].label} r={event.rank}")
    head = (*head, (f" scale {event.scale:g}", ""))
    full = (*head, *line(f" · {names} × {event.layers} layers" if names and event.layers else ""))
    return full if width(full) <= cells else (*head, *line(f" · {names}"))


def _trainable(event: AdapterChanged, cells: int) -> Line:
    if event.trainable != event.expected_trainable:
        return line(f"trainable {event.trainable:,} ≠ expected {event.expected_trainable:,} ", CROSS)
    if not event.trainable:
        return line("trainable 0 = expected ", TICK, ("  nothing is left to train", "dim"))
    head = line(f"trainable {event.trainable:,} = expected ", TICK)
    share = f"  {event.trainable / event.total:.2%}" if event.total else ""
    whole = (*head, *line((f"{share} of {event.total:,}" if share else "", "dim")))
    return whole if width(whole) <= cells else (*head, *line((share, "dim")))


def _modules(event: AdapterChanged) -> Line:
    """Every requested projection in every layer that has it, and nothing else: their count tells nothing by itself.

    A layer may have several of a name, the shared experts beside those of a mixture.
    """
    if not event.module_names or not event.layers:
        return line(f"modules {event.modules}")
    wanted = len(event.module_names) * event.layers
    text = f"modules {event.modules} {'=' if event.modules == wanted else 'of'} {len(event.module_names)}"
    text += f" × {event.layers} layers "
    if 0 < event.modules != wanted:
        return line(text, ("where a layer has them" if event.modules < wanted else "several in a layer", "dim"))
    return line(text, TICK if event.modules else CROSS)


def _frozen(event: AdapterChanged) -> Line:
    name = f"frozen weights {event.base_fingerprint[:16]} "
    if event.base_unchanged is None:
        return line(name, ("looked at as it ends", "dim"))
    return line(name, "unchanged " if event.base_unchanged else "CHANGED ", TICK if event.base_unchanged else CROSS)


def _moved(event: AdapterChanged, run: PhaseRun | None) -> Line:
    """Steps done are steps planned, and they moved something: judged once the phase is kept."""
    kept = event.state in KEPT
    parts: list[str | Span] = []
    if run is not None:
        done = run.last.step if run.last else 0
        parts.append(f"steps {done}/{run.steps} ")
        parts += [TICK if done == run.steps and done else CROSS, "  "] if kept else [" "]
    if event.delta_norm is None:
        return line(*parts, ("change ‖Δ‖ is known as it ends" if event.state == "attached" else "", "dim"))
    parts.append(f"change ‖Δ‖ {small(event.delta_norm)} ")
    parts += [TICK if event.delta_norm > 0 else CROSS] if kept else []
    return line(*parts)


def _start(run: PhaseRun | None) -> Line:
    """What the phase learns from, and for DPO that it began at ln 2: chosen and rejected equally likely."""
    if run is None:
        return ()
    if run.phase == "dpo" and run.first is not None and not math.isfinite(run.first):
        return line(f"first DPO loss {run.first} ", ("not applied", "warn"))
    if run.phase == "dpo" and run.first is not None:
        good = abs(run.first - math.log(2)) <= LN2_WITHIN
        return line(f"first DPO loss {run.first:.4f} {'=' if good else '≠'} ln 2 ", TICK if good else CROSS)
    if not run.total_tokens:
        return ()
    share = f"  {run.supervised_tokens / run.total_tokens:.0%}"
    return line(f"supervised {run.supervised_tokens:,} of {run.total_tokens:,} tokens", (share, "dim"))


def _fuse(state: RunState) -> Line:
    event = state.fuse
    if event is None or event.fuse_cosine is None or event.fuse_kl is None:
        return line(("no fuse yet", "dim"))
    limits = state.settings("adapters")
    cosine, kl = float(limits.get("min_fuse_cosine", 0.99)), float(limits.get("max_fuse_kl", 1e-3))
    kl = kl if event.fuse_kl_limit is None else event.fuse_kl_limit
    good = event.fuse_cosine >= cosine and event.fuse_kl <= kl
    verdict = TICK if good else ("kept attached", "warn") if event.state == "kept_attached" else CROSS
    return line(f"last fuse  cosine {number(event.fuse_cosine, 4)}  KL {small(event.fuse_kl)} ", verdict)


def _ledger(state: RunState, event: AdapterChanged) -> Line:
    rules = line("rules broken 0 ", TICK) if not state.broken else line((f"✗ rules broken {state.broken}", "breach"))
    deltas = "1 delta" if event.ledger_depth == 1 else f"{event.ledger_depth} deltas"
    return (*rules, *line(f"  model {event.model_fingerprint[:16]}  {deltas}"))
