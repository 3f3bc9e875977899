"""A run with many questions to vote on, and the arithmetic of its votes by hand."""

from pathlib import Path

from golden import put

from engine.contract.journal import events as e
from engine.contract.journal.events import Record, Stage
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.votes.vote_file import Choice, Vote

TOPIC = "unit-01/chapter-01/lamp"
NOW = 1_768_000_000.0
HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2J\u202e"


def sample(stage: Stage, number: int, answer: str, voice: float | None, void: str | None = None) -> e.Sample:
    return e.Sample(
        TOPIC, stage, f"Question {number} of the lamp?", "Light it.", answer, 9, "eos", (), (),
        {"voice": voice, "style": voice}, void=void,
    )  # fmt: skip


def run_of(folder: Path, questions: int = 24, words: str = "", name: str = "night") -> RunDir:
    """Writes a run whose topic has `questions` questions; SFT is in the model, and DPO was rolled back.

    An answer after SFT has the higher voice if the number of its question is even.
    """
    told: list[e.Event] = [
        e.RunStarted(name, "keeper", 0, 1, {}),
        e.CurriculumLoaded((e.TopicInfo(TOPIC, f"The lamp{words}", 1, 1, questions),), ()),
    ]
    told += [sample("before", n, f"It is lit, {n}.{words}", 0.5) for n in range(questions)]
    told += [e.TopicStarted(TOPIC, 1, 1)]
    told += [sample("sft", n, f"Aye, it burns, {n}.", 0.4 if n % 2 else 0.9) for n in range(questions)]
    told += [_settled("sft", "fused")]
    told += [sample("dpo", n, f"Och, {n}.", 0.1) for n in range(questions)]
    told += [_settled("dpo", "rolled_back"), e.TopicFinished(TOPIC, "passed", "well", 9.0)]
    return put(folder / name, [Record(seq, NOW + seq, event) for seq, event in enumerate(told)])


def _settled(phase: e.Phase, state: e.AdapterState) -> e.AdapterChanged:
    return e.AdapterChanged(
        TOPIC, phase, state, rank=1, scale=1.0, modules=1, trainable=1, expected_trainable=1, total=1,
        base_fingerprint="a", model_fingerprint="b", delta_norm=None, fuse_cosine=None, fuse_kl=None, ledger_depth=1,
    )  # fmt: skip


def agrees(vote: Vote) -> bool | None:
    """Tells whether a vote and the score prefer the same answer; None if one of them prefers neither."""
    if vote.choice not in ("1", "2") or vote.first.voice == vote.second.voice:
        return None
    assert vote.first.voice is not None and vote.second.voice is not None
    return (vote.choice == "1") == (vote.first.voice > vote.second.voice)


def key_for(number: int) -> Choice:
    """The key that the test's person types for the n-th pair, from 0."""
    return ("1", "2", "1", "=", "2", "0", "1", "1")[number % 8]  # type: ignore[return-value]  # each is a Choice
