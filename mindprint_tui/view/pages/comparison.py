"""Table of several runs next to each other: settings, topics, stages and sums."""

from collections.abc import Sequence
from typing import Any

from engine.contract.journal.judge_file import ASPECTS
from engine.contract.vocabulary import ADAPTER_STATES, FINAL, SCORED_STAGES, SCORES, VERDICTS
from mindprint_tui.view.pages.judge import UNRELIABLE, mean_text
from mindprint_tui.view.text import NONE, about, brief, count_of, fit, shorten, wrap

Column = tuple[str, str, int, int]
Columns = Sequence[Column]

LABEL = 9  # width of a row's name
KEY = 26  # width of a setting's name
GAP = "  "
LEAST = 15  # least width of a run; with less room, fewer runs stand next to each other
COLUMNS: Columns = (  # name, figure, width, and priority: columns with high numbers are dropped first
    (SCORES["voice"].column, "voice", 5, 0),
    (SCORES["accuracy"].column, "accuracy", 5, 1),
    (SCORES["preference_accuracy"].column, "preference_accuracy", 5, 4),
    (SCORES["heldout_margin"].column, "heldout_margin", 7, 2),
    ("time", "seconds", 7, 3),
)
LEARNED: Columns = (  # the same for learned scores: means with their intervals
    (SCORES["voice"].column, "voice", 10, 0),
    (SCORES["closeness"].column, "closeness", 10, 1),
    ("pref", "preference_accuracy", 7, 4),
    (SCORES["heldout_margin"].column, "heldout_margin", 7, 2),
    ("time", "seconds", 7, 3),
)
PAIRED = "Δ voice"
LEGEND = "✓ kept  ⟲ rolled back  ✗ detached  ! answers not healthy  – not run or not asked  n topics of a mean"


