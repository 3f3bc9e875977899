"""A person keeps a phase that was rolled back: it is committed as any other, and a death changes no byte."""

import io
import json
import shutil
from collections.abc import Callable

import pytest
import tiny
from breaking import FIRST, SECOND, screen, settings
from dying import Killed, die, died

from engine.adapters.committed_model import open_stage
from engine.adapters.ledger import Ledger
from engine.chat import Conversation
from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.run_folder.commands import Command, append
from engine.contract.run_folder.folder import RunDir
from engine.model.backend import prepare
from engine.pipeline import decisions, keep
from engine.pipeline import run as pipeline
from engine.pipeline.decisions import Decision
from engine.runtime.recorder import Recorder
from engine.training.phases import settle

LOST = Decision("roll_back", "for the test")


def losing(patch: pytest.MonkeyPatch, topic: str, part: str) -> None:
    """The first attempt at this phase of the topic is rolled back, whatever it scores."""
    name = "after_phase" if part == "sft" else "after_dpo"
    real = getattr(decisions, name)
    patch.setattr(decisions, name, lambda was, now, *more: LOST if now.topic == topic else real(was, now, *more))


def asking(patch: pytest.MonkeyPatch, before: str | None, *asked: tuple[str, str, str | None]) -> None:
    """A person asks for these things as topic `before` begins; if it is None, when the second one is finished."""
    attempt, finish = pipeline._attempt, pipeline.finish

    def ask(session) -> None:
        for number, (kind, topic, part) in enumerate(asked):
            append(session.run.commands, Command(f"c{number}", kind, topic, "tester@tty", part))

    def attempting(session, history, subject, done):
        if subject.id == before and done.attempt == 1:
            ask(session)
        return attempt(session, history, subject, done)

    def finishing(session, subject, *rest):
        finish(session, subject, *rest)
        if before is None and subject.id == SECOND:
            ask(session)

    patch.setattr(pipeline, "_attempt", attempting)
    patch.setattr(pipeline, "finish", finishing)


KEEP = ("keep", FIRST, None)
Story = Callable[[pytest.MonkeyPatch], None]


def sft_lost(patch: pytest.MonkeyPatch) -> None:
    losing(patch, FIRST, "sft")
    asking(patch, SECOND, KEEP)


def dpo_lost(patch: pytest.MonkeyPatch) -> None:
    losing(patch, FIRST, "dpo")
    asking(patch, SECOND, KEEP)


STORIES: dict[str, Story] = {"sft": sft_lost, "dpo": dpo_lost}


@pytest.fixture
def run(kit, tmp_path) -> RunDir:
    return tiny.new_run(tmp_path / "run", settings(kit, "dpo"))


@pytest.fixture(scope="module")
def peace(kit, tmp_path_factory) -> dict[str, tiny.Ran]:
    """Both stories without a death."""
    ran = {}
    for part, story in STORIES.items():
        with pytest.MonkeyPatch.context() as patch:
            story(patch)
            ran[part] = tiny.train_here(tiny.new_run(tmp_path_factory.mktemp(part) / "run", settings(kit, "dpo")))
    return ran


@pytest.mark.parametrize("part", STORIES)
def test_a_rolled_back_phase_is_kept_as_a_commit_like_any_other(peace, part):
    ran = peace[part]
    lost, second, kept = f"001-{FIRST.replace('/', '.')}-{part}", SECOND.replace("/", "."), ran.committed()[-1]
    assert kept.endswith(lost.partition("-")[2]) and second in ran.committed()[-2]
    (rolled_back,) = ran.of(e.AdapterChanged, topic=FIRST, phase=part, state="rolled_back")
    (fused,) = [event for event in ran.of(e.AdapterChanged, topic=FIRST, phase=part) if event.state in e.KEPT]
    assert rolled_back.set_aside == lost and rolled_back.digest and fused.fuse_cosine is not None
    assert json.loads((ran.run.adapters / "ledger.json").read_text())["fingerprint"] == fused.model_fingerprint
    (warned,) = ran.of(e.Warned, key="kept")
    assert rolled_back.model_fingerprint in warned.message and fused.base_fingerprint in warned.message
    first, again = ran.of(e.TopicFinished, topic=FIRST)
    assert (first.kept, again.kept, again.verdict) == (None, part, "passed")
    assert again.reason.startswith(f"{part} was rolled back, and kept by a person")
    scored = ran.of(e.Evaluated, topic=FIRST, stage=part)
    assert [event.model_fingerprint for event in scored][-1] == fused.model_fingerprint
    assert ran.set_aside() == {} and ran.status == 0


