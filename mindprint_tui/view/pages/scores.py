"""Scores of texts as lines: one row per text, then the means with their intervals."""

from typing import Any

from mindprint_tui.view.text import NONE, fit, number, shorten

HEAD = " voice style close relev  pass "
LEAST = 20  # least width of a topic's name


def lines(report: dict[str, Any], cells: int) -> list[str]:
    """Returns lines of at most `cells`.

    Voice is about voice, closeness is about the subject, and neither is about sense.
    """
    names = {row["topic"] for row in report["rows"]}
    room = min(max(map(len, names)), max(LEAST, cells // 3))
    found = [f"{fit('topic', room)}{HEAD}answer, or why its voice is 0 or reduced"]
    for row in report["rows"]:
        told = row["reason"] or " ".join(row["answer"].split())
        figures = "".join(f"{number(row[name]):>6}" for name in ("voice", "style", "closeness", "relevance"))
        found.append(
            shorten(f"{fit(row['topic'], room)}{figures}  {'yes' if row['passes'] else 'no ':<4} {told}", cells)
        )
    found.append("")
    for name, means in [*report["topics"].items(), ("all", report["all"])]:
        figures = ", ".join(f"{part} {_mean(means[part])}" for part in ("voice", "closeness", "relevance", "style"))
        found.append(shorten(f"{fit(name, room)} {means['passes']} of {means['n']} pass; {figures}", cells))
    return [line.rstrip() for line in found]


def _mean(found: dict[str, Any] | None) -> str:
    """Returns a mean with its interval and count: `0.70 ± 0.21 (3)`."""
    if found is None:
        return NONE
    half = "" if found["interval"] is None else f" ± {(found['interval'][1] - found['interval'][0]) / 2:.2f}"
    return f"{found['mean']:.2f}{half} ({found['n']})"
