"""HTML page of a report: prepares the values, renders the template, writes the file."""

import stat
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.judge_file import Judgement
from engine.contract.run_folder.files import replace_own
from engine.contract.run_folder.folder import require_free
from engine.contract.vocabulary import (
    ADAPTER_STATES,
    BASE,
    FINAL,
    KEPT,
    PHASES,
    SCORED_STAGES,
    STAGES,
    START,
    VERDICTS,
    Colour,
    Role,
    Stage,
    health_label,
)
from engine.contract.wording import unreadable_lines
from mindprint_tui.journal.headline import end_scores
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.report.answers import side_by_side
from mindprint_tui.report.checks import checks
from mindprint_tui.report.figures import HEIGHT, LEFT, RIGHT, TOP, WIDTH, curve
from mindprint_tui.report.final_exam import voice_map
from mindprint_tui.report.gather import PhaseDetail, ReportContents, TopicDetail
from mindprint_tui.report.head import facts, settings, status, tiles
from mindprint_tui.view.in_model import in_model
from mindprint_tui.view.pages.judge import judge_lines
from mindprint_tui.view.panes.log import fitted
from mindprint_tui.view.panes.outline import Row, outline
from mindprint_tui.view.score_rows import CLAIMS, ScoreLine, counted, demanded, interval_of, score_lines, value_of
from mindprint_tui.view.text import about, brief, estimate, number, shorten, small

HEAD = 1 << 12  # bytes at the start of a file that show whether it is a report
MARK = " · mindprint</title>"
ROWS = 400  # lines of the overview; with more topics it shows units
UNITS = 60
OUTSIDE = 60  # the most topics named as not in the model
TITLE = 120  # characters of a title that are shown
MOODS: dict[Role, str] = {"ok": "good", "dim": "none", "warn": "warn", "bad": "bad", "accent": "accent"}


@dataclass(frozen=True, slots=True)
class Mark:
    """The voice score of a stage, from 0 to 1."""

    stage: str
    colour: Colour
    value: float
    sure: str  # the value with its interval as text
    undone: str  # the reason why it was not kept, or empty


def render(found: ReportContents) -> str:
    """Returns the page as text."""
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "small": small, "about": about}
    return environment.get_template("page.html").render(_values(found))


def _damage(found: ReportContents) -> list[tuple[str, str, int]]:
    """Returns a warning with its key and count for each file with lines that could not be read."""
    journal = f"{unreadable_lines(found.damaged)}; their facts are missing" if found.damaged else ""
    return [(key, text, 1) for key, text in (("journal", journal), ("votes", found.votes.damage)) if text]