@pytest.mark.parametrize("part", STORIES)
def test_summary_and_console_say_what_was_kept(peace, part):
    ran = peace[part]
    row = json.loads(ran.run.summary.read_text())["topics"][0]
    assert row[part] == "fused" and row["verdict"] == "passed" and "kept by a person" in row["reason"]
    assert row["final"] == row[f"after_{part}"] and row["final"]["model"] != row["before"]["model"]
    state, panes = screen(ran.run)
    topic = state.topics[FIRST]
    assert topic.verdict == "passed" and topic.kept is not None and part not in topic.undone
    assert "kept by a person" in panes["log"] and state.tally["passed"] == 2
    assert topic.seconds > sum(event.seconds for event in ran.of(e.TopicFinished, topic=FIRST, kept=None)) > 0


def at(owner: object, name: str, time: int = 1, **more: bool) -> Story:
    return lambda patch: die(patch, owner, name, time, **more)


def saying(kind: type, **fields: object) -> Story:
    """Dies when the journal has said this for the first time."""

    def break_it(patch: pytest.MonkeyPatch) -> None:
        real = Recorder.say

        def say(self, event, **more):
            found = real(self, event, **more)
            if isinstance(event, kind) and all(getattr(event, key) == value for key, value in fields.items()):
                raise Killed
            return found

        patch.setattr(Recorder, "say", say)

    return break_it


DEATHS: dict[str, Story] = {
    "set aside, not journaled": at(settle, "roll_back", before=True),
    "rolled back, not pruned": saying(e.AdapterChanged, topic=FIRST, state="rolled_back"),
    "answered": saying(e.CommandTaken, command="keep"),
    "begins": at(keep, "commit_rolled_back", before=True),
    "attached": at(settle, "commit", 3, before=True),
    "committed and scored nothing": at(keep, "score_kept", before=True),
    "scored, not journaled": at(keep, "say_kept", before=True),
    "the verdict is journaled": saying(e.TopicFinished, topic=FIRST, kept="sft"),
}


def commits_before(part: str) -> int:
    """How often the ledger was saved before the kept phase is committed."""
    return 2 if part == "sft" else 3


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_at_any_moment_changes_no_byte(run, peace, monkeypatch, death):
    survive(run, peace["sft"], monkeypatch, sft_lost, DEATHS[death])


@pytest.mark.parametrize("part", STORIES)
@pytest.mark.parametrize("before", [True, False])
def test_a_death_around_the_commit_leaves_one_commit(run, peace, monkeypatch, part, before):
    death = at(Ledger, "save", commits_before(part) + 1, before=before)
    survive(run, peace[part], monkeypatch, STORIES[part], death)


def survive(run: RunDir, whole: tiny.Ran, monkeypatch: pytest.MonkeyPatch, story: Story, death: Story) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        story(patch)
        death(patch)
        tiny.train_here(run)
    died(run)
    with monkeypatch.context() as patch:
        if not run.commands.exists():
            story(patch)
        else:
            losing(patch, FIRST, "sft" if story is sft_lost else "dpo")
        ran = tiny.train_here(run)
    assert ran.adapters() == whole.adapters() and ran.committed() == whole.committed()
    assert ran.set_aside() == whole.set_aside() and ran.told() == whole.told() and ran.status == whole.status


# What is set aside can be heard.


@pytest.fixture(scope="module")
def lost(kit, tmp_path_factory) -> RunDir:
    """The SFT of the first topic and the DPO of the second are rolled back, and nobody asks for anything."""
    with pytest.MonkeyPatch.context() as patch:
        losing(patch, FIRST, "sft")
        losing(patch, SECOND, "dpo")
        return tiny.train_here(tiny.new_run(tmp_path_factory.mktemp("lost") / "run", settings(kit, "dpo"))).run


def heard(run: RunDir, stage: str | None, question: str, tokens: int) -> str:
    out = io.StringIO()
    Conversation(run, stage, tokens, out).follow(io.StringIO(json.dumps({"question": question, "fresh": True}) + "\n"))
    return "".join(json.loads(line).get("text", "") for line in out.getvalue().splitlines()).strip()


@pytest.mark.parametrize(("topic", "part"), [(FIRST, "sft"), (SECOND, "dpo"), (SECOND, "sft")])
def test_chat_hears_a_phase_as_the_evaluation_did(lost, topic, part):
    (sample,) = tiny.Ran(lost).of(e.Sample, topic=topic, stage=part)
    assert heard(lost, f"{topic}:{part}", sample.question, sample.tokens) == sample.answer


