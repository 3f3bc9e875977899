"""Default actions for the signals that tests send to programs.

nohup and a shell's background jobs ignore some signals, and children inherit that.
"""

import signal

SENT = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


def restore() -> None:
    """Makes children start with the default action of every signal that tests send.

    A started program inherits an ignored signal, but not a handler. So each ignored signal gets a handler. It does
    nothing, so that the test process outlives its terminal under nohup. Ctrl-C still ends it as usual.
    """
    for number in SENT:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _nothing)


def _nothing(*_: object) -> None:
    pass
