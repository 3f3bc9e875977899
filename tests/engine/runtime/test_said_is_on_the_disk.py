"""What the journal says was kept is on the disk by then: written beside, synced, renamed, synced, and then said."""

import fcntl
import os
import re
from pathlib import Path

import pytest
import tiny
from breaking import FIRST, settings

from engine.contract.journal.codec import decode
from engine.contract.journal.store import JournalWriter

BESIDE = re.compile(r"^\.(.+)\.\d+$")  # what a file or folder is called until it is whole


@pytest.fixture(scope="module")
def told(kit, tmp_path_factory) -> list[str]:
    """`sync NAME`, `move NAME` and `say KIND`, in order, of a run of one topic; names begin at the run's folder."""
    folder, told = tmp_path_factory.mktemp("synced") / "run", []
    config = settings(kit, "sft")
    config["curriculum"]["topics"] = [FIRST]
    run = tiny.new_run(folder, config)
    sync, move, write = os.fsync, os.replace, JournalWriter._write

    def name(path: Path) -> str:
        return "/".join(BESIDE.sub(r"\1", part) for part in path.relative_to(folder).parts) or "."

    def syncing(descriptor: int) -> None:
        found = os.fstat(descriptor)
        told.extend(
            f"sync {name(path)}" for path in (folder, *folder.rglob("*")) if os.path.samestat(path.stat(), found)
        )
        sync(descriptor)

    def moving(source: Path, target: Path) -> None:
        told.append(f"move {name(Path(target))}")
        move(source, target)

    def writing(self: JournalWriter, line: bytes) -> None:
        event = decode(line).event
        told.append(f"say {getattr(event, 'state', event.kind)}")
        write(self, line)

    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(fcntl, "F_FULLFSYNC", raising=False)  # macOS has more than fsync; the order is the same
        patch.setattr(os, "fsync", syncing)
        patch.setattr(os, "replace", moving)
        patch.setattr(JournalWriter, "_write", writing)
        assert tiny.train_here(run).status == 0
    return told


def in_order(told: list[str], *wanted: str) -> None:
    """They stand in this order, whatever stands between them, and the last one is followed by its own sync."""
    place = -1
    for word in wanted:
        assert word in told[place + 1 :], f"{word!r} is not after {told[max(0, place - 3) : place + 1]}"
        place = told.index(word, place + 1)
    assert told[place + 1] == "sync journal.jsonl"


@pytest.mark.parametrize("file", ["adapters.safetensors", "adapter_config.json"])
def test_a_delta_and_the_ledger_are_on_the_disk_before_the_journal_says_that_it_is_committed(told, file):
    delta = f"adapters/001-{FIRST.replace('/', '.')}-sft"
    whole = (f"sync {delta}/{file}", f"sync {delta}", f"move {delta}", "sync adapters")
    ledger = ("sync adapters/ledger.json", "move adapters/ledger.json", "sync adapters")
    in_order(told, *whole, *ledger, "say fused")


@pytest.mark.parametrize("file", ["arrays.safetensors", "state.json"])
def test_a_checkpoint_is_on_the_disk_before_the_journal_says_so(told, file):
    in_order(told, f"sync checkpoint/{file}", "sync checkpoint", "move checkpoint", "sync .", "say checkpointed")


def test_a_summary_is_on_the_disk_before_the_journal_says_that_the_run_is_over(told):
    in_order(told, "sync summary.json", "move summary.json", "sync .", "say run_finished")
