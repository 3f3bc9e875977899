"""Steps of one phase in a row, of which only the curve and the last one matter: most of a long journal."""

import re
from dataclasses import dataclass

from engine.contract.journal.events import Step

Point = tuple[int, int, float]  # seq, step, loss
HEAD = re.compile(
    rb'\{"v": 1, "seq": ([0-9]{1,18}), "t": [0-9.]{1,20}, "kind": "step", "topic": "([a-z0-9_/-]{1,200})", '
    rb'"phase": "(sft|dpo)", "step": ([0-9]{1,9}), "of": [0-9]{1,9}, '
    rb'"loss": (-?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:e[+-]?[0-9]{1,3})?), "'
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """`points` of one phase in order; `last` is the whole of the last step, read at `t`."""

    points: list[Point]
    last: Step
    t: float

    @property
    def seq(self) -> int:
        return self.points[-1][0]