def write(page: str, target: Path) -> None:
    """Writes the page in one atomic step.

    Raises InputError if it cannot be written, or if something other than a report is at `target`. An older report is
    replaced. A run's journal, a link, a pipe or a device is never replaced.
    """
    require_free(target)
    _require_replaceable(target)
    try:
        replace_own(target, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise InputError(f"{target}: the report cannot be written ({error.strerror})") from error


def _require_replaceable(target: Path) -> None:
    """Raises InputError unless `target` is free or holds a report."""
    try:
        mode = target.lstat().st_mode
        if stat.S_ISREG(mode):
            with open(target, "rb") as file:
                head = file.read(HEAD)
            if head.lstrip().startswith(b"<!doctype html>") and MARK.encode() in head:
                return
            found = "it exists and is no report"
        else:
            found = "it is a folder" if stat.S_ISDIR(mode) else "it exists and is no file"
    except FileNotFoundError:
        return
    except OSError as error:
        found = error.strerror or str(error)
    raise InputError(f"{target}: the report cannot be written ({found}); name a file that does not exist")


def _template(name: str) -> str:
    return files("mindprint_tui.report").joinpath(name).read_text(encoding="utf-8")


def _values(found: ReportContents) -> dict[str, Any]:
    state, started = found.state, found.state.started
    limits = state.settings("thresholds")
    big = len(state.topics) > ROWS
    inside, outside = in_model(state.course)
    new = any(score.learned for topic in state.topics.values() for score in topic.scores.values())
    units, unbegun = _units(state) if big else ([], 0)
    details = [(state.topics[id], detail) for id, detail in found.details.items()]
    judge = judge_lines(found.judged, found.judged_before) if found.judged.judge or found.judged.damaged else []
    return {
        "style": Markup(_template("style.css")),  # safe: a file of this package
        "name": found.name,
        "status": status(found),
        "facts": facts(found),
        "tiles": tiles(found),
        "stages": [STAGES[stage] for stage in SCORED_STAGES],
        "subject": "closeness" if new else "accuracy",
        "needed": limits.get("voice"),
        "units": units,
        "unbegun": unbegun,
        "scorer": fitted(state.scorer) if state.scorer else "",
        "separable": state.scorer is None or state.scorer.separable,
        "outside": [
            (shorten(each.topic.info.title, TITLE), each.why, each.reason)
            for each in (outside[:OUTSIDE] if state.finished else ())
        ],
        "inside": len(inside),
        "unshown_outside": max(0, len(outside) - OUTSIDE),
        "claims": CLAIMS if new else "",
        "topics": [] if big else [_row(topic, found.details) for topic in state.topics.values()],
        "map": voice_map(state.course) if state.examined and not big else [],
        "checks": checks(found.tally),
        "judge": judge,
        "details": [
            _detail(topic, detail, demanded(topic.held_to or limits), found.judged) for topic, detail in details
        ],
        "count": len(state.course),
        "detailed": sum(topic.counted for topic, _ in details),
        "box": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP},
        "failures": found.tally.broken,
        "failed": found.tally.failed,
        "warnings": [*_damage(found), *((key, text, count) for (key, text), count in found.tally.warnings.items())],
        "unshown": found.tally.unshown,
        "settings": settings(started.settings if started else {}),
        "versions": started.versions if started else {},
    }


def _verdict(topic: TopicState) -> tuple[str, str]:
    if topic.verdict is None:
        return ("running", "accent") if topic.status == "running" else ("not yet", "none")
    return VERDICTS[topic.verdict].label, MOODS[VERDICTS[topic.verdict].role]


def _marks(topic: TopicState) -> list[Mark]:
    return [
        Mark(
            STAGES[stage].label,
            STAGES[stage].colour,
            topic.scores[stage].voice,
            brief(topic.scores[stage].voice, topic.scores[stage].intervals.get("voice")),
            topic.undone.get(stage, ""),
        )
        for stage in SCORED_STAGES
        if stage in topic.scores
    ]


def _row(topic: TopicState, details: dict[str, TopicDetail]) -> dict[str, Any]:
    before, last = topic.scores.get(BASE), topic.scores.get(FINAL) or end_scores(topic)
    return {
        "id": topic.info.id,
        "title": shorten(topic.info.title, TITLE),
        "verdict": _verdict(topic),
        "marks": _marks(topic),
        "closeness": (_subject(before), _subject(last)),
        "linked": topic.info.id in details,
    }


def _subject(score: e.Evaluated | None) -> str:
    """Returns closeness with its interval, or the accuracy if the engine does not measure closeness."""
    if score is None:
        return number(None)
    found = score.closeness
    return number(score.accuracy) if found is None else brief(found, score.intervals.get("closeness"))


def _units(state: RunState) -> tuple[list[Row], int]:
    """Returns the begun units that fit on the page, and the number of units left out."""
    units = outline(state.topics).units
    shown = [row for row in units if row.finished][:UNITS] or units[:UNITS]
    return shown, len(units) - len(shown)


