"""Preflight report as lines: data, gates, self-test, predicted time and memory, verdict."""

from collections.abc import Sequence
from typing import Any

from engine.contract.wording import several
from mindprint_tui.view.text import NONE, about, fit, number, shorten, wrap

SHOWN = 60  # the most topics that are shown
SENTENCES = 20
HEAD = "  rows  pairs quiz  sup  cut long ratio   ref  rej base  acc"
TABLE = len(HEAD)
LEFT_OUT = (("unusable", "unusable"), ("not_trained", "marked not to be trained on"))  # counts of rows, if not 0
LEAST = 20  # least width of a title next to its id


def lines(report: dict[str, Any], cells: int) -> list[str]:
    """Returns the report as lines of at most `cells`. Sections that the preflight did not reach are left out."""
    found = [*_model(report, cells), *_data(report, cells), *_topics(report, cells), *_gates(report, cells)]
    found += [*_controls(report, cells), *_selftest(report, cells), *_rules(report, cells), *_prediction(report, cells)]
    for sign, kind in (("!", "warnings"), ("✗", "problems")):
        told = report[kind]
        for sentence in told[:SENTENCES]:
            found += wrap(f"{sign} {sentence}", cells, "  ")
        if len(told) > SENTENCES:
            found.append(f"{sign} and {len(told) - SENTENCES} more; --json has them all")
    count = len(report["problems"])
    if count:
        found.append(
            f"✗ a run would be pointless: {count} {'thing stands' if count == 1 else 'things stand'} in its way"
        )
    else:
        found.append("✓ nothing stands in the way of a run")
    return [line.rstrip() for line in found]


def _model(report: dict[str, Any], cells: int) -> list[str]:
    model = report["model"]
    if model is None:
        return []
    name = model["name"].rstrip("/").rpartition("/")[2]
    text = f"{name}, {model['parameters']:,} parameters, {model['dtype']} on {model['device']}"
    return _labelled("model", f"{text}, base {model['fingerprint']}", cells)


def _data(report: dict[str, Any], cells: int) -> list[str]:
    data = report["data"]
    if data is None:
        return []
    text = f"{data['rows_used']} of {data['rows_read']} rows used"
    if "total_tokens" not in data:
        return _labelled("data", text, cells)
    counts = ("sft_rows", "pairs", "heldout", "questions")
    here = sum(topic[name] for topic in report["topics"] for name in counts)
    counted = ", ".join(several(data[f"{word}s"], word) for word in ("orphan", "duplicate"))
    left = "".join(f", {data[key]:,} {word}" for key, word in LEFT_OUT if data.get(key))
    text += f", {here} of them in this run; {counted}{left}, no leaks"
    share = data["supervised_tokens"] / data["total_tokens"]
    more = (
        f"{share:.0%} of {data['total_tokens']:,} SFT tokens supervised; longest row {data['longest']} of "
        f"{data['max_length']} tokens, {data['cut']} cut"
    )
    return [*_labelled("data", text, cells), *_labelled("", more, cells)]


def _topics(report: dict[str, Any], cells: int) -> list[str]:
    topics = report["topics"]
    if topics is None:
        return []
    room = max(12, cells - TABLE)
    longest = max((len(topic["topic"]) for topic in topics), default=0)
    beside = longest + 2 if longest + 2 + LEAST + TABLE <= cells else 0  # width of the id column, 0 without one
    lines = ["", fit(f"{'id':<{beside}}topic" if beside else "topic", room) + HEAD]
    for topic in topics[:SHOWN]:
        lines += _names(topic, room, beside, _row(topic))
    if len(topics) > SHOWN:
        lines.append(f"… and {len(topics) - SHOWN} more topics; --json has them all")
    return [*lines, ""]


def _names(topic: dict[str, Any], room: int, beside: int, row: str) -> list[str]:
    """Returns the line or lines of a topic: id, title and numbers.

    The title is left out if it equals the id. The id gets a separate line if there is no id column.
    """
    id, title = topic["topic"], topic["title"]
    if beside:
        return [f"{id:<{beside}}{fit(title if title != id else '', room - beside)}{row}"]
    if title in ("", id) and len(id) <= room:
        return [f"{id:<{room}}{row}"]
    return [fit(title if title != id else "", room) + row, shorten(f"  {id}", room + TABLE)]


def _row(topic: dict[str, Any]) -> str:
    base, voice = topic["base"] or {}, topic["voice"] or {}
    pairs = f"{topic['pairs']}+{topic['heldout']}"
    share = f"{topic['supervised'] / topic['total']:.0%}"
    sick = "!" if base.get("health", "ok") != "ok" else " "
    scores = [voice.get("references"), voice.get("rejected"), base.get("voice")]
    return (
        f"{topic['sft_rows']:>6}{pairs:>7}{topic['questions']:>5}{share:>5}{len(topic['cut']):>5}{topic['longest']:>5}"
        f"{number(topic['length_ratio']):>6} {''.join(f'{number(score):>5}' for score in scores)}"
        f"{number(base.get('accuracy')):>5}{sick}"
    )