def test_a_rolled_back_adapter_is_named_and_one_that_is_gone_is_refused(lost, tmp_path):
    opened = open_stage(lost, f"{SECOND}:dpo", prepare(), print)
    assert opened.rolled_back is not None and opened.rolled_back.phase == "dpo"
    assert [delta.phase for delta in opened.ledger.deltas] == ["sft"]
    with pytest.raises(InputError, match=f"nothing of {FIRST} is committed; .* set aside are: {FIRST}:sft"):
        open_stage(lost, f"{FIRST}:dpo", prepare(), print)
    with pytest.raises(InputError, match="found phase 'ppo', expected sft or dpo"):
        open_stage(lost, f"{FIRST}:ppo", prepare(), print)
    copy = RunDir(tmp_path / "run")
    shutil.copytree(lost.path, copy.path)
    (file,) = copy.rolled_back.glob("*-dpo/adapters.safetensors")
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match="the arrays are not those of the adapter that was rolled back"):
        open_stage(copy, f"{SECOND}:dpo", prepare(), print)


def test_a_keep_that_cannot_be_is_refused(run, monkeypatch):
    losing(monkeypatch, FIRST, "sft")
    asked = ("keep", SECOND, None), ("keep", FIRST, "dpo"), KEEP, KEEP, ("retry", FIRST, None)
    asking(monkeypatch, SECOND, *asked)
    ran = tiny.train_here(run)
    answers = [(answer.outcome, answer.reason) for answer in ran.of(e.CommandTaken)]
    assert [outcome for outcome, _ in answers] == ["refused", "refused", "done", "refused", "done"]
    assert "is running" in answers[0][1] and f"set aside are: {FIRST}:sft" in answers[1][1]
    assert "already" in answers[3][1]
    assert [event.attempt for event in ran.of(e.TopicStarted, topic=FIRST)] == [1, 2]  # the retry came after the keep
    assert len(ran.of(e.TopicFinished, topic=FIRST)) == 3


def test_a_keep_takes_back_a_retry_that_waits(run, monkeypatch):
    losing(monkeypatch, FIRST, "sft")
    asking(monkeypatch, SECOND, ("retry", FIRST, None), KEEP)
    ran = tiny.train_here(run)
    assert [event.attempt for event in ran.of(e.TopicStarted, topic=FIRST)] == [1]
    assert ran.of(e.TopicFinished, topic=FIRST)[-1].kept == "sft" and ran.status == 0


def test_an_adapter_that_was_damaged_is_not_kept(run, monkeypatch):
    losing(monkeypatch, FIRST, "sft")
    asking(monkeypatch, SECOND, KEEP)
    real = keep.commit_rolled_back

    def damaged(session, *rest):
        (file,) = session.run.rolled_back.glob("*/adapters.safetensors")
        file.write_bytes(file.read_bytes()[:-8])
        real(session, *rest)

    monkeypatch.setattr(keep, "commit_rolled_back", damaged)
    ran = tiny.train_here(run)
    (failed,) = ran.of(e.Failed)
    assert "rolled-back adapter cannot be read" in failed.message and failed.topic == FIRST
    assert ran.verdicts()[FIRST] == "not_trained" and len(ran.committed()) == 2


def test_a_kept_phase_that_cannot_be_scored_is_in_the_model_with_an_error(run, monkeypatch):
    losing(monkeypatch, FIRST, "sft")
    asking(monkeypatch, SECOND, KEEP)

    def broken(*_: object) -> None:
        raise ValueError("no score")

    monkeypatch.setattr(keep, "score_kept", broken)
    ran = tiny.train_here(run)
    assert ran.verdicts()[FIRST] == "error" and len(ran.committed()) == 3 and ran.status == 1


def test_only_the_last_five_are_set_aside(run, monkeypatch):
    monkeypatch.setattr("engine.runtime.set_aside.MOST", 1)
    losing(monkeypatch, FIRST, "sft")
    losing(monkeypatch, SECOND, "dpo")
    ran = tiny.train_here(run)
    assert [name.partition("/")[0] for name in ran.set_aside()] == [f"001-{SECOND.replace('/', '.')}-dpo"] * 2


def test_a_run_that_is_started_again_keeps_what_is_asked_for(kit, lost, tmp_path, monkeypatch):
    copy = RunDir(tmp_path / "run")
    shutil.copytree(lost.path, copy.path)
    asking(monkeypatch, None)
    append(copy.commands, Command("late", "keep", FIRST, "tester@tty", "sft"))
    append(copy.commands, Command("later", "keep", SECOND, "tester@tty"))
    ran = tiny.train_here(copy)
    assert [event.outcome for event in ran.of(e.CommandTaken)] == ["done", "done"]
    assert [name.rpartition("-")[2] for name in ran.committed()] == ["sft", "sft", "dpo"] and ran.status == 0
    assert ran.set_aside() == {}