def _detail(topic: TopicState, detail: TopicDetail, limits: dict[str, Any], judged: Judgement) -> dict[str, Any]:
    stages = [(key, row.short) for key, row in STAGES.items() if key in topic.scores]
    scores = [topic.scores[key] for key, _ in stages]
    table: list[tuple[str, list[str], str]] = []
    for row in score_lines(scores, limits):
        needs = f"needs {number(limits[row.name])}" if row.kind == "score" and row.name in limits else ""
        name = f"· {shorten(row.label, 40)}" if row.kind == "part" else row.label
        table.append((name, [_shown(score, row) for score in scores], needs))
    table.append(("health", [health_label(s.health) for s in scores], ""))
    if any(s.cut for s in scores):
        table.append(("answers cut", [f"{s.cut} of {s.questions}" for s in scores], ""))
    return {
        "id": topic.info.id,
        "title": shorten(topic.info.title, TITLE),
        "attempt": topic.attempt,
        "verdict": _verdict(topic),
        "reason": topic.reason,
        "stages": [(name, key in topic.undone) for key, name in stages],
        "table": table if stages else [],
        "decisions": [(item.decision.replace("_", " "), item.reason) for item in detail.decisions],
        "failures": detail.failures,
        "phases": [_phase(phase) for phase in detail.phases.values()],
        "questions": [side_by_side(each, _left_out(topic), topic.undone, judged) for each in detail.questions],
        "more": detail.more,
    }


def _shown(score: e.Evaluated, row: ScoreLine) -> str:
    """Returns a score with its interval and its number of answers, or a count as text."""
    if row.kind in ("count", "pairs"):
        return counted(score, row)
    return estimate(value_of(score, row), interval_of(score, row), score.questions)


def _phase(found: PhaseDetail) -> dict[str, Any]:
    planned, last, on, off = found.planned, found.last, found.adapter, found.settled
    again = f", {planned.replayed} of them replayed" if planned.replayed else ""
    facts = [("steps", f"{last.step if last else 0} of {planned.steps}"), ("rows", f"{planned.rows}{again}")]
    if planned.total_tokens:
        facts.append(("supervised", f"{planned.supervised_tokens:,} of {planned.total_tokens:,} tokens"))
    if last is not None:
        facts.append(("last loss", number(last.loss, 3)))
    held = [found.held[step] for step in sorted(found.held)]
    if held:
        facts.append(("held-out loss", f"{number(held[-1].loss, 3)} after step {held[-1].step}"))
    if best := next((each for each in reversed(held) if each.best), None):
        facts.append(("best step", f"{best.step} (loss {number(best.loss, 3)}, score {number(best.score, 3)})"))
    if found.kept is not None:
        facts.append(("kept", f"step {found.kept.step} of {found.kept.of}, by {found.kept.by}"))
    if last is not None and last.margin is not None:
        facts.append(("margin", f"{last.margin:+.3f}"))
    if on is not None:
        facts.append(("adapter", f"rank {on.rank}, scale {on.scale:g}"))
        names = ", ".join(name.removesuffix("_proj") for name in on.module_names)
        facts.append(("modules", f"{on.modules}: {names} in {on.layers} layers" if names else str(on.modules)))
        facts.append(("trainable", f"{on.trainable:,}, expected {on.expected_trainable:,}"))
    if off is not None and off.delta_norm is not None:
        facts.append(("change ‖Δ‖", small(off.delta_norm)))
    if off is not None and off.fuse_cosine is not None and off.fuse_kl is not None:
        facts.append(("fuse", f"cosine {number(off.fuse_cosine, 6)}, KL {small(off.fuse_kl)}"))
    if off is not None and off.base_unchanged is not None:
        facts.append(("frozen weights", "unchanged" if off.base_unchanged else "CHANGED"))
    state = ADAPTER_STATES[off.state].label if off else ADAPTER_STATES[on.state].label if on else "beginning"
    mood = ("good" if off.state in KEPT else "warn") if off else "accent"
    row = PHASES[planned.phase]
    points = [(each.step, each.loss) for each in held if each.loss is not None]
    return {
        "name": row.label,
        "colour": row.colour,
        "curve": curve(found.loss, points),
        "facts": facts,
        "state": (state, mood),
    }


def _left_out(topic: TopicState) -> tuple[Stage, ...]:
    """Returns the stages to leave out.

    Answers before training (`start`) are shown only if no phase of the topic was kept.
    """
    began = topic.scores.get(START)
    return () if began is not None and topic.at_end is began else (START,)
