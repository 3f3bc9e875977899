"""`python -m engine RUN_DIR [LOCK BEATS]`: trains or resumes the run in RUN_DIR.

LOCK and BEATS are file descriptors from a supervisor: the run's lock, and the pipe for heartbeats.
"""

import contextlib
import os
import sys
import traceback
from pathlib import Path

from engine.contract.errors import InputError, Unwritable
from engine.contract.exit_codes import BAD_INPUT, DIED
from engine.contract.journal.events import Failed
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from engine.contract.settings.load import load_config
from engine.model.backend import prepare
from engine.runtime.heartbeat import Heartbeat
from engine.runtime.out_of_memory import exhausted


def main() -> int:
    """Returns the exit status.

    0: all topics passed. 1: not all passed. 2: bad input, and nothing was started. 3: the run could not continue.
    130: stopped.
    """
    os.umask(0o077)
    if len(sys.argv) not in (2, 4):
        print("usage: python -m engine RUN_DIR", file=sys.stderr)
        return BAD_INPUT
    run = RunDir(Path(sys.argv[1]))
    inherited, pipe = (int(word) for word in sys.argv[2:]) if len(sys.argv) == 4 else (None, None)
    try:
        lock, heartbeat = Lock(run, inherited), Heartbeat(pipe)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    from engine.runtime.recorder import Recorder

    try:
        recorder = Recorder(run)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(Unwritable(Path(error.filename or run.path), error), file=sys.stderr)
        return BAD_INPUT
    try:
        load_config(run.config)  # refuses a bad one before MLX is loaded, which takes a second
        backend = prepare()
        from engine.pipeline.run import train

        return train(run, recorder, backend, heartbeat, lock.unheard)
    except InputError as error:
        recorder.say(Failed("input", str(error), ""), durable=True)
        print(error, file=sys.stderr)
        return BAD_INPUT
    except Unwritable as error:
        then = f"what was committed is whole; when it can be written again, --resume {run.name} goes on"
        words = f"{error}; {'the run cannot be gone on with' if error.gone else then}"
        recorder.last_words(Failed("disk", words, traceback.format_exc()))
        with contextlib.suppress(OSError):  # engine.out may be on the same disk
            print(words, file=sys.stderr, flush=True)
        return DIED
    except Exception as error:  # noqa: BLE001 - journaled with its traceback
        traceback.print_exc()
        if exhausted(error):
            recorder.warn("out-of-memory", f"{type(error).__name__}: {error}")  # supervisor: smaller batches
            return DIED
        from engine.rules.enforce import failure

        recorder.say(failure("run", error), durable=True)
        return DIED
    finally:
        with contextlib.suppress(OSError):  # a write failure was reported above
            recorder.close()
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
