"""Runs the benchmarks and writes docs/benchmarks.json and the tables of docs/BENCHMARKS.md: `make bench`.

    run.py --rivals PYTHON [--quick] [--part NAME]...

A part that is named is measured anew and the others stay as they were in the JSON file; without a name, all are.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tables

from engine.model import loading
from engine.model.backend import find_blas

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "BENCHMARKS.md"
TOPICS = {True: ["1", "10", "100"], False: ["1", "10", "100", "1000"]}


def child(python: str, script: str, *args: str) -> dict[str, Any]:
    """The JSON line that a script of this folder ends with; raises CalledProcessError where it fails."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "engine")])
    done = subprocess.run(
        [python, str(HERE / script), *args],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"},
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_steps(rivals: str, quick: bool) -> dict[str, Any]:
    """Every trainer in turn, round after round: its median seconds a step of each round, and its memory."""
    model, blas = str(loading.locate("smollm2-135m-instruct", print)), str(find_blas())
    rounds, steps = (1, 3) if quick else (3, 6)
    calls = {
        "ours-sft": (sys.executable, "ours.py", "sft", str(steps)),
        "mlx-lm-sft": (rivals, "rival.py", "mlx-lm-sft", model, str(steps), blas),
        "trl-sft": (rivals, "rival.py", "trl-sft", model, str(steps)),
        "ours-dpo": (sys.executable, "ours.py", "dpo", str(steps)),
        "mlx-lm-lora-dpo": (rivals, "rival.py", "mlx-lm-lora-dpo", model, str(steps), blas),
        "trl-dpo-precomputed": (rivals, "rival.py", "trl-dpo-precomputed", model, str(steps)),
    }
    found: dict[str, Any] = {name: {"seconds": [], "array_bytes": None, "rss_bytes": 0} for name in calls}
    for number in range(rounds):
        for name, call in calls.items():
            once = child(*call)
            row = found[name]
            row["seconds"].append(statistics.median(once["seconds"][1:]))  # the first step is warm-up
            row["array_bytes"] = once["array_bytes"] and max(once["array_bytes"], row["array_bytes"] or 0)
            row["rss_bytes"] = max(once["rss_bytes"], row["rss_bytes"])
            print(f"round {number + 1}: {name} {row['seconds'][-1]:.2f} s a step", flush=True)
    return found


def measure_installed(rivals: str, _quick: bool) -> dict[str, Any]:
    """mlx-lm with the reference BLAS of its wheel, about a minute a step: two steps, and this engine beside them."""
    model = str(loading.locate("smollm2-135m-instruct", print))
    ours = child(sys.executable, "ours.py", "sft", "4")["seconds"]
    theirs = child(rivals, "rival.py", "mlx-lm-sft", model, "2")["seconds"]
    return {"ours": statistics.median(ours[1:]), "mlx-lm-sft": theirs[-1]}


def measure_topic(_rivals: str, quick: bool) -> dict[str, Any]:
    """A whole topic, three times; all of the one whose ratio is the median, and each ratio."""
    found = sorted((child(sys.executable, "topic.py") for _ in range(1 if quick else 3)), key=tables.ratio)
    return found[len(found) // 2] | {"ratios": [tables.ratio(once) for once in found]}


PARTS = {
    "steps": measure_steps,
    "installed": measure_installed,
    "topic": measure_topic,
    "growth": lambda _rivals, quick: child(sys.executable, "growth.py", *(["--quick"] if quick else [])),
    "topics": lambda _rivals, quick: child(sys.executable, "topics.py", *TOPICS[quick]),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rivals", required=True, help="Python of the environment that holds the rivals")
    parser.add_argument("--quick", action="store_true", help="one short round, small sizes")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part")
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() and args.part else {}
    names = ("mlx", "mlx-lm", "cmeel-openblas")
    results["versions"] = {name: version(name) for name in names} | {"python": platform.python_version()}
    results["cores"] = os.cpu_count()
    for name in args.part or PARTS:
        results[name] = PARTS[name](args.rivals, args.quick)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(tables.into(PAGE.read_text(), tables.render(results)))


if __name__ == "__main__":
    main()
