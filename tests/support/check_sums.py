"""Removes the check sums of journal lines, as in journals of older engines, so that a test may change the lines."""

import re

SUM = re.compile(rb', "xxh3": "[0-9a-f]{16}"}$', re.MULTILINE)


def without_sums(lines: bytes) -> bytes:
    """Returns journal lines without their check sums; readers accept such lines."""
    return SUM.sub(b"}", lines)
