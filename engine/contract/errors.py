"""The one exception that means "a person can mend this": its text is a whole sentence, shown without a traceback."""


class InputError(Exception):
    """Bad usage, configuration or data: says the file, line and field, what was found and what was expected."""
