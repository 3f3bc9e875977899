"""How a process of this program ends: its exit status, beside 0 and beside 1 for topics that did not pass."""

BAD_INPUT = 2  # usage, configuration or data; nothing was started
DIED = 3  # an engine, which could not go on
CONSOLE_FAILED = 70  # the console itself; an engine that was at work goes on
STOPPED = 130  # by a person
