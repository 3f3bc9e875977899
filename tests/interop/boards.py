"""A run's metrics in the real TensorBoard and the real wandb (offline), read back.

boards.py RUN FOLDER    status 1 where what was read is not what the journal says
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.contract.journal import events as e
from engine.contract.journal.store import read_journal
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.feed import Feed
from mindprint_tui.metrics import sinks
from mindprint_tui.metrics.rows import write_metrics


def main(run: RunDir, folder: Path) -> int:
    """Prints what came out."""
    write_metrics(Feed(run), sinks.TensorBoard(folder, "board"), follow=False)
    read = EventAccumulator(str(folder / "board"))
    read.Reload()
    events = [record.event for record in read_journal(run.journal)]
    good = True
    for phase in ("sft", "dpo"):
        losses = [event.loss for event in events if isinstance(event, e.Step) and event.phase == phase]
        found = [scalar.value for scalar in read.Scalars(f"{phase}/loss")] if losses else []
        good &= len(found) == len(losses) and all(abs(a - b) < 1e-5 for a, b in zip(found, losses, strict=True))
        print(f"TensorBoard: {len(found)} of {len(losses)} {phase} losses")
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": str(folder)}
    write_metrics(Feed(run), sinks.WandB("interop"), follow=False)
    kept = list(folder.glob("wandb/offline-run-*/*.wandb"))
    print(f"wandb: {sum(file.stat().st_size for file in kept):,} bytes offline")
    return 0 if good and kept else 1


if __name__ == "__main__":
    sys.exit(main(RunDir(Path(sys.argv[1])), Path(sys.argv[2])))
