"""Measured numbers -> the tables of docs/BENCHMARKS.md, between its two marks."""

import statistics
from typing import Any

BEGIN, END = "<!-- measured: written by make bench -->", "<!-- end of what make bench writes -->"

TARGETS = (  # (phase, against, key of ours, key of theirs, at least so many times as fast)
    ("SFT", "mlx-lm with OpenBLAS", "ours-sft", "mlx-lm-sft", 1.3),
    ("SFT", "TRL + PEFT", "ours-sft", "trl-sft", 1.6),
    ("DPO", "mlx-lm-lora, patched, with OpenBLAS", "ours-dpo", "mlx-lm-lora-dpo", 2.2),
    ("DPO", "TRL + PEFT, reference precomputed", "ours-dpo", "trl-dpo-precomputed", 1.5),
)
MEMORY = 0.6  # of mlx-lm-lora's peak
TOPIC = 1.15  # of the sum of a topic's optimizer steps and generated tokens


def into(page: str, table: str) -> str:
    """The page with what stands between its marks replaced; raises ValueError where it has no marks."""
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:start]}\n{table}\n{page[end:]}"


def render(results: dict[str, Any]) -> str:
    """Markdown of every part that was measured."""
    writers = {"steps": steps, "installed": installed, "topic": topic, "growth": growth, "topics": topics}
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    head = f"{results['cores']} cores, fp32; {versions}."
    return "\n\n".join([head, *(write(results[name]) for name, write in writers.items() if name in results)])


def steps(found: dict[str, Any]) -> str:
    rows = []
    for phase, against, ours, theirs, wanted in TARGETS:
        a, b = found[ours]["seconds"], found[theirs]["seconds"]
        each = [theirs_once / ours_once for ours_once, theirs_once in zip(a, b, strict=True)]
        ratio = statistics.median(b) / statistics.median(a)
        cells = (phase, against, f"{statistics.median(a):.2f}", f"{statistics.median(b):.2f}", f"{ratio:.2f}x")
        rows.append((*cells, f"{min(each):.2f}-{max(each):.2f}", f"{wanted}x", met(ratio >= wanted)))
    table = grid(("phase", "against", "ours, s", "theirs, s", "faster", "over rounds", "wanted", "met"), rows)
    return f"### Seconds a step\n\n{table}\n\n{memory(found)}"


def memory(found: dict[str, Any]) -> str:
    rows = []
    for name, row in found.items():
        arrays = f"{row['array_bytes'] / 1e9:.2f}" if row["array_bytes"] else "not counted"
        rows.append((name, arrays, f"{row['rss_bytes'] / 1e9:.2f}"))
    share = found["ours-dpo"]["array_bytes"] / found["mlx-lm-lora-dpo"]["array_bytes"]
    line = f"DPO peak arrays: {share:.2f} of mlx-lm-lora's, wanted at most {MEMORY}: {met(share <= MEMORY)}."
    return f"### Peak memory\n\n{grid(('trainer', 'arrays, GB', 'process, GB'), rows)}\n\n{line}"


def installed(found: dict[str, float]) -> str:
    ratio = found["mlx-lm-sft"] / found["ours"]
    return (
        f"SFT against mlx-lm as installed on Linux (reference BLAS, the step after the first): "
        f"{found['mlx-lm-sft']:.1f} s against {found['ours']:.2f} s, {ratio:.0f}x, wanted 28x: {met(ratio >= 28)}."
    )


def ratio(found: dict[str, Any]) -> float:
    """A whole topic's seconds to those of its optimizer steps and generated tokens."""
    return float(found["seconds"] / found["sum"])


def topic(found: dict[str, Any]) -> str:
    rows = [(name, f"{seconds:.2f}") for name, seconds in found["where"].items()]
    line = (
        f"{found['seconds']:.1f} s against {found['sum']:.1f} s of optimizer steps and generated tokens: "
        f"{ratio(found):.3f} (of {' '.join(f'{once:.3f}' for once in found['ratios'])}), wanted at most {TOPIC}: "
        f"{met(ratio(found) <= TOPIC)}."
    )
    other = grid(("what", "value"), [(name, f"{value:.3g}") for name, value in found["other"].items()])
    return f"### A whole topic\n\n{line}\n\n{grid(('where', 'seconds'), rows)}\n\n### Other times\n\n{other}"


def growth(found: dict[str, Any]) -> str:
    parts = []
    for what, points in found.items():
        rows = [
            (size, f"{point['seconds']:.2f}", f"{point['array_bytes'] / 1e9:.2f}") for size, point in points.items()
        ]
        parts.append(grid((what, "s a step", "arrays, GB"), rows))
    return "### Growth of a step\n\n" + "\n\n".join(parts)


def topics(found: dict[str, Any]) -> str:
    rows = [
        (
            count,
            f"{point['seconds']:.1f}",
            f"{point['seconds_a_topic_at_the_end']:.3f}",
            f"{point['journal_bytes_a_topic'] / 1e3:.1f}",
            f"{point['adapter_bytes_a_topic'] / 1e3:.1f}",
        )
        for count, point in found.items()
    ]
    heads = ("topics", "run, s", "s a topic at its end", "journal, kB a topic", "adapters, kB a topic")
    return f"### Growth with topics (tiny model)\n\n{grid(heads, rows)}"


def grid(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def met(yes: bool) -> str:
    return "yes" if yes else "NO"
