"""Exit statuses of this program's processes, other than 0 and 1 (some topics did not pass), and the signals to end."""

import signal

BAD_INPUT = 2  # bad usage, configuration or data; nothing was started
DIED = 3  # an engine could not go on
CONSOLE_FAILED = 70  # the console itself failed; a running engine continues
STOPPED = 130  # stopped by a person


def end_signals() -> list[signal.Signals]:
    """Returns the signals that end a program, without those that it ignores already, for example after `nohup`."""
    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in every if signal.getsignal(number) is not signal.SIG_IGN]
