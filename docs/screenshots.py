"""Draws the screenshots in docs/ from the journal of a real run: `make screenshots`.

The journal is tests/journals/keeper-quick.
"""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path

import resvg_py

from engine.contract.journal.codec import decode
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.feed import Feed, Liveness
from mindprint_tui.tui.app import MindprintApp

DOCS = Path(__file__).parent.resolve()
RUN = DOCS.parent / "tests" / "journals" / "keeper-quick"
TRAINING = '"phase": "dpo", "step": 4'  # training pictures show the run after this step of its last topic
PICTURES = {  # name: (whether training, size, keys)
    "train": (True, (120, 40), ()),
    "train-small": (True, (80, 24), ("2",)),
    "samples": (False, (120, 40), ("home", "enter")),
    "runs": (None, (100, 16), ()),
    "help": (True, (100, 40), ("question_mark",)),
}


class Living(Feed):
    """A journal whose engine counts as alive."""

    def liveness(self) -> Liveness:
        return Liveness("alive", 1.0)


def recorded(logs: Path, training: bool) -> RunDir:
    """Copies the recorded run into `logs` and returns it. With `training`, cuts its journal in the last phase."""
    run = RunDir(logs / RUN.name)
    shutil.copytree(RUN, run.path)
    if training:
        lines = run.journal.read_text(encoding="utf-8").splitlines(keepends=True)
        last = max(place for place, line in enumerate(lines) if TRAINING in line)
        run.journal.write_text("".join(lines[: last + 1]), encoding="utf-8")
    return run


async def picture(name: str, logs: Path) -> None:
    """Draws one screen after its keys were pressed."""
    training, size, keys = PICTURES[name]
    run = recorded(logs, bool(training))
    clock = decode(run.journal.read_bytes().splitlines()[-1]).t + 1
    app = MindprintApp(None if training is None else run, logs, clock=lambda: clock, feed=Living if training else Feed)
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.6)
        await pilot.press(*keys)
        await pilot.pause(0.4)
        svg = app.export_screenshot().replace("Fira Code", "DejaVu Sans Mono")
    (DOCS / f"{name}.png").write_bytes(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=1480)))


def main() -> None:
    """Draws all screenshots."""
    for name in PICTURES:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            asyncio.run(picture(name, Path("logs")))


if __name__ == "__main__":
    main()
