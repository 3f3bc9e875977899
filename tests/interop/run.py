"""`make interop`: a short real run and tiny models of each kind, exported, and compared with PyTorch's logits.

run.py PYTHON [RUN_DIR]    PYTHON has PyTorch, transformers and PEFT; RUN_DIR is a run to take instead of a new one
"""

import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT = 1e-4  # of any logit
TOPIC = "unit-01/chapter-01/topic-01"
SHORT = (
    "foundation.epochs=0",
    "sft.epochs=3",
    "sft.learning_rate=1e-3",
    "dpo.steps=3",
    "evaluation.max_tokens=40",
    "evaluation.repetition_penalty=1",
    "thresholds.worse=1",
)
EVERYWHERE = ("mlx-lm, fused", "mlx-lm, one adapter", "transformers", "PEFT")
ANSWERS = ("mlx_lm.generate", "mlx_lm.generate, adapter", "mlx_lm.server", "transformers, answer")
NO_PEFT = {"mixtral", "qwen3_moe"}  # the experts of a mixture are adapted there


def train(logs: Path) -> Path:
    """A run of one topic on the embedded model, both phases kept whatever they score."""
    overrides = [word for text in SHORT for word in ("--set", text)]
    command = ["mindprint-tui", "--no-ui", "configs/quick.yaml", "--topic", TOPIC, "--logs", logs, "--run-id", "real"]
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:], *overrides], cwd=ROOT, check=False)
    assert done.returncode in (0, 1), done.returncode
    return logs / "real"


def rows_of(python: str, script: str, *arguments: object) -> list[dict[str, Any]]:
    """The last line that a script prints, as JSON."""
    command = [python, HERE / script, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def holds(row: dict[str, Any]) -> bool:
    """Whether a row is as it must be: logits of the same weights within LIMIT of each other, in float64 and in fp32."""
    if "refused" in row:
        return row["case"] in NO_PEFT
    if "same_answer" in row:
        return bool(row["same_answer"])
    return bool(row.get("float64", 0.0) <= LIMIT and row["fp32"] <= LIMIT)


def shown(row: dict[str, Any]) -> str:
    if "refused" in row:
        return f"refused: {row['refused']}"
    if "same_answer" in row:
        return f"the engine's greedy answer: {row['same_answer']}"
    return ", ".join(
        f"{name} {row[name]:.1e}" for name in ("float64", "fp32", "rounds", "engine rounds") if name in row
    )


def apart(case: Path) -> list[str]:
    """How far the fp32 logits of every two of the other programs lie apart: none of the engine's code is in it."""
    kept = {file.stem: np.load(file) for file in sorted(case.glob("*.npy"))}
    return [f"{a} and {b} {np.abs(kept[a] - kept[b]).max():.1e}" for a, b in itertools.combinations(kept, 2)]


def main(python: str, run: Path | None) -> int:
    """Prints the table; status 1 where a difference is too large, an answer differs or a comparison is missing."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run = run.resolve() if run else train(work / "logs")
        subprocess.run([python, HERE / "theirs.py", "make", work / "tiny"], check=True)
        rows = rows_of(sys.executable, "ours.py", run, work / "tiny", work / "cases")
        rows += rows_of(sys.executable, "mlxlm.py", work / "cases")
        rows += rows_of(python, "theirs.py", "compare", work / "cases")
        boards = subprocess.run([python, HERE / "boards.py", run, work], check=False).returncode
        others = apart(work / "cases" / "trained")
        cases = {path.name for path in (work / "tiny").iterdir()} | {"trained"}
    for row in sorted(rows, key=lambda row: (row["case"], row["where"])):
        print(f"{row['case']:<12} {row['where']:<24} {shown(row)}{'' if holds(row) else '   DOES NOT HOLD'}")
    print("trained, fp32, without the engine: " + "; ".join(others))
    bad = sum(not holds(row) for row in rows)
    missing = sorted(
        {(case, where) for case in cases for where in EVERYWHERE}.union(("trained", where) for where in ANSWERS)
        - {(row["case"], row["where"]) for row in rows}
    )
    print(f"largest difference allowed {LIMIT:g}; {bad} of {len(rows)} do not hold; not compared: {missing or 'none'}")
    return 1 if bad or missing or boards else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None))
