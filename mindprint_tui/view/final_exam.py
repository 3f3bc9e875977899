"""Sentences about the final exam: how well the final model still knows the topics."""

from engine.contract.journal.events import Examined
from engine.contract.wording import several


def lost(examined: Examined) -> str:
    """Returns the mean change of voice since the topics' own ends, for example `voice lost 0.07 ± 0.05`."""
    if (change := examined.changes.get("voice")) is None:
        return ""
    mean, low, high = change
    sure = "" if low is None or high is None else f" ± {(high - low) / 2:.2f}"
    return f"voice {'lost' if mean < 0 else 'gained'} {abs(mean):.2f}{sure}"


def sentence(examined: Examined) -> str:
    """Returns the result of the exam in one sentence."""
    parts = [f"{several(examined.topics, 'topic')} answered by the final model"]
    if change := lost(examined):
        parts.append(f"{change} since the topics' own ends, over {several(examined.answers, 'answer')}")
    if examined.forgotten:
        parts.append(f"forgotten: {len(examined.forgotten)}")
    return f"final exam: {'; '.join(parts)}"
