"""Messages about the engine, printed when a user leaves the console."""

from pathlib import Path

from engine.contract.exit_codes import STOPPED
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.process import run_status


def engine_continues(run: RunDir) -> str:
    """Returns the message for an engine that is still running, as far as the console knows."""
    name = _name(run)
    return (
        f"The engine goes on. See it again with: mindprint-tui attach {name}\n"
        f"Stop it, with a checkpoint, with: mindprint-tui ctl {name} stop"
    )


def next_steps(run: RunDir, status: int) -> list[str]:
    """Returns suggested commands, one per line, for a run that ended with this exit status."""
    name = _name(run)
    steps = [
        (f"mindprint-tui attach {name}", "the answers side by side"),
        (f"mindprint-tui chat {name}", "talk to the model"),
        (f"mindprint-tui report {name}", "one HTML page"),
        (f"mindprint-tui export {name} --to DIR", "the model for other programs"),
    ]
    if status == STOPPED:
        steps.insert(0, (f"mindprint-tui --resume {name}", "go on from the checkpoint"))
    room = max(len(command) for command, _ in steps)
    return ["Next:", *(f"  {command:<{room}}  {what}" for command, what in steps)]


def console_failed(run: RunDir | None) -> str:
    """Returns the message for a console that failed and no longer knows the state of the engine."""
    again = f"attach {_name(run)}" if run is not None else "runs"
    return f"The console failed; an engine that was at work goes on. See it again with: mindprint-tui {again}"


def exit_message(run: RunDir, status: int | None, words: str) -> str:
    """Returns the console's `words`, or another message if the run has ended or is about to stop."""
    if status is not None:
        return f"The engine has stopped. See the run again with: mindprint-tui attach {_name(run)}"
    if run_status.stopping(run):
        return f"The engine is stopping, with a checkpoint. Go on later with: mindprint-tui --resume {_name(run)}"
    return words


def _name(run: RunDir) -> str:
    """Returns the name of a run for use in a command: its name if it is in logs/, else its folder."""
    return one_line(clean(run.name if run.path.parent == Path("logs") else str(run.path)))
