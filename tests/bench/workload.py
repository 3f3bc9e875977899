"""The fixed workload that every trainer is timed on: the same rows, the same shapes, the same adapters.

SFT: 4 rows a step, about 126 tokens a row of which about 81 are supervised; LoRA r=8, scale 2, q/v/o, every layer.
DPO: 2 pairs a step, about 126 tokens an answer; LoRA r=1, scale 1, o/v/up/down, every layer; beta 0.1.
Both: fp32, no dropout, prompt tokens not supervised, Adam(W).
"""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

WORDS = (
    "the sea light keeper storm rope harbour wind night lamp oil brass tide rock gull ship sailor course reef bell "
    "fog watch dawn salt iron hull mast sail anchor current"
).split()

SFT = dict(rank=8, scale=2.0, modules=("q_proj", "v_proj", "o_proj"), batch=4, lr=3e-4)
DPO = dict(rank=1, scale=1.0, modules=("o_proj", "v_proj", "up_proj", "down_proj"), batch=2, lr=5e-6, beta=0.1)
KEYS = dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), "self_attn") | dict.fromkeys(
    ("gate_proj", "up_proj", "down_proj"), "mlp"
)
SFT_ROWS, DPO_ROWS = 48, 40  # trained on; what is left of the 64 and the 48 is held out


def rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """64 SFT rows in chat form and 48 preference rows, the same at every call."""
    rng = random.Random(0)

    def sentence(n: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(n)).capitalize() + "."

    def answer() -> str:
        return " ".join(sentence(12) for _ in range(6))

    def question() -> str:
        a, b, c, d = (rng.choice(WORDS) for _ in range(4))
        return f"How should one {a} the {b} when the {c} is near the {d}?"

    sft = [
        {"messages": [{"role": "user", "content": question()}, {"role": "assistant", "content": answer()}]}
        for _ in range(64)
    ]
    dpo = [{"prompt": question(), "chosen": answer(), "rejected": answer()} for _ in range(48)]
    return sft, dpo


def write(folder: Path) -> None:
    """Writes sft/{train,valid}.jsonl and dpo/{train,valid}.jsonl below folder, as the rivals read them."""
    sft, dpo = rows()
    for name, data, cut in (("sft", sft, SFT_ROWS), ("dpo", dpo, DPO_ROWS)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_rows(folder / name / "train.jsonl", data[:cut])
        write_rows(folder / name / "valid.jsonl", data[cut:])


def write_rows(path: Path, items: Iterable[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
