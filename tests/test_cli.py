"""A person's mistakes at the command line: one sentence, status 2, and nothing begun."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from mindprint_tui.cli import cli

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("mindprint-tui")
KEEPER = ROOT / "configs" / "curricula" / "keeper"


def refuse(tmp_path: Path, *arguments: str) -> str:
    """Runs the program, expects a refusal, and returns its sentence."""
    command = [PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    logs = tmp_path / "logs"
    assert not logs.exists() or list(logs.iterdir()) == []
    return done.stderr.strip()


def config(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("curriculum:\n  path: x\nsft:\n  rnk: 4\n", "mine.yaml:4: sft.rnk: unknown key; did you mean 'rank'?"),
        (
            "curriculum:\n  path: x\nsft:\n  rank: four\n",
            "mine.yaml:4: sft.rank: found 'four', expected a whole number",
        ),
        ("curriculum:\n  path: x\nthresholds:\n  voice: 999\n", "mine.yaml:4: thresholds.voice: found 999.0"),
        ("curriculum:\n  path: x\n  path: y\n", "mine.yaml:3: curriculum.path is written twice"),
        ("curriculum: [\n", "not valid YAML"),
        ("sft:\n  rank: 4\n", "curriculum: is missing"),
        ("curriculum:\n  path: nowhere\n", "no such curriculum folder"),
    ],
)
def test_configuration(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refuse(tmp_path, "--no-ui", config(tmp_path, text))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.yaml"], "no such configuration file"),
        (["configs/quick.yaml", "--set", "dpo.rnk=4"], "did you mean 'rank'?"),
        (["configs/quick.yaml", "--topic", "unit-01/chapter-01/topic-77"], "no topic 'unit-01/chapter-01/topic-77'"),
        (["configs/quick.yaml", "--topic", "../../etc/passwd"], "no topic '../../etc/passwd'. The topics are:"),
        (["configs/quick.yaml", "--topic", "topic-01"], "'topic-01' names 12 topics; name one by its id:"),
        (["configs/quick.yaml", "--run-id", "../up"], "run name '../up'"),
        (["configs/quick.yaml", "--set", "model.name=/no/such/model"], "'/no/such/model'"),
        (["configs/quick.yaml", "--set", "sft.modules=[nope]"], "has no module 'nope' in any of its layers; it has"),
        (["configs/quick.yaml", "--set", "curriculum.path=/nowhere"], "no such curriculum folder"),
    ],
)
def test_arguments(tmp_path: Path, arguments: list[str], expected: str) -> None:
    assert expected in refuse(tmp_path, "--no-ui", *arguments)


@pytest.mark.parametrize(
    "more", [["configs/quick.yaml"], ["--set", "dpo.rank=4"], ["--topic", "a/b/c"], ["--run-id", "x"]], ids=" ".join
)
def test_what_a_resumed_run_would_not_heed_is_refused(tmp_path: Path, more: list[str]) -> None:
    sentence = refuse(tmp_path, "--no-ui", "--resume", "night", *more)
    assert "--resume continues a run with its own settings: leave out CONFIG, --topic, --set and --run-id" in sentence


def test_a_console_needs_a_terminal(tmp_path: Path) -> None:
    """Painted into a pipe it would never end."""
    run = tmp_path / "runs" / "night"
    run.mkdir(parents=True)
    (run / "journal.jsonl").write_text("")
    sentence = refuse(tmp_path, "attach", "night", "--logs", "runs")
    assert sentence == (
        "mindprint-tui: attach needs a terminal, and there is none here; read the run in "
        "runs/night/training.log, or its numbers with mindprint-tui metrics --csv --follow"
    )


@pytest.mark.parametrize(
    ("word", "near"), [("rusn", "'run' or 'runs'"), ("chek", "'check'"), ("reprot", "'report' or 'export'")]
)
def test_a_misspelt_command_is_not_taken_for_a_configuration(tmp_path: Path, word: str, near: str) -> None:
    wanted = f"mindprint-tui: {word}: no such command, and no such configuration file; did you mean {near}?"
    assert refuse(tmp_path, word) == wanted
    (tmp_path / word).write_text("curriculum:\n  path: nowhere\n")
    assert "no such curriculum folder" in refuse(tmp_path, "--no-ui", word)


def test_a_word_that_is_nothing_is_answered_with_the_commands(tmp_path: Path) -> None:
    assert refuse(tmp_path, "train") == (
        f"mindprint-tui: train: no such command. The commands are {', '.join(sorted(cli.commands))}; "
        "to train, name a configuration file, for example configs/quick.yaml"
    )


@pytest.mark.parametrize("words", [["-h"], ["help"], ["help", "chat"], ["chat", "-h"]], ids=" ".join)
@pytest.mark.parametrize("program", [[PROGRAM], [sys.executable, "-m", "mindprint_tui"]], ids=["script", "module"])
def test_help_is_what_one_asks_for(tmp_path: Path, program: list[str], words: list[str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*program, *words], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ") and ("--stage" in done.stdout) == ("chat" in words)


def test_the_summary_of_each_command_is_whole() -> None:
    shown = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    summaries = shown.partition("Commands:\n")[2].splitlines()
    assert len(summaries) == len(cli.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in summaries)


def test_runs_says_which_folder_it_lists(tmp_path: Path) -> None:
    empty = subprocess.run([PROGRAM, "runs"], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert empty == f"no runs in {tmp_path}/logs yet; start one with: mindprint-tui CONFIG\n"
    recorded(tmp_path)
    command = [PROGRAM, "runs", "--logs", "runs"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert shown.splitlines()[0] == f"runs in {tmp_path}/runs"


def test_the_newest_run_is_taken_where_none_is_named(tmp_path: Path) -> None:
    run = recorded(tmp_path)
    for arguments, words in ((["report"], ""), (["metrics", "--csv"], "run runs/night\n")):
        command = [PROGRAM, *arguments, "--logs", "runs"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, words)
    assert (run / "report.html").exists()
    for arguments in (["chat"], ["export", "--to", "there"]):
        command = [PROGRAM, *arguments, "--logs", "runs"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, input="")
        assert done.stderr.startswith("run runs/night\n") and "config.yaml" in done.stderr, done.stderr
        assert refuse(tmp_path, *arguments).startswith("mindprint-tui: logs: no runs yet")


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_empty_argument_is_no_folder(tmp_path: Path, command: str) -> None:
    assert refuse(tmp_path, command, "") == "mindprint-tui: CONFIG is empty; name a configuration file"


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert refuse(tmp_path, "check", "mine") == "mindprint-tui: mine: found a folder, expected a file"


@pytest.mark.parametrize("arguments", [["runs"], ["--no-ui", "configs/quick.yaml"], ["attach"]], ids=" ".join)
def test_a_file_in_place_of_the_folder_of_runs(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "notes.txt").write_text("in the way")
    sentence = refuse(tmp_path, *arguments, "--logs", "notes.txt")
    assert sentence.endswith("mindprint-tui: --logs notes.txt: found a file, expected the folder of the runs")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["report", "night", "--to", "x" * 254], "the report cannot be written (File name too long)"),
        (["report", "night", "--to", "notes.txt/x.html"], "the report cannot be written (Not a directory)"),
        (["report", "night", "--to", "x" * 300], "File name too long"),
        (["runs", "--logs", "x" * 300], "File name too long"),
    ],
    ids=["too long for what is written beside", "inside a file", "a report", "a folder of runs"],
)
def test_what_the_system_refuses_is_a_sentence(tmp_path: Path, arguments: list[str], expected: str) -> None:
    (tmp_path / "notes.txt").write_text("in the way")
    recorded(tmp_path)
    runs = [] if "--logs" in arguments else ["--logs", "runs"]
    (line,) = refuse(tmp_path, *arguments, *runs).splitlines()
    assert expected in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "runs"]
    assert [path.name for path in (tmp_path / "runs" / "night").iterdir()] == ["journal.jsonl"]


def recorded(tmp_path: Path) -> Path:
    """A run `night` that has begun, in the folder `runs`."""
    run = tmp_path / "runs" / "night"
    run.mkdir(parents=True)
    journal = JournalWriter(run / "journal.jsonl")
    journal.append(e.RunStarted("night", "keeper", 0, 1, {}))
    journal.close()
    return run


def test_numbers_for_a_full_disk_end_in_a_sentence(tmp_path: Path) -> None:
    recorded(tmp_path)
    command = [PROGRAM, "metrics", "night", "--csv", "--logs", "runs"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "mindprint-tui: No space left on device\n")


def test_a_reader_that_has_had_enough_is_told_nothing(tmp_path: Path) -> None:
    recorded(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    command = [PROGRAM, "metrics", "night", "--csv", "--logs", "runs"]
    with open(writing, "w") as gone:
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    assert done.stderr == ""


def test_help_says_where_runs_are_kept() -> None:
    shown = subprocess.run([PROGRAM, "runs", "--help"], capture_output=True, text=True, check=True).stdout
    assert "[default: logs]" in shown


def curriculum(tmp_path: Path, name: str, text: str) -> str:
    """The keeper's curriculum with one file replaced, and a configuration that names it."""
    folder = tmp_path / "data"
    shutil.copytree(KEEPER, folder)
    (folder / name).write_text(text, encoding="utf-8")
    return config(tmp_path, "curriculum:\n  path: data\n")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("sft.jsonl", '{"topic": "unit-01/chapter-01/topic-01"\n', "sft.jsonl:1: not a JSON object"),
        ("sft.jsonl", '\n{"topic": "a", "messages": 3}\n', "sft.jsonl:2: messages: found a number, expected a list"),
        ("sft.jsonl", "", "sft.jsonl: topic unit-01/chapter-01/topic-01 has no rows to train on"),
        ("preferences.jsonl", "", "topic unit-01/chapter-01/topic-01 has no pair to train on"),
        ("quiz.jsonl", "", "topic unit-01/chapter-01/topic-01 has no held-out question"),
        ("curriculum.yaml", "units: []\n", "the curriculum has no topics"),
        ("voice.yaml", "groups: 3\n", "voice.yaml: groups is 3; expected a list"),
    ],
)
def test_data(tmp_path: Path, name: str, text: str, expected: str) -> None:
    assert expected in refuse(tmp_path, "--no-ui", curriculum(tmp_path, name, text))


