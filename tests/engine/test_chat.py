"""The engine's half of a conversation: greedy answers of the asked-for stage, piece by piece."""

import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
import tiny
from check_sums import without_sums
from committed import commit_random

from engine.adapters.committed_model import open_stage
from engine.adapters.lora import AdapterSpec
from engine.chat import Conversation
from engine.contract.errors import InputError
from engine.contract.run_folder.folder import RunDir
from engine.data.templates.chat_template import Message, Renderer
from engine.model.backend import prepare

SPECS = (AdapterSpec(4, 4.0, ("q_proj", "v_proj"), 0), AdapterSpec(2, 8.0, ("down_proj",), 0))
TOKENS = 12
PROGRAM = Path(sys.executable).with_name("mindprint-tui")
ESCAPES = "\x1b]52;c;aGk=\x07\x1b[2J"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("talk")
    return commit_random(folder / "run", tiny.make_model(folder / "base"), SPECS)


def say(run: RunDir, stage: str | None, *asked: dict[str, Any], max_tokens: int = TOKENS) -> list[dict[str, Any]]:
    """What the engine says to these questions, without its first line."""
    out = io.StringIO()
    Conversation(run, stage, max_tokens, out).follow(io.StringIO("".join(json.dumps(line) + "\n" for line in asked)))
    return [json.loads(line) for line in out.getvalue().splitlines()][1:]


def text(said: list[dict[str, Any]]) -> str:
    return "".join(line.get("text", "") for line in said).strip()


def greedy(run: RunDir, stage: str | None, turns: list[Message]) -> str:
    """The same, a token at a time without a cache."""
    opened = open_stage(run, stage, prepare(), print)
    renderer = Renderer(opened.loaded.tokenizer, opened.started)
    ids = renderer.prompt_ids(turns)
    begin = len(ids)
    while len(ids) < begin + TOKENS:
        token = int(mx.argmax(opened.ledger.model(mx.array([ids]))[0, -1]).item())
        if token in renderer.end_ids:
            break
        ids.append(token)
    return renderer.decode(ids[begin:])


@pytest.fixture(autouse=True)
def interrupt_as_before() -> Any:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("stage", ["before", tiny.TOPICS[0], None])
def test_each_stage_answers_as_its_own_model_does(run: RunDir, stage: str | None) -> None:
    said = say(run, stage, {"question": "Who minds the lamp?", "fresh": True})
    assert text(said) == greedy(run, stage, [Message("user", "Who minds the lamp?")])
    assert said[-1]["end"] in ("eos", "length") and len(said) > 2


def test_a_conversation_goes_on_until_it_begins_anew(run: RunDir) -> None:
    first, again = ({"question": "Who minds the lamp?", "fresh": fresh} for fresh in (True, False))
    said = say(run, None, first, again, first)
    ends = [place for place, line in enumerate(said) if "end" in line]
    answers = [text(said[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    turns = [Message("user", "Who minds the lamp?"), Message("assistant", answers[0])]
    assert answers[1] == greedy(run, None, [*turns, Message("user", "Who minds the lamp?")]) != answers[0]
    assert answers[2] == answers[0]


def test_the_oldest_turns_give_way_and_a_question_that_is_too_long_is_refused(run: RunDir) -> None:
    short, long = ({"question": "lamp " * count, "fresh": False} for count in (25, 400))  # max_length is 128
    said = say(run, None, short, short, long, short)
    assert sum("end" in line for line in said) == 3
    assert next(line["refused"] for line in said if "refused" in line).endswith("model.max_length is 128")


def test_an_interrupted_answer_stops(run: RunDir) -> None:
    class Impatient(io.StringIO):
        """Interrupts as the third piece is said."""

        def write(self, piece: str) -> int:
            if self.getvalue().count('"text"') == 2 and '"text"' in piece:
                signal.raise_signal(signal.SIGINT)
            return super().write(piece)

    out = Impatient()
    asked = json.dumps({"question": "Who minds the lamp?", "fresh": True})
    Conversation(run, None, 100, out).follow(io.StringIO(asked + "\n"))
    said = [json.loads(line) for line in out.getvalue().splitlines()][1:]
    assert [line for line in said if "end" in line] == [{"end": "stopped"}] and len(said) == 4


def test_a_stage_that_was_never_committed(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="committed topics: unit-01/chapter-01/topic-01, unit-01/chapter-01/topic-02"):
        Conversation(run, tiny.TOPICS[2], 0, io.StringIO())


def hostile(run: RunDir, copy: Path, **fields: object) -> RunDir:
    """The same run with another word in it: of an adapter (`topic`), of the ledger (`name`), or no JSON (`torn`)."""
    shutil.copytree(run.path, copy)
    made = RunDir(copy)
    adapter, ledger = next(made.adapters.glob("001*/adapter_config.json")), made.adapters / "ledger.json"
    said, listed = json.loads(adapter.read_text()), json.loads(ledger.read_text())
    said["mindprint"]["topic"] = fields.get("topic", said["mindprint"]["topic"])
    listed["deltas"][0]["name"] = fields.get("name", listed["deltas"][0]["name"])
    adapter.write_text(json.dumps(said))
    ledger.write_text("{" if "torn" in fields else json.dumps(listed))
    return made


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"topic": ESCAPES}, "adapter_config.json: mindprint: topic id '\\x1b]52;c;aGk=\\x07\\x1b[2J' is not of"),
        ({"name": "/absolute"}, "ledger.json: deltas[0].name: adapter '/absolute' is not of the form"),
        ({"torn": True}, "what was committed cannot be read"),
    ],
    ids=["topic", "name", "torn"],
)
@pytest.mark.parametrize("command", [["chat", "--stage", tiny.TOPICS[0]], ["chat"], ["export", "--to", "made"]])
def test_a_run_folder_that_somebody_has_changed_is_one_harmless_sentence(run, tmp_path, command, fields, words) -> None:
    copy = hostile(run, tmp_path / "copy", **fields)
    whole = [PROGRAM, command[0], str(copy.path), *command[1:]]
    done = subprocess.run(whole, capture_output=True, text=True, input="", cwd=tmp_path, check=False)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert words in line and line.isprintable()


def test_the_date_in_a_template_is_that_of_the_run_s_first_day(tmp_path: Path) -> None:
    model = tiny.make_model(tmp_path / "base")
    file = model / "tokenizer_config.json"
    found = json.loads(file.read_text())
    dated = "Today: {{ strftime_now('%d %b %Y') }}\n" + found["chat_template"]
    file.write_text(json.dumps(found | {"chat_template": dated}))
    run = commit_random(tmp_path / "run", model, SPECS)
    lines = [json.loads(line) for line in without_sums(run.journal.read_bytes()).splitlines()]
    run.journal.write_text("".join(json.dumps(line | {"t": 951_782_399.0}) + "\n" for line in lines))
    talk = Conversation(run, None, 1, io.StringIO())
    prompt = talk._renderer.decode(talk._renderer.prompt_ids([Message("user", "Who minds the lamp?")]))
    assert prompt.startswith("Today: 28 Feb 2000")
