"""Exit statuses of this program's processes, other than 0 and 1 (some topics did not pass)."""

BAD_INPUT = 2  # bad usage, configuration or data; nothing was started
DIED = 3  # an engine could not go on
CONSOLE_FAILED = 70  # the console itself failed; a running engine continues
STOPPED = 130  # stopped by a person