def test_a_question_that_is_trained_on_is_refused(tmp_path: Path) -> None:
    row = json.loads((KEEPER / "sft.jsonl").read_text(encoding="utf-8").splitlines()[0])
    question, answer = (turn["content"] for turn in row["messages"])
    leak = {"topic": row["topic"], "question": question, "reference": answer, "concepts": []}
    quiz = (KEEPER / "quiz.jsonl").read_text(encoding="utf-8") + json.dumps(leak) + "\n"
    sentence = refuse(tmp_path, "--no-ui", curriculum(tmp_path, "quiz.jsonl", quiz))
    assert "quiz.jsonl:85: held out, but" in sentence
    assert "is trained on at" in sentence


def test_a_gate_that_the_references_fail_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(KEEPER, folder)
    rows = [json.loads(line) for line in (folder / "quiz.jsonl").read_text(encoding="utf-8").splitlines()]
    rows[0]["reference"] = "A plain sentence, in nobody's voice at all."
    (folder / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    sentence = refuse(tmp_path, "--no-ui", config(tmp_path, "curriculum:\n  path: data\nthresholds:\n  voice: 0.9\n"))
    assert "unit-01/chapter-01/topic-01: the references themselves score voice 0." in sentence
    assert "below thresholds.voice = 0.9" in sentence


def test_a_model_folder_that_cannot_be_read(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").write_bytes(b"not safetensors")
    sentence = refuse(tmp_path, "--no-ui", "configs/quick.yaml", "--set", f"model.name={model}")
    assert str(model) in sentence


def test_logs_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "logs-file").write_text("in the way")
    assert "cannot be made" in refuse(tmp_path, "--no-ui", "configs/quick.yaml", "--logs", "logs-file/logs")


README = (ROOT / "README.md").read_text(encoding="utf-8")
RUNS = (ROOT / "docs" / "RUNS.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(?:^ +|`)mindprint-tui ([^`\n…<#]+)", README + RUNS, re.MULTILINE)


def test_the_readme_says_once_how_its_commands_are_found() -> None:
    before, found, after = README.partition("    . .venv/bin/activate\n")
    assert found and "mindprint-tui " not in before.partition("## Start")[2] and ".venv/bin/" not in after


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_is_one(command: str) -> None:
    """As it is written, words like RUN and DIR included."""
    words = command.replace("[CONFIG]", "CONFIG").replace("[RUN]", "RUN").split()
    if words[0] not in cli.commands:
        words = ["run", *words]
    cli.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("locale", ["latin-1", "ascii"])
def test_a_locale_that_is_not_utf_8(tmp_path: Path, locale: str) -> None:
    """What it has no character for is written as its number; nothing ends in a traceback."""
    run = recorded(tmp_path)
    variables = os.environ | {"PYTHONIOENCODING": locale, "PYTHONUTF8": "0"}
    for command in (
        ["runs", "--logs", "runs"],
        ["compare", "night", "night", "--logs", "runs"],
        ["compare", "night", "night", "--json", "--logs", "runs"],
        ["report", "night", "--logs", "runs"],
        ["metrics", "night", "--csv", "--logs", "runs"],
        ["chat", "night", "--logs", "runs"],
        ["--help"],
    ):
        done = subprocess.run(
            [PROGRAM, *command], cwd=tmp_path, env=variables, input="é✓💡\n".encode(), capture_output=True, timeout=120
        )
        assert done.returncode in (0, 2) and b"Traceback" not in done.stderr, (command, run, done.stderr)
