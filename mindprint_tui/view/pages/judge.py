"""What a judge said about a run, as lines: its controls, whether it is reliable, and the means of its marks."""

from typing import Any

from engine.contract.journal.judge_file import ASPECTS, Control, Judgement, Mean, went_on
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import STAGES
from engine.contract.wording import several
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.view.text import estimate

UNRELIABLE = "not reliable"
BROKEN_OFF = "the rating broke off; mindprint-tui judge goes on with it"


def judge_lines(found: Judgement, grown: bool = False) -> list[str]:
    """Returns what the latest judge said; `grown` says that the run has gone on since."""
    if found.judge is None:
        return ["no judge has rated this run", *damage_of(found)]
    lines = [f"judge {judge_name(found)}: {verdict(found)}"]
    if found.controls is not None:
        lines += [f"  {control_line(control)}" for control in found.controls.found]
    if found.rated is not None:
        lines += [f"  {stage:<10} {means_line(found, stage)}" for stage in STAGES if stage in found.rated.means]
        lines += [f"  no mark in {several(found.rated.unmarked, 'rating')}"] if found.rated.unmarked else []
        lines += ["  ! the run went on after these marks; judge it again"] if grown else []
    return [*lines, *damage_of(found)]


def judge_name(found: Judgement) -> str:
    """Returns the name of the judge and its place, safe for a terminal."""
    if found.judge is None:
        return ""
    place = f" at {found.judge.endpoint}" if found.judge.endpoint else ""
    return one_line(clean(found.judge.model + place))


def reliable(found: Judgement) -> bool:
    """Tells whether the judge has passed its controls."""
    return found.controls is not None and found.controls.reliable


def verdict(found: Judgement) -> str:
    """Returns how far the judge can be believed, and why not."""
    if found.controls is None:
        return f"its controls are not rated yet; {BROKEN_OFF}"
    words = "its controls hold" if found.controls.reliable else f"{UNRELIABLE}: {'; '.join(found.controls.faults)}"
    return one_line(clean(words)) + ("" if found.rated else f"; {BROKEN_OFF}")


def control_line(control: Control) -> str:
    """Returns the AUC of a control with its interval and counts."""
    unmarked = f", {control.unmarked} without a mark" if control.unmarked else ""
    if control.auc is None:
        return one_line(clean(f"{control.name}: not tried{unmarked}"))
    ends = "" if control.low is None or control.high is None else f" ({control.low:.2f} to {control.high:.2f})"
    counts = f"{control.good} against {control.bad} texts{unmarked}"
    return one_line(clean(f"{control.name}: AUC {control.auc:.2f}{ends}, {counts}"))


def means_line(found: Judgement, stage: str) -> str:
    """Returns the means of a stage: `sense 2.90 ± 0.31 (84), content 1.12 ± 0.40 (84)`; with a word of warning."""
    means = found.rated.means.get(stage, {}) if found.rated else {}
    parts = [f"{aspect} {mean_text(means[aspect])}" for aspect in ASPECTS if aspect in means]
    return ", ".join(parts) + ("" if reliable(found) else f" ({UNRELIABLE})")


def mean_text(mean: Mean) -> str:
    """Returns a mean from 0 to 4 with its interval and count."""
    value, low, high, count = mean
    return estimate(value, None if low is None or high is None else (low, high), count)


def answer_marks(found: Judgement, question: str, answer: str) -> str:
    """Returns a judge's marks of one answer, as `judge: sense 3, content 1 of 4`; empty if it has not rated it."""
    rated = [(aspect, found.mark(aspect, question, answer)) for aspect in ASPECTS]
    parts = [f"{name} {'no mark' if mark.mark is None else mark.mark}" for name, mark in rated if mark is not None]
    return f"judge: {', '.join(parts)} of 4{'' if reliable(found) else f' ({UNRELIABLE})'}" if parts else ""


def damage_of(found: Judgement) -> list[str]:
    """Returns a warning if lines of the file cannot be read."""
    return [f"  ! {found.damage}"] if found.damage else []


def as_data(found: Judgement, run: RunDir) -> dict[str, Any] | None:
    """Returns what a judge said as plain data; None if none has rated the run."""
    if found.judge is None:
        return None
    controls, rated = found.controls, found.rated
    rows = [
        {name: getattr(each, name) for name in each.__struct_fields__} for each in (controls.found if controls else ())
    ]
    return {
        "model": clean(found.judge.model),
        "endpoint": clean(found.judge.endpoint),
        "reliable": reliable(found),
        "faults": [clean(fault) for fault in controls.faults] if controls else None,
        "controls": [{k: clean(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows],
        "answers": rated.answers if rated else None,
        "went_on": went_on(found, run),  # the run has other answers since
        "unmarked": rated.unmarked if rated else None,
        "means": {stage: means for stage, means in rated.means.items() if stage in STAGES} if rated else None,
    }
