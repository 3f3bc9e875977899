"""Whether memory was the reason: what can be known of it after a death, and what an exception says."""

import re
from pathlib import Path

from engine.contract.settings.config import RunConfig

WORDS = re.compile(r"MemoryError|bad_alloc|unable to allocate|insufficient memory|out of memory|metal::malloc", re.I)
VMSTAT = Path("/proc/vmstat")


def exhausted(error: BaseException) -> bool:
    """Whether an exception says that there was no memory left; MLX says it in words alone."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and WORDS.search(str(error)) is not None)


def kernel_kills() -> int:
    """How many processes the kernel has ended for lack of memory, in containers too; 0 where it does not say.

    The count is the machine's: one more of them and a SIGKILL of ours at the same time may still be two stories.
    """
    try:
        lines = VMSTAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def pieces(deaths: int, config: RunConfig) -> int:
    """In how many pieces a micro-batch is worked on after so many deaths: twice as many each time, down to one row."""
    doubled: int = 2**deaths
    return min(doubled, max(config.sft.batch, config.dpo.batch, config.evaluation.batch))
