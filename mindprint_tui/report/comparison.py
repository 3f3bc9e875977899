"""Comparison of runs as data: scores, kept phases and time by topic and stage.

Needs no view and no clock.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import asdict, replace

from engine.contract.journal import events as e
from engine.contract.journal.events import Evaluated
from engine.contract.journal.judge_file import read_judgement
from engine.contract.journal.live import rewinds
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import (
    FIGURES,
    FOUNDATION,
    PASSED,
    PREFERENCE,
    SCORED_STAGES,
    STAGES,
    UNDECIDED,
    VERDICTS,
    Phase,
    Stage,
)
from engine.contract.wording import unreadable_lines
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState, condition
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.report.paired import Voices, differences, read_voices, voices_of
from mindprint_tui.view.in_model import in_model
from mindprint_tui.view.pages.judge import as_data
from mindprint_tui.view.text import Interval, mean_of

UNLIKE = ("run.name", "curriculum.path")  # settings that the table shows elsewhere


@dataclass(slots=True)
class PhaseAttempt:
    """One attempt at a phase: its optimizer steps and their seconds. `seconds` is None without steps."""

    steps: int = 0
    seconds: float | None = None

    def add(self, seconds: float) -> None:
        """Adds one step."""
        self.steps, self.seconds = self.steps + 1, (self.seconds or 0) + seconds


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run, read from its journal.

    `condition` is finished, stopped, died, alive, paused or refused.
    """

    name: str
    condition: str
    state: RunState
    phases: dict[tuple[str, Phase], PhaseAttempt]
    failures: dict[str, str]  # topic -> its latest failure
    damaged: int = 0  # lines of the journal that could not be read
    voices: Voices = field(default_factory=dict)
    judge: dict[str, Any] | None = None


def read_run(run: RunDir) -> RunSummary:
    """Reads a run's journal to its end."""
    feed, state = Feed(run), RunState()
    phases: dict[tuple[str, Phase], PhaseAttempt] = defaultdict(PhaseAttempt)
    failures: dict[str, str] = {}
    attempts: dict[str, int] = {}
    ahead = rewinds(run.journal)
    for records in feed.rest(feed.read):
        state = fold(state, records)
        for record in map(ahead.live, records):
            _note(record.event, phases, failures, attempts)
    live = feed.liveness()
    how, judge = condition(state, live), as_data(read_judgement(run), run)
    return RunSummary(run.name, how, state, dict(phases), failures, feed.damaged, read_voices(run), judge)


def _note(
    event: e.Event,
    phases: dict[tuple[str, Phase], PhaseAttempt],
    failures: dict[str, str],
    attempts: dict[str, int],
) -> None:
    match event:
        case e.TopicStarted(topic=topic, attempt=attempt) if attempts.get(topic) != attempt:
            attempts[topic] = attempt  # a resumed engine repeats this event, and the earlier steps stay valid
            for key in [key for key in phases if key[0] == topic]:
                del phases[key]
            failures.pop(topic, None)
        case e.PhaseStarted(topic=topic, phase=phase):
            phases[topic, phase] = PhaseAttempt()
        case e.Step(topic=topic, phase=phase, seconds=seconds):
            phases[topic, phase].add(seconds)
        case e.Failed(topic=str(topic)) as failed:
            failures[topic] = f"rule {failed.rule}" if failed.rule else failed.message
        case _:
            pass


def compare(runs: Sequence[RunSummary]) -> dict[str, Any]:
    """Returns the table as plain data for JSON and for the view. Values that were not run are None, never 0."""
    topics = list(dict.fromkeys(topic for told in runs for topic in told.state.topics))
    rows = [_topic(topic, runs) for topic in topics]
    counted = [row for row in rows if row["topic"] != FOUNDATION]
    return {
        "runs": [_run(told) for told in runs],
        "differences": _differences(runs),
        "warnings": _warnings(runs, counted),
        "topics": rows,
        "units": {unit: _rolled_up(found, runs) for unit, found in _by_parts(counted, 1).items()},
        "chapters": {chapter: _rolled_up(found, runs) for chapter, found in _by_parts(counted, 2).items()},
        "all": _rolled_up(counted, runs),
        "paired": _paired([row["topic"] for row in counted], runs),
    }


