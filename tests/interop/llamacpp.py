"""`make interop-gguf`: a short real run, tiny models and tokenizers of each kind, exported and run by llama.cpp.

llamacpp.py PYTHON [RUN_DIR]    PYTHON has xllamacpp; RUN_DIR is a run to take instead of a new one
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from run import HERE, rows_of, train


def main(python: str, run: Path | None) -> int:
    """Prints a line for each file; status 1 if anything differs from the engine's."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run = run.resolve() if run else train(work / "logs")
        subprocess.run([sys.executable, HERE / "llamacpp_cases.py", work / "cases", run], check=True)
        cases = sorted((work / "cases").iterdir())
        rows = [row for case in cases for row in rows_of(python, "llamacpp_theirs.py", case)]
    for row in rows:
        counts = ", ".join(f"{name} {row['same'][name]} of {row['of'][name]}" for name in row["of"])
        print(f"{row['case']:<26} {row['where']:<20} {counts}{'' if row['same'] == row['of'] else '   DIFFERS'}")
    return int(any(row["same"] != row["of"] for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None))
