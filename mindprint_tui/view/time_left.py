"""How much longer a run will take, from the work that is left."""

from engine.contract.vocabulary import PHASES, SUPERVISED
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.view.panes.outline import Outline


def remaining(state: RunState, outline: Outline, now: float) -> float | None:
    """Seconds of work to come, from the mean of the topics that were trained; None where that is not known.

    Before the first it is what the engine predicted, less what was worked. Where a topic has taken longer than was
    left, nobody knows, and the same words for minutes would be wrong.
    """
    if outline.trained:
        mean = outline.trained_seconds / outline.trained
        current = _of_current(state, mean, now)
        left = None if current is None else mean * outline.waiting + current
    else:
        left = None if state.predicted is None else state.predicted - state.work.at(now)
    return left if left is not None and left > 0 else None


def _of_current(state: RunState, mean: float, now: float) -> float | None:
    """Seconds that the running topic still takes: what is left of the mean, and no less than its steps will take.

    None where it has taken longer than the mean. A preference phase is the last of a topic: there the steps and one
    more scoring are all that is left.
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
