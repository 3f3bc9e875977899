"""Tells whether a lack of memory caused an exception or a death; splits micro-batches after it."""

import re
from pathlib import Path

from engine.contract.settings.config import RunConfig

WORDS = re.compile(r"MemoryError|bad_alloc|unable to allocate|insufficient memory|out of memory|metal::malloc", re.I)
VMSTAT = Path("/proc/vmstat")


def exhausted(error: BaseException) -> bool:
    """Tells whether an exception means that memory ran out; MLX shows that only in the message."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and WORDS.search(str(error)) is not None)


def kernel_kills() -> int:
    """Returns how many processes the kernel has killed for lack of memory, containers included; 0 if unknown.

    The count is for the whole machine. A rise by one and a SIGKILL of our process at the same time may be unrelated.
    """
    try:
        lines = VMSTAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def pieces(deaths: int, config: RunConfig) -> int:
    """Returns the number of pieces to split a micro-batch into: doubled with each death, at most one per row."""
    doubled: int = 2**deaths
    return min(doubled, max(config.sft.batch, config.dpo.batch, config.evaluation.batch))
