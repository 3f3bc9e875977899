"""How an optimizer step grows on the real model, in time and memory: rows, length, rank, pairs."""

import argparse
import dataclasses
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import ours
import workload

STEPS = 3  # the first is warm-up
SIZES: dict[str, tuple[int, ...]] = {
    "rows a step (126 tokens each)": (1, 2, 4, 8, 16),
    "tokens a row (one row a step)": (128, 256, 512, 1024, 2048),
    "rank (4 rows a step)": (1, 8, 64),
    "pairs a step (126 tokens an answer)": (1, 2, 4),
}


def row(tokens: int, number: int) -> tuple[str, str]:
    """A question, and an answer that makes a row of about so many tokens with it."""
    words = [workload.WORDS[(number + place * 7) % len(workload.WORDS)] for place in range(tokens)]
    return f"What of number {number}?", " ".join(words)


def measure(session: Any, what: str, size: int, number: int) -> dict[str, float]:
    """Median seconds of a step and its peak memory, with one setting grown to `size`."""
    from engine.data.forms.row_types import Pair, SftRow
    from engine.data.templates.chat_template import Message
    from engine.training.phases import settle
    from engine.training.phases.dpo import train_dpo
    from engine.training.phases.sft import train_sft

    topic, base = session.curriculum.topics[0], session.config
    batch = size if what.startswith(("rows", "pairs")) else 1 if what.startswith("tokens") else 4
    tokens = size if what.startswith("tokens") else 126
    rank = size if what.startswith("rank") else base.sft.rank
    texts = [row(tokens - 36, place) for place in range(batch)]
    if what.startswith("pairs"):
        pairs = tuple(
            Pair((Message("user", q),), a, " ".join(a.split()[::-1]), heldout=False, where=q) for q, a in texts
        )
        session.config = dataclasses.replace(base, dpo=dataclasses.replace(base.dpo, batch=batch, steps=STEPS))
        attached = train_dpo(session, dataclasses.replace(topic, pairs=pairs, heldout=()), number, None)
    else:
        rows = tuple(SftRow((Message("user", q),), a, where=q) for q, a in texts)
        sft = dataclasses.replace(base.sft, batch=batch, epochs=STEPS, rank=rank, alpha=2.0 * rank)
        session.config = dataclasses.replace(base, sft=sft)
        attached = train_sft(session, dataclasses.replace(topic, sft=rows), number)
    settle.roll_back(session, attached, "rolled_back")
    session.config = base
    done = ours.steps_of(session.run)[-STEPS:]
    return {"seconds": statistics.median(step.seconds for step in done[1:]), "array_bytes": done[-1].peak_bytes}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    sft, pairs = workload.rows()
    found: dict[str, dict[int, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        ours.write_curriculum(Path(scratch) / "data", sft[:4], [{**pair, "heldout": False} for pair in pairs[:4]])
        config = ours.settings(Path(scratch) / "data", STEPS) | {"model": {"max_length": 4096}}
        with ours.opened(config) as session:
            number = 0
            for what, sizes in SIZES.items():
                for size in sizes[:2] if quick else sizes:
                    number += 1
                    found.setdefault(what, {})[size] = measure(session, what, size, number)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
