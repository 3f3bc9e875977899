"""Estimate of a run's remaining time, from the work that is left."""

from engine.contract.vocabulary import PHASES, SUPERVISED
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.view.panes.outline import Outline


def remaining(state: RunState, outline: Outline, now: float) -> float | None:
    """Returns the seconds of work left, or None if unknown.

    Uses the mean time of trained topics. Before the first one it uses the engine's prediction minus the work done. If a
    topic takes longer than estimated, the result is None: showing the same small number for minutes would be wrong.
    """
    if outline.trained:
        mean = outline.trained_seconds / outline.trained
        current = _of_current(state, mean, now)
        left = None if current is None else mean * outline.waiting + current + _of_exam(state, outline, now)
    else:
        left = None if state.predicted is None else state.predicted - state.work.at(now)
    return left if left is not None and left > 0 else None


def _of_exam(state: RunState, outline: Outline, now: float) -> float:
    """Returns the seconds that the final exam still needs: it takes about as long as scoring the base model did."""
    if state.examined is not None:
        return 0.0
    begun = state.current is None and not outline.waiting
    return outline.base_seconds - (state.work.at(now) - state.topics_over if begun else 0.0)


def _of_current(state: RunState, mean: float, now: float) -> float | None:
    """Returns the seconds that the running topic still needs, or None if it exceeded the mean time.

    It is the rest of the mean, and at least the time of the remaining steps. A preference phase is a topic's last
    phase. Only its steps and one more scoring are then left.
    """
    if state.current is None:
        return 0.0
    run, steps = state.phase_of(state.current), 0.0
    if run is not None and run.last is not None:
        steps = (run.steps - run.last.step) * run.last.seconds
        if PHASES[run.phase].preference:
            scores = state.topics[state.current].scores
            supervised = scores.get(SUPERVISED[-1])
            return steps + (supervised.seconds if supervised and run.phase not in scores else 0.0)
    left = mean - (state.work.at(now) - state.current_began)
    return max(left, steps) if left > 0 else None
