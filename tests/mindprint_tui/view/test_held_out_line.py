"""The loss pane draws the held-out line and marks the best step, and the step that is kept."""

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.metrics.rows import Rows
from mindprint_tui.view.focus import Focus
from mindprint_tui.view.panes.loss import loss_lines

T = "unit-01/chapter-01/topic-01"
LOSSES = {10: 3.0, 20: 2.5, 30: 2.8}


def records(*more: e.Event) -> list[Record]:
    events: list[e.Event] = [e.TopicStarted(T, 1, 1), e.PhaseStarted(T, "sft", 40, 8, 1, 2)]
    for step in range(1, 31):
        events.append(e.Step(T, "sft", step, 40, 3.0 - step / 20, 1e-4, 1.0, 9, 9, 0.1, 1))
        if step in LOSSES:
            events.append(e.Validated(T, "sft", step, LOSSES[step], None, step < 30, 0.1, 4))
    return [Record(seq, float(seq), event) for seq, event in enumerate([*events, *more])]


def text(found: list[Record], cells: int = 76) -> str:
    return "\n".join(
        "".join(part for part, _ in line) for line in loss_lines(fold(RunState(), found), Focus(), cells, 12)
    )


def test_the_held_out_line_has_its_colour_and_the_best_step_a_star():
    lines = loss_lines(fold(RunState(), records()), Focus(), 76, 12)
    assert "held out 2.800" in text(records()) and "★ best at step 20" in text(records())
    stars = [(y, role) for y, line in enumerate(lines[2:-1]) for part, role in line if part == "★"]
    assert stars == [(stars[0][0], "bold")]
    assert any(role == "ok" and part.strip() for line in lines[2:-1] for part, role in line)
    assert all(sum(len(part) for part, _ in line) <= 76 for line in lines)


def test_the_kept_step_is_named_with_what_chose_it():
    assert "★ step 20 kept of 30, by loss" in text(records(e.StepKept(T, "sft", 20, 30, 40, "loss", 2.5)))


def test_a_restart_takes_back_validations_of_void_steps():
    found = records()
    place = next(record.seq for record in found if isinstance(record.event, e.Validated) and record.event.step == 20)
    shown = text([*found, Record(len(found), 99.0, e.Restored(place - 1, "died"))])
    assert "held out 3.000" in shown and "★ best at step 10" in shown


def test_metrics_have_a_row_for_each_validation():
    rows = Rows(patient=False)
    found = [row for record in records() for row in rows.take(record) if row["kind"] == "validated"]
    assert [(row["step"], row["heldout_loss"]) for row in found] == list(LOSSES.items())
