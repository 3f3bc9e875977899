"""`make interop`: a short real run and tiny models of each kind, exported, and compared with PyTorch's logits.

run.py PYTHON [RUN_DIR]    PYTHON has PyTorch, transformers and PEFT; RUN_DIR is a run to take instead of a new one
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT = 1e-4  # of any logit, fp32
TOPIC = "unit-01/chapter-01/topic-01"
SHORT = ("sft.epochs=3", "sft.learning_rate=1e-3", "dpo.steps=3", "evaluation.max_tokens=40", "thresholds.worse=1")
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


def main(python: str, run: Path | None) -> int:
    """Prints the table; status 1 where a difference is too large, an answer differs or a comparison is missing."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run = run.resolve() if run else train(work / "logs")
        subprocess.run([python, HERE / "theirs.py", "make", work / "tiny"], check=True)
        rows = rows_of(sys.executable, "ours.py", run, work / "tiny", work / "cases")
        rows += rows_of(python, "theirs.py", "compare", work / "cases", LIMIT)
        boards = subprocess.run([python, HERE / "boards.py", run, work], check=False).returncode
        cases = {path.name for path in (work / "tiny").iterdir()} | {"trained"}
    bad = 0
    for row in sorted(rows, key=lambda row: (str(row["case"]), str(row["where"]))):
        refused = "refused" in row
        good = (
            row["case"] in NO_PEFT if refused else row.get("difference", 0.0) <= LIMIT and row.get("same_answer", True)
        )
        bad += not good
        told = [f"{row['difference']:.1e}"] if "difference" in row else []
        told += [f"the same greedy answer: {row['same_answer']}"] if "same_answer" in row else []
        told += [f"refused: {row['refused']}"] if refused else []
        print(f"{row['case']:<12} {row['where']:<20} {', '.join(told)}{'' if good else '   DOES NOT HOLD'}")
    compared = {(row["case"], row["where"]) for row in rows}
    everywhere = ("mlx-lm, fused", "mlx-lm, one adapter", "transformers", "PEFT")
    missing = sorted({(case, where) for case in cases for where in everywhere} - compared)
    print(f"largest difference allowed {LIMIT:g}; {bad} of {len(rows)} do not hold; not compared: {missing or 'none'}")
    return 1 if bad or missing or boards else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None))
