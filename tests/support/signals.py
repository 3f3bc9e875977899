"""Signals that tests send to programs. nohup and a shell's background ignore some; children inherit that."""

import signal

SENT = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


def restore() -> None:
    """Makes children start with the default action of every signal that tests send.

    An ignored signal stays ignored in a started program, a handled one does not. The handler does nothing, so that the
    test process itself outlives its terminal under nohup; Ctrl-C ends it as usual.
    """
    for number in SENT:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _nothing)


def _nothing(*_: object) -> None:
    pass
