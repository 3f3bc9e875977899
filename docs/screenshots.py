"""Makes the SVG pictures in docs/ from golden journals: python docs/screenshots.py"""

import asyncio
import contextlib
import re
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent.resolve()
sys.path.insert(0, str(DOCS.parent / "tests" / "journals"))

from make import write  # noqa: E402

from mindprint_tui.journal.feed import Feed, Liveness  # noqa: E402
from mindprint_tui.tui.app import MindprintApp  # noqa: E402

PICTURES = {  # name: story, size, keys, whether its engine lives
    "train": ("happy", (120, 40), (), True),
    "train-small": ("happy", (80, 24), ("2",), True),
    "broken-rule": ("not-a-number", (120, 40), (), True),
    "samples": ("rolled-back", (120, 24), ("home", "enter"), False),
    "runs": (None, (100, 16), (), False),
    "help": ("happy", (100, 40), ("question_mark",), True),
}


class Living(Feed):
    """A journal whose engine is said to be alive."""

    def liveness(self) -> Liveness:
        return Liveness("alive", 1.0)


async def picture(name: str, logs: Path) -> None:
    """One screen, after its keys were pressed."""
    story, size, keys, alive = PICTURES[name]
    for each in ("happy", "not-a-number", "finished", "rolled-back"):
        run = write(each, logs)
    run = write(story, logs) if story else None
    clock = 1_768_000_900.0
    app = MindprintApp(run, logs, clock=lambda: clock, feed=Living if alive else Feed)
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.6)
        await pilot.press(*keys)
        await pilot.pause(0.4)
        svg = re.sub(r"@font-face \{.*?\}\s*", "", app.export_screenshot(), flags=re.DOTALL)  # no font from elsewhere
        (DOCS / f"{name}.svg").write_text(svg, encoding="utf-8")


def main() -> None:
    """Writes all of them."""
    for name in PICTURES:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            asyncio.run(picture(name, Path("logs")))


if __name__ == "__main__":
    main()
