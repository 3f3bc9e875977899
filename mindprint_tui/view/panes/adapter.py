"""The adapter pane: the engine's measurements, with a tick or a warning for each rule."""

import math

from engine.contract.journal.events import AdapterChanged
from engine.contract.vocabulary import ADAPTER_STATES, PHASES
from mindprint_tui.journal.run_state import RunState, rules_broken
from mindprint_tui.journal.sanitize import one_line
from mindprint_tui.journal.topic_state import PhaseRun
from mindprint_tui.view.text import Line, Span, crop, fit, line, number, small, width, wrap

BEGINS = "dpo-starts-at-ln2"
TICK, CROSS = ("✓", "ok"), ("✗ BROKEN", "breach")


def adapter_lines(state: RunState, cells: int) -> list[Line]:
    """Returns the latest state of the adapter and the last fuse."""
    event = state.adapter
    lines = _breaches(state, cells)
    if event is None:
        return [*lines, line(("No adapter yet: each phase attaches one.", "dim"))]
    run = state.phase
    run = run if run is not None and (run.topic, run.phase) == (event.topic, event.phase) else None
    lines += [_what(event, cells), _trainable(event, run, cells), _modules(event, run), _frozen(event, run)]
    lines += [_moved(event, run), _start(run), _fuse(state), _ledger(state, event)]
    return [crop(text, cells) for text in lines if text]


def _breaches(state: RunState, cells: int) -> list[Line]:
    """Returns the latest broken rule of this run. It is always shown."""
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


def _verdict(run: PhaseRun | None, *rules: str) -> tuple[Span, ...]:
    """Returns the mark of these rules in this phase, or nothing if the engine has not checked them yet."""
    counts = [run.rules[rule] for rule in rules if rule in run.rules] if run is not None else []
    if not counts:
        return ()
    return (CROSS,) if any(count.broken for count in counts) else (TICK,)


def _trainable(event: AdapterChanged, run: PhaseRun | None, cells: int) -> Line:
    if not event.trainable and not event.expected_trainable:
        verdict = _verdict(run, "no-stacked-adapter")
        return line("trainable 0 ", *verdict, ("  nothing is left to train", "dim"))
    verdict = _verdict(run, "trainable-set", "counted-over-leaves")
    head = line(f"trainable {event.trainable:,} of expected {event.expected_trainable:,} ", *verdict)
    share = f"  {event.trainable / event.total:.2%}" if event.total else ""
    whole = (*head, *line((f"{share} of {event.total:,}" if share else "", "dim")))
    return whole if width(whole) <= cells else (*head, *line((share, "dim")))


def _modules(event: AdapterChanged, run: PhaseRun | None) -> Line:
    """Returns the number of adapted modules against the number requested.

    A layer may have several projections of a name, or none.
    """
    verdict = _verdict(run, "requested-modules")
    if not event.module_names or not event.layers:
        return line(f"modules {event.modules} ", *verdict)
    wanted = len(event.module_names) * event.layers
    text = f"modules {event.modules} {'=' if event.modules == wanted else 'of'} {len(event.module_names)}"
    few, many = ("  where a layer has them", "dim"), ("  several in a layer", "dim")
    note = () if event.modules == wanted else (few,) if event.modules < wanted else (many,)
    return line(f"{text} × {event.layers} layers ", *verdict, *note)


def _frozen(event: AdapterChanged, run: PhaseRun | None) -> Line:
    name = f"frozen weights {event.base_fingerprint[:16]} "
    if event.base_unchanged is None:
        return line(name, ("looked at as it ends", "dim"))
    return line(name, "unchanged " if event.base_unchanged else "CHANGED ", *_verdict(run, "frozen-unchanged"))


def _moved(event: AdapterChanged, run: PhaseRun | None) -> Line:
    """Returns the steps done of those planned, and the size of the change, which is known when the phase ends."""
    parts: list[str | Span] = []
    if run is not None:
        parts.append(f"steps {run.last.step if run.last else 0}/{run.steps}  ")
    if event.delta_norm is not None:
        parts.append(f"change ‖Δ‖ {small(event.delta_norm)} ")
    elif not ADAPTER_STATES[event.state].settled:
        parts.append(("change ‖Δ‖ is known as it ends", "dim"))
    return line(*parts, *_verdict(run, "steps-as-planned"))


def _start(run: PhaseRun | None) -> Line:
    """Returns the first loss of a preference phase with its rule, or the supervised tokens of another phase."""
    if run is None:
        return ()
    if PHASES[run.phase].preference and run.first is not None:
        name = f"first {PHASES[run.phase].label} loss"
        if not math.isfinite(run.first):
            return line(f"{name} {run.first} ", ("not applied", "warn"))
        count = run.rules.get(BEGINS)
        if count is None or count.found is None or count.limit is None:
            return line(f"{name} {run.first:.4f} ", *_verdict(run, BEGINS))
        within = f", {small(count.found)} of at most {small(count.limit)} off "
        return line(f"{name} {run.first:.4f}{within}", *_verdict(run, BEGINS))
    if not run.total_tokens:
        return ()
    share = f"  {run.supervised_tokens / run.total_tokens:.0%}"
    return line(f"supervised {run.supervised_tokens:,} of {run.total_tokens:,} tokens", (share, "dim"))


def _fuse(state: RunState) -> Line:
    event = state.fuse
    if event is None or event.fuse_cosine is None or event.fuse_kl is None:
        return line(("no fuse yet", "dim"))
    run = next((r for r in reversed(state.phases) if (r.topic, r.phase) == (event.topic, event.phase)), None)
    kept = ADAPTER_STATES[event.state]
    beside: tuple[Span, ...] = ((kept.label, kept.role),) if event.state == "kept_attached" else ()
    numbers = f"last fuse  cosine {number(event.fuse_cosine, 4)}  KL {small(event.fuse_kl)} "
    return line(numbers, *(beside or _verdict(run, "fuse-moves-weights")))


def _ledger(state: RunState, event: AdapterChanged) -> Line:
    deltas = "1 delta" if event.ledger_depth == 1 else f"{event.ledger_depth} deltas"
    return (*_rules(state), *line(f"  model {event.model_fingerprint[:16]}  {deltas}"))


def _rules(state: RunState) -> Line:
    """Returns how many rules were checked and held. No tick if the engine has not reported any rule."""
    if broken := rules_broken(state):
        return line((f"✗ rules broken {broken}", "breach"))
    if not state.rules:
        return line(("rules: not stated", "dim"))
    return line(f"{len(state.rules)} rules hold ", TICK)
