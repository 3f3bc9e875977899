"""The suite under nohup: a test that sends a signal to a program sees its effect."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from signals import SENT

STARTED = """
import subprocess, sys
from signals import restore
restore()
child = [sys.executable, "-c", "import signal, sys; print(signal.getsignal(int(sys.argv[1])), flush=True)", sys.argv[1]]
sys.exit(subprocess.run(child).returncode)
"""


@pytest.mark.parametrize("number", SENT, ids=lambda number: number.name)
def test_a_child_hears_what_the_tests_were_started_to_ignore(number: signal.Signals) -> None:
    ignoring = (
        f"import os, signal, sys; signal.signal({number}, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-c", ignoring, sys.executable, "-c", STARTED, str(int(number))]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).with_name("support"))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    wanted = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    assert done.stdout.strip().split(" at ")[0] == str(wanted).split(" at ")[0]