def _paired(topics: Sequence[str], runs: Sequence[RunSummary]) -> dict[str, Any]:
    """Returns the paired differences of the final exams, or of the topics' own ends if not every run has an exam."""
    exam = all(told.state.examined for told in runs)
    found = [{topic.info.id: voices_of(topic, told.voices, exam) for topic in told.state.course} for told in runs]
    return {"stage": "final" if exam else "at_end"} | differences(topics, found)


def dump(table: dict[str, Any]) -> str:
    """Returns the table as JSON. NaN and infinity are written as text, because JSON has no such numbers."""
    return json.dumps(_finite(table), indent=1, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _run(told: RunSummary) -> dict[str, Any]:
    state, finished = told.state, told.state.finished
    return {
        "run": told.name,
        "condition": told.condition,
        "model": state.model.model if state.model else None,
        "fingerprint": state.model.fingerprint if state.model else None,
        "curriculum": _settings(told).get("curriculum.path"),
        "seconds": finished.seconds if finished else None,
        "passed": state.tally.get(PASSED, 0),
        "of": len(state.course),
        "verdicts": {word: state.tally.get(word, 0) for word in VERDICTS},
        "exam": asdict(state.examined) if state.examined else None,
        "judge": told.judge,
        "not_in_model": {each.topic.info.id: each.why for each in in_model(state.course)[1]},
    }


def _topic(topic: str, runs: Sequence[RunSummary]) -> dict[str, Any]:
    info = next(told.state.topics[topic].info for told in runs if topic in told.state.topics)
    return {"topic": topic, "title": info.title, "runs": [_cell(topic, told) for told in runs]}


def _cell(topic: str, told: RunSummary) -> dict[str, Any] | None:
    """Returns one topic in one run, or None if the run does not have the topic."""
    found = told.state.topics.get(topic)
    if found is None:
        return None
    stages: dict[str, Any] = {stage: _stage(topic, stage, found, told) for stage in SCORED_STAGES}
    over = found.status == "finished"
    return {
        "status": found.status,
        "verdict": found.verdict,
        "reason": told.failures.get(topic, found.reason) if found.verdict == "error" else found.reason or None,
        "attempts": found.attempt,
        "seconds": found.seconds if over else None,
        **stages,
        "kept": found.kept,
        "at_end": _figures(end) if (end := found.at_end) and found.verdict and VERDICTS[found.verdict].scored else None,
    }


def _stage(topic: str, stage: Stage, found: TopicState, told: RunSummary) -> dict[str, Any] | None:
    """Returns the results of a stage, or None if it was not run.

    A phase that began but was never scored has no figures.
    """
    scored = found.scores.get(stage)
    if (phase := STAGES[stage].phase) is None:
        return None if scored is None else _figures(scored) | {"seconds": scored.seconds}
    ran = told.phases.get((topic, phase))
    if scored is None and ran is None:
        return None
    ran = ran or PhaseAttempt()
    return _figures(scored) | {"settled": found.settled.get(phase), "steps": ran.steps, "seconds": ran.seconds}


def _figures(scored: Evaluated | None) -> dict[str, Any]:
    if scored is None:
        return dict.fromkeys((*FIGURES, "health"))
    found = {name: getattr(scored, name) for name in FIGURES} | {"health": scored.health}
    if scored.learned:
        found |= {"intervals": scored.intervals, "answers": scored.questions, "loops": scored.loops}
        found |= {"void": scored.void, "heldout_pairs": scored.heldout_pairs}
        found["preferred"] = round((scored.preference_accuracy or 0.0) * scored.heldout_pairs)
    return found


def _by_parts(rows: Sequence[dict[str, Any]], parts: int) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups["/".join(row["topic"].split("/")[:parts])].append(row)
    return groups


def _rolled_up(rows: Sequence[dict[str, Any]], runs: Sequence[RunSummary]) -> dict[str, Any]:
    """Returns means over the topics that every run scored, so that all runs are compared on the same questions."""
    common = [row for row in rows if all(cell and cell["at_end"] for cell in row["runs"])]
    return {
        "topics": len(rows),
        "common": len(common),
        "runs": [_mean(place, rows, common) for place in range(len(runs))],
    }


def _mean(place: int, rows: Sequence[dict[str, Any]], common: Sequence[dict[str, Any]]) -> dict[str, Any]:
    here = [row["runs"][place] for row in rows if row["runs"][place]]
    shared = [row["runs"][place] for row in common]
    dpo = [cell[phase]["settled"] for cell in here for phase in PREFERENCE if cell[phase]]
    found: dict[str, Any] = {
        "passed": sum(cell["verdict"] == PASSED for cell in here),
        "of": len(here),
        "undecided": sum(cell["verdict"] == UNDECIDED for cell in here),
        "in_model": sum(cell["kept"] is not None for cell in here),
        "errors": sum(cell["verdict"] == "error" for cell in here),
        "not_run": sum(cell["verdict"] is None for cell in here),
        "dpo_ran": len(dpo),
        "dpo_kept": sum(word in e.KEPT for word in dpo),
        "seconds": sum(cell["seconds"] for cell in shared) if shared else None,
    }
    for stage in (*SCORED_STAGES, "at_end"):
        scored = [cell[stage] for cell in shared if cell[stage] and cell[stage]["voice"] is not None]
        found[stage] = {"topics": len(scored)} | {name: _average(item[name] for item in scored) for name in FIGURES}
        if any("intervals" in item for item in scored):
            found[stage]["intervals"] = _sure(scored)
            found[stage] |= {key: sum(item.get(key, 0) for item in scored) for key in ("heldout_pairs", "preferred")}
    return found


def _sure(scored: Sequence[dict[str, Any]]) -> dict[str, Interval]:
    """Returns the 90 % intervals of means over topics."""
    found = {name: mean_of([item[name] for item in scored if item[name] is not None])[1] for name in FIGURES}
    return {name: interval for name, interval in found.items() if interval is not None}


def _average(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _settings(told: RunSummary) -> dict[str, Any]:
    """Returns the effective configuration with dotted keys."""
    sections = told.state.started.settings if told.state.started else {}
    flat: dict[str, Any] = {}
    for section, values in sections.items():
        flat |= {f"{section}.{key}": value for key, value in values.items()} if isinstance(values, dict) else {}
    return flat


def _differences(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Returns the settings that differ between the runs, with each run's value."""
    every = [_settings(told) for told in runs]
    keys = [key for key in dict.fromkeys(key for flat in every for key in flat) if key not in UNLIKE]
    values = {key: [flat.get(key) for flat in every] for key in keys}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


def _warnings(runs: Sequence[RunSummary], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the reasons why these numbers may not be comparable."""
    found = []
    if len({_settings(told).get("curriculum.path") for told in runs}) > 1:
        found.append("the runs name different curricula: their questions may differ, and their scores do not compare")
    if len({(told.judge["model"], told.judge["endpoint"]) for told in runs if told.judge}) > 1:
        found.append("different judges rated the runs: their marks do not compare")
    if len({told.state.model.fingerprint for told in runs if told.state.model}) > 1:
        found.append("the runs began with different base models")
    for row in rows:
        infos = {replace(i.info, title="") for told in runs if (i := told.state.topics.get(row["topic"]))}
        if len(infos) > 1:
            found.append(f"{row['topic']}: its rows, pairs or questions are not as many in every run")
    partial = [row["topic"] for row in rows if not all(row["runs"])]
    if partial:
        found.append(f"{len(partial)} topics are not in every run; means are over the topics that every run scored")
    found += [
        f"{told.name}: {unreadable_lines(told.damaged)}; their facts are missing" for told in runs if told.damaged
    ]
    for told in runs:
        if told.condition != "finished":
            why = f"; {told.state.fatal.message}" if told.state.fatal else ""
            found.append(f"{told.name}: {told.condition}{why}; what it has not run is not a score")
    return found
