"""What the tests of the console share: a standing clock, and a golden journal whose engine is said to be alive."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "journals"))

from mindprint_tui.app import MindprintApp
from mindprint_tui.feed import Feed, Liveness

os.environ["TZ"] = "UTC"  # the log shows the time of day
time.tzset()
NOW = 1_768_000_900.0
Open = Callable[..., MindprintApp]


class Living(Feed):
    """A journal whose engine is there."""

    def liveness(self) -> Liveness:
        return Liveness("alive", 1.0)