def table(data: dict[str, Any], cells: int) -> list[str]:
    """Returns lines of at most `cells`. Runs that do not fit next to each other follow in groups."""
    count = len(data["runs"])
    beside = max(1, min(count, (cells - LABEL) // (LEAST + len(GAP))))
    lines: list[str] = []
    for text in data["warnings"]:
        lines += wrap(f"! {text}", cells, "  ")
    for start in range(0, count, beside):
        group = range(start, min(start + beside, count))
        lines += _group(data, group, cells, (cells - LABEL) // len(group) - len(GAP))
    return [line.rstrip() for line in lines]


def _group(data: dict[str, Any], group: Sequence[int], cells: int, room: int) -> list[str]:
    columns = _columns(room, LEARNED if _learned(data, group) else COLUMNS)
    lines = ["", *_differences(data, group, cells), _row("", [data["runs"][i]["run"] for i in group], room)]
    lines.append(_row("", [_condition(data["runs"][i]) for i in group], room))
    lines.append(_row("", ["  " + "".join(f"{name:>{size}}" for name, _, size, _ in columns)] * len(group), room))
    for topic in data["topics"]:
        lines += ["", shorten(f"{topic['topic']}  {topic['title']}", cells)]
        lines += _stages([topic["runs"][i] for i in group], columns, room)
        lines.append(_row("verdict", [_verdict(topic["runs"][i]) for i in group], room))
        lines += _paired(data["paired"]["topics"].get(topic["topic"]) or [None] * len(data["runs"]), group, room)
    units = data["units"].items() if len(data["units"]) > 1 else ()
    for name, sums in (*units, ("all", data["all"])):
        lines += ["", shorten(f"{name}: means over {sums['common']} of {sums['topics']} topics", cells)]
        lines += _sums([sums["runs"][i] for i in group], columns, room)
    lines += _judges([data["runs"][i]["judge"] for i in group], room)
    lines += _paired(data["paired"]["all"], group, room)
    when = "in the final exam" if data["paired"]["stage"] == "final" else "at the topics' own ends"
    legend = [
        f"{PAIRED} {when} is the paired difference to {data['runs'][0]['run']} over the same questions (how many)"
    ]
    shown = any(line.startswith(PAIRED) for line in lines)
    return [*lines, "", *wrap(LEGEND, cells), *(wrap(legend[0] + ", ± a 90 % interval", cells) if shown else [])]


def _learned(data: dict[str, Any], group: Sequence[int]) -> bool:
    """Returns True if any of these runs has learned scores."""
    cells = [topic["runs"][i] for topic in data["topics"] for i in group]
    return any(cell and any(cell[stage] and "intervals" in cell[stage] for stage in SCORED_STAGES) for cell in cells)


def _paired(found: Sequence[dict[str, Any] | None], group: Sequence[int], room: int) -> list[str]:
    """Returns the row of voice differences to the first run, over the questions that both answered."""
    if not any(found[i] for i in group):
        return []
    return [_row(PAIRED, [NONE if (one := found[i]) is None else _difference(one) for i in group], room)]


def _difference(one: dict[str, Any]) -> str:
    interval = tuple(one["interval"]) if one["interval"] else None
    return f"{brief(one['difference'], interval, signed=True)} ({one['questions']})"


def _columns(room: int, columns: Columns) -> Columns:
    """Returns the columns that fit, in their order."""
    kept: list[Column] = []
    for column in sorted(columns, key=lambda column: column[3]):
        if 2 + sum(size for _, _, size, _ in (*kept, column)) <= room:
            kept.append(column)
    return [column for column in columns if column in kept]


def _row(label: str, blocks: Sequence[str], room: int, left: int = LABEL) -> str:
    return fit(label, left) + "".join(GAP + fit(block, room) for block in blocks)


def _differences(data: dict[str, Any], group: Sequence[int], cells: int) -> list[str]:
    if not data["differences"]:
        return ["the settings do not differ", ""] if len(data["runs"]) > 1 else []
    room = (cells - KEY) // len(group) - len(GAP)
    lines = [_row("what differs", [data["runs"][i]["run"] for i in group], room, KEY)]
    for key, values in data["differences"].items():
        lines.append(_row(key, [_value(values[i]) for i in group], room, KEY))
    return [*lines, ""]


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "all"
    return NONE if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _condition(run: dict[str, Any]) -> str:
    took = f" in {about(run['seconds'])}" if run["seconds"] is not None else ""
    return f"{run['condition']}{took}, {run['passed']}/{run['of']} passed"


def _stages(found: Sequence[dict[str, Any] | None], columns: Columns, room: int) -> list[str]:
    lines = []
    for stage in SCORED_STAGES:
        blocks = [cell[stage] if cell else None for cell in found]
        if any(blocks):
            lines.append(_row(stage, [_figures(block, columns) for block in blocks], room))
    return lines


def _figures(block: dict[str, Any] | None, columns: Columns) -> str:
    if block is None:
        return f"  {NONE:>{columns[0][2]}}"
    sick = "!" if block.get("health") not in (None, "ok") else " "
    shown = (ADAPTER_STATES[state].mark if (state := block.get("settled")) else " ") + sick
    for name, figure, size, _ in columns:
        value = block.get(figure)
        if name == "time":
            text = f"n={block['topics']}" if "topics" in block else NONE if value is None else f"{value:.0f} s"
        elif name == "pref" and block.get("heldout_pairs"):
            text = count_of(block["preferred"], block["heldout_pairs"])
        elif SCORES[figure].signed:
            text = NONE if value is None else f"{value:+.3f}"
        else:
            text = brief(value, block.get("intervals", {}).get(figure))
        shown += f"{text:>{size}}"
    return shown


def _verdict(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "not in this run"
    if cell["verdict"] is None:
        return "not run" if cell["status"] == "pending" else "begun, no verdict"
    word = VERDICTS[cell["verdict"]].label
    if cell["verdict"] == "error":
        return f"error: {cell['reason']}"
    return f"{word}, {about(cell['seconds'])}"


def _sums(found: Sequence[dict[str, Any]], columns: Columns, room: int) -> list[str]:
    lines = []
    for stage in (*SCORED_STAGES, "at_end"):
        if any(run[stage]["topics"] for run in found):
            blocks = [run[stage] if run[stage]["topics"] else None for run in found]
            name = "at end" if stage == "at_end" else stage
            lines.append(_row(name, [_figures(block, columns) for block in blocks], room))
    lines.append(_row("time", [NONE if run["seconds"] is None else about(run["seconds"]) for run in found], room))
    lines.append(_row("passed", [_counts(run) for run in found], room))
    if any(run["in_model"] < run["of"] - run["not_run"] for run in found):
        lines.append(_row("in model", [f"{run['in_model']} of {run['of']}" for run in found], room))
    lines.append(_row("dpo kept", [f"{run['dpo_kept']} of {run['dpo_ran']} that ran" for run in found], room))
    return lines


def _judges(found: Sequence[dict[str, Any] | None], room: int) -> list[str]:
    """Returns what judges gave the final answers of each run; nothing if no judge has rated any."""
    if not any(found):
        return []
    lines = ["", _row("judge", [NONE if one is None else one["model"] for one in found], room)]
    for aspect in ASPECTS:
        means = [one["means"].get(FINAL, {}).get(aspect) if one and one["means"] else None for one in found]
        lines.append(_row(aspect, [NONE if mean is None else mean_text(mean) for mean in means], room))
    words = ["" if one is None else _belief(one) for one in found]
    return [*lines, _row("", words, room)] if any(words) else lines


def _belief(judge: dict[str, Any]) -> str:
    if not judge["reliable"]:
        return UNRELIABLE
    return "the run went on since" if judge["went_on"] else ""


def _counts(run: dict[str, Any]) -> str:
    text = f"{run['passed']} of {run['of']}"
    text += f", {run['undecided']} undecided" if run["undecided"] else ""
    text += f", {run['errors']} errors" if run["errors"] else ""
    return text + (f", {run['not_run']} not run" if run["not_run"] else "")
