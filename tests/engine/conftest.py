"""What the broken engines share: a tiny model, and runs that were never broken."""

import pytest
import tiny
from breaking import FIRST, SECOND, Breaker, Unbroken, settings, stopping_after
from disks import small_disk

from engine.pipeline import decisions
from engine.pipeline.decisions import Decision
from engine.rules.enforce import CHECKS


@pytest.fixture(scope="session")
def kit(tmp_path_factory) -> tuple:
    """A tiny model and a curriculum of two topics."""
    folder = tmp_path_factory.mktemp("kit")
    return tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "curriculum", 2)


@pytest.fixture(scope="session")
def mounts(tmp_path_factory) -> bool:
    """Whether a small file system can be had here: a matter of privilege."""
    try:
        with small_disk(tmp_path_factory.mktemp("mount") / "disk") as mounted:
            return mounted
    except FileNotFoundError:  # there is no mount program
        return False


@pytest.fixture(scope="session")
def unbroken(kit, tmp_path_factory) -> Unbroken:
    """Unbroken runs, and runs of what a broken first topic leaves to the second: nothing, or its SFT alone."""
    folder, runs = tmp_path_factory.mktemp("unbroken"), Unbroken()
    CHECKS.held.clear()
    for phase in ("sft", "dpo"):
        runs[phase] = tiny.train_here(tiny.new_run(folder / phase, settings(kit, phase)))
        alone = settings(kit, phase)
        alone["curriculum"]["topics"] = [SECOND]
        runs[f"{phase} alone"] = tiny.train_here(tiny.new_run(folder / f"{phase}-alone", alone))
    with pytest.MonkeyPatch.context() as patch:
        Breaker(patch, FIRST).replace(decisions, "gate", lambda real, *args: Decision("skip_dpo", "for the test"))
        runs["dpo after sft"] = tiny.train_here(tiny.new_run(folder / "after", settings(kit, "dpo")))
    with pytest.MonkeyPatch.context() as patch:
        Breaker(patch, FIRST).replace(decisions, "after_dpo", lambda real, *args: Decision("roll_back", "for the test"))
        runs["dpo rolled back"] = tiny.train_here(tiny.new_run(folder / "rolled-back", settings(kit, "dpo")))
    resumed = tiny.new_run(folder / "resumed", settings(kit, "sft"))
    with pytest.MonkeyPatch.context() as patch:
        stopping_after(patch, "save_checkpoint", SECOND)
        assert tiny.train_here(resumed).status == 130
    runs["sft resumed"] = tiny.train_here(resumed)
    runs.held = frozenset(CHECKS.held)
    return runs


@pytest.fixture
def run(tmp_path, kit, request):
    """A new run of two topics, with the phases that the test's fault wants."""
    fault = request.node.callspec.params["fault"]
    return tiny.new_run(tmp_path / "run", settings(kit, fault.phase))