def _gates(report: dict[str, Any], cells: int) -> list[str]:
    gates = report["gates"]
    if gates is None:
        return []
    needed = [f"{name} ≥ {gates[name]:g}" for name in ("voice", "closeness", "accuracy") if gates[name] > 0]
    text = f"{' and '.join(needed) or 'nothing'} to pass; {_dpo(gates)}"
    lines = _labelled("gates", text, cells)
    for name in ("references", "rejected", "base"):
        if scores := _scores(report["topics"], name):
            mean, low, high = sum(scores) / len(scores), min(scores), max(scores)
            spread = f" ({low:.2f} to {high:.2f})" if high - low >= 0.005 else ""
            lines.append(f"{'':<10}{name:<11} voice {mean:.2f}{spread}")
    return lines


def _scores(topics: Sequence[dict[str, Any]] | None, name: str) -> list[float]:
    """Returns the voice of one kind of text in each topic that has such text."""
    found = [
        (topic["base"] or {}).get("voice") if name == "base" else (topic["voice"] or {}).get(name)
        for topic in topics or ()
    ]
    return [score for score in found if score is not None]


def _controls(report: dict[str, Any], cells: int) -> list[str]:
    """Returns the controls: texts that must pass the score, and texts that must not."""
    rows = []
    for control in report["controls"] or ():
        share = f"{control['bound']:.0%}"
        limit = f"at least {share} must" if control["kind"] == "must_pass" else f"at most {share} may"
        sign = "✓" if control["holds"] else "✗"
        rows.append(f"{sign} {control['name']}: {control['passed']} of {control['n']} pass; {limit}")
    return [shorten(f"{'' if place else 'controls':<10}{row}", cells) for place, row in enumerate(rows)]


def _dpo(gates: dict[str, Any]) -> str:
    if gates["strategy"] == "sft_only" or gates["when"] == "never":
        return "no DPO"
    if gates["when"] == "always":
        return f"DPO always ({gates['strategy']})"
    return f"DPO where voice < {gates['dpo_trigger']:g} ({gates['strategy']})"


def _selftest(report: dict[str, Any], cells: int) -> list[str]:
    lines: list[str] = []
    for phase in report["selftest"] or ():
        losses = " → ".join(f"{loss:.4f}" for loss in phase["losses"])
        rate = phase["tokens"] / phase["seconds"]
        lines.append(
            f"{'self-test' if not lines else '':<10}{phase['phase'].upper()} {phase['steps']} steps, loss {losses}; "
            f"{phase['seconds']:.2f} s a step, {rate:.0f} tok/s"
        )
    return [shorten(line, cells) for line in lines]


def _rules(report: dict[str, Any], cells: int) -> list[str]:
    """Returns how many rules held, which broke, and how many are checked later. --json names the later ones."""
    if report["rules"] is None:
        return []
    held, broken, rest = (report["rules"][name] for name in ("held", "broken", "not_looked_at"))
    text = f"{len(held)} of {len(held) + len(broken) + len(rest)} held, looked at {sum(held.values())} times"
    text += f"; broken: {', '.join(broken)}" if broken else ""
    text += f"; {len(rest)} are checked later in a run (--json names them)" if rest else ""
    return _labelled("rules", text, cells)


def _prediction(report: dict[str, Any], cells: int) -> list[str]:
    found = report["prediction"]
    if found is None:
        return [f"{'predicted':<10}{NONE} not measured"]
    span = about(found["seconds"])
    if found["least"] < found["seconds"]:
        span += f" with DPO in every topic, {about(found['least'])} with it in none"
    first = f"{span}; {about(found['loading'])} of it to load, {about(found['base'])} to score the base model"
    sizes = [f"{found[name] / 1e9:.1f} GB" for name in ("peak_bytes", "process_bytes", "memory_bytes")]
    second = f"{sizes[0]} at most in MLX, {sizes[1]} in the process, of {sizes[2]} that a run can have"
    if grown := found["dequantized_bytes"]:
        second += f"; {grown / 1e9:.1f} GB of it because a quantized base stays dequantized where it is trained"
    return [*_labelled("predicted", first, cells), *_labelled("memory", second, cells)]


def _labelled(label: str, text: str, cells: int) -> list[str]:
    """Returns a text next to its label, wrapped into its own column."""
    return [f"{'' if place else label:<10}{row}" for place, row in enumerate(wrap(text, cells - 10))]
