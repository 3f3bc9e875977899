"""Head of the page: how the run ended, its facts, the tiles with its numbers, and its settings."""

import time
from pathlib import Path
from typing import Any

from engine.contract.journal import events as e
from engine.contract.vocabulary import (
    BASE,
    PASSED,
    PHASES,
    PREFERENCE,
    VERDICTS,
    Phase,
)
from mindprint_tui.journal.headline import Headline, end_scores, headline
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.report.final_exam import exam_tiles
from mindprint_tui.report.gather import ReportContents
from mindprint_tui.view.in_model import in_model
from mindprint_tui.view.text import Interval, about, brief, count_of, mean_of, number
from mindprint_tui.votes.agreement import tally

ENDED = {0: ("passed", "good"), 1: ("not all passed", "warn"), 130: ("stopped", "warn")}


def status(found: ReportContents) -> tuple[str, str]:
    finished, died = found.state.finished, found.state.died
    if found.liveness.word != "gone":
        return "running", "accent"
    if finished is not None:
        return ENDED.get(finished.exit_status, (f"ended with status {finished.exit_status}", "bad"))
    return ("the engine died", "bad") if died else ("its engine is gone", "bad")


def facts(found: ReportContents) -> list[tuple[str, str]]:
    state = found.state
    rows = []
    if state.began:
        rows.append(("began", time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(state.began))))
    if state.started:
        rows += [("configuration", state.started.config), ("seed", str(state.started.seed))]
    if model := state.model:
        parameters = f"{model.parameters:,} parameters, {model.dtype} on {model.device}"
        rows.append(("base model", f"{_value(model.model)}, {parameters}"))
        rows.append(("its fingerprint", model.fingerprint))
    if state.finished:
        rows.append(("final fingerprint", state.finished.fingerprint))
    if state.restarts:
        rows.append(("engine restarted", f"{state.restarts} times"))
    return rows


def tiles(found: ReportContents) -> list[tuple[str, str, str]]:
    """Returns the tiles at the top: label, value, and a small line below."""
    state, tally = found.state, found.tally
    topics = state.course
    passed = state.tally.get(PASSED, 0)
    counts = {row.label: state.tally.get(word, 0) for word, row in VERDICTS.items() if word != PASSED}
    others = [f"{count} {label}" for label, count in counts.items() if count]
    seconds = state.finished.seconds if state.finished else state.spent.at(state.t)
    before = [score for topic in topics if (score := topic.scores.get(BASE))]
    final = [score for topic in topics if (score := end_scores(topic))]
    mean, (inside, _) = headline(topics), in_model(topics)
    return [
        ("topics passed", f"{passed} of {len(topics):,}", ", ".join(others)),
        ("mean voice", brief(mean.voice, _sure(final, "voice")), f"{mean.over}; before {number(mean.before)}"),
        _closeness(mean, before, final),
        *exam_tiles(state),
        *_votes(found),
        ("in the model", count_of(len(inside), len(topics)), ""),
        *(_preference(phase, topics) for phase in PREFERENCE),
        ("optimizer steps", f"{tally.optimizer_steps:,}", f"phases begun: {tally.states.get('attached', 0):,}"),
        ("time", about(seconds), f"{sum(topic.status == 'finished' for topic in topics):,} topics finished"),
    ]  # fmt: skip


def _votes(found: ReportContents) -> list[tuple[str, str, str]]:
    """Returns the tile of a person's votes, if there are any: how often they agree with the score."""
    if not found.votes.standing:
        return []
    votes = tally(found.votes.standing.values())
    share = count_of(votes.agree, votes.compared) if votes.compared else number(None)
    return [("votes that agree with the score", share, f"{votes.agreement}; {votes.counts}")]


def _preference(phase: Phase, topics: list[TopicState]) -> tuple[str, str, str]:
    """Returns the tile of a preference phase: how often it was kept, was rolled back, and ran."""
    ran = [topic for topic in topics if phase in topic.scores]
    back = sum(topic.settled.get(phase) == "rolled_back" for topic in ran)
    kept = sum(topic.kept == phase for topic in ran)
    return PHASES[phase].label, f"{kept} kept", f"{back} rolled back, of {len(ran)} topics where it ran"


def _closeness(mean: Headline, before: list[e.Evaluated], final: list[e.Evaluated]) -> tuple[str, str, str]:
    """Returns the tile of mean closeness if it was measured, else of mean accuracy."""
    found, was = (mean_of([s.closeness for s in scores if s.closeness is not None])[0] for scores in (final, before))
    if found is None:
        return "mean accuracy", number(mean.accuracy), f"{mean.over}; before {number(mean.accuracy_before)}"
    return "mean closeness", brief(found, _sure(final, "closeness")), f"{mean.over}; before {number(was)}"


def _sure(scores: list[e.Evaluated], name: str) -> Interval | None:
    """Returns the 90 % interval of a mean over topics, or None without learned scores."""
    return mean_of([value for s in scores if s.learned and (value := getattr(s, name)) is not None])[1]


def settings(whole: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    sections = []
    for name, values in whole.items():
        pairs = values.items() if isinstance(values, dict) else [("", values)]
        sections.append((name, [(str(key), _value(value)) for key, value in pairs]))
    return sections


def _value(value: Any) -> str:
    """Returns a setting as text that strangers may read.

    Only the last part of a path is shown, because the other parts may contain a person's name.
    """
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) or "–"
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else str(value)
