"""`python -m engine.new FOLDER`: makes a curriculum of a person's texts, as FOLDER/workbook/request.json asks.

Prints its progress as JSON lines to stdout. If it is interrupted, the next start goes on.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, DIED, STOPPED, end_signals
from engine.contract.workbook.files import WorkbookDir
from engine.contract.workbook.progress import People, Progress, encode
from engine.contract.workbook.request import read_request
from engine.intake.reading import NobodyNamed
from engine.model.backend import prepare
from engine.rules.enforce import Broken
from engine.runtime.progress import tell


def main() -> int:
    """Returns exit status 0; 2 after printing an error or the people to choose from; 3 or 130 if it could not end."""
    os.umask(0o077)
    if len(sys.argv) != 2:
        tell("usage: python -m engine.new FOLDER")
        return BAD_INPUT
    out = sys.stdout

    def say(event: Progress) -> None:
        print(encode(event).decode(), file=out, flush=True)

    folder = WorkbookDir(Path(sys.argv[1]))
    for number in end_signals():
        signal.signal(number, signal.default_int_handler)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            request = read_request(folder.request)
            prepare()  # before mlx
            from engine.intake.making import make

            make(folder, request, say)
    except KeyboardInterrupt:
        return STOPPED
    except NobodyNamed as error:
        say(People(error.found))
        return BAD_INPUT
    except Broken as error:
        tell(f"the rule {error.rule.name} is broken, and nothing more was written: {error}")
        return DIED
    except (InputError, FileNotFoundError) as error:
        tell(str(error))
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
