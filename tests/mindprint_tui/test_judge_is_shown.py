"""A judge's marks in the command, the report, the answers screen, the comparison and after a run: never without a word
if the judge is not reliable."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import judged
import pytest
from click.testing import CliRunner
from judge_server import Behave, serving
from msgspec.structs import replace

from engine.contract.journal import events as e
from engine.contract.journal.judge_file import read_judgement
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.cli import cli
from mindprint_tui.journal.feed import Samples
from mindprint_tui.report import gather, page
from mindprint_tui.report.comparison import compare, read_run
from mindprint_tui.view.pages.comparison import table
from mindprint_tui.view.pages.judge import judge_lines
from mindprint_tui.view.pages.samples import questions, sample_lines

PROGRAM = Path(sys.executable).with_name("mindprint-tui")


@pytest.fixture(scope="module")
def curriculum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged.make_curriculum(tmp_path_factory.mktemp("judged") / "curriculum")


def rated(folder: Path, curriculum: Path, behave: Behave = judged.expert, model: str = "m") -> RunDir:
    run = judged.make_run(folder, curriculum)
    with serving(behave) as server:
        judged.rating(run, server, model=model)
    return run


def told(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "judge", *arguments], capture_output=True, text=True, check=False, timeout=120)


def on_screen(run: RunDir, cells: int = 60) -> str:
    found, whole = Samples(run, judged.TOPICS[0]).read(5.0)
    assert whole
    lines = sample_lines(questions(found)[0], cells, {}, read_judgement(run))
    return "\n".join("".join(text for text, _ in line) for line in lines)


def test_the_command_rates_a_run_and_its_status_says_whether_the_judge_is_reliable(curriculum, tmp_path) -> None:
    with serving(judged.expert) as server:
        run = judged.make_run(tmp_path / "logs" / "night", curriculum, {"model": "m", "endpoint": server.address})
        done = told("night", "--logs", tmp_path / "logs")
    assert done.returncode == 0 and "its controls hold" in done.stdout, done.stderr
    assert "AUC 1.00 (0.76 to 1.00), 6 against 6 texts" in done.stdout and "sense 3.00 ± " in done.stdout
    with serving(judged.fluent_only) as server:
        done = told(run.path, "--endpoint", server.address, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and found["reliable"] is False and "AUC 0.50" in found["faults"][0]
    assert found["means"]["final"]["sense"][0] == 3.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no judge: name one with --model"),
        (("--model", "nothing-here"), "neither an embedded one"),
        (("--endpoint", "http://127.0.0.1:9/v1"), "evaluation.judge.model: is missing"),
        (("--model", "m", "--endpoint", "http://judge.example/v1"), "sends texts unencrypted to another machine"),
        (("--model", "m", "--endpoint", "https://me:secret@judge.example"), "a name or a password in the address"),
        (("--model", "m", "--endpoint", "ftp://judge.example"), "expected an address such as"),
        (("--model", "m", "--key-variable", "sk-123"), "expected the name of an environment variable"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_one_sentence(curriculum, tmp_path, arguments, said) -> None:
    run = judged.make_run(tmp_path / "run", curriculum)
    done = told(run.path, *arguments)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert "secret" not in done.stderr and "sk-123" not in done.stderr


def test_a_report_and_the_answers_have_the_marks(curriculum, tmp_path) -> None:
    run = rated(tmp_path / "run", curriculum)
    text = page.render(gather.gather(run))
    assert "judge m at http://127.0.0.1" in text and "its controls hold" in text
    assert "judge: sense 3, content 3 of 4" in text
    assert "judge: sense 2, content 2 of 4" in on_screen(run) and "not reliable" not in on_screen(run)


def test_marks_of_an_unreliable_judge_say_so_wherever_they_are(curriculum, tmp_path) -> None:
    run = rated(tmp_path / "run", curriculum, judged.fluent_only)
    text = page.render(gather.gather(run))
    assert text.count("(not reliable)") > 12 and "AUC 0.50, at least 0.80 is needed" in text
    assert "judge: sense 2, content 3 of 4 (not reliable)" in " ".join(on_screen(run).split())
    lines = table(compare([read_run(run)]), 120)
    assert any("not reliable" in line for line in lines)


def test_voice_is_the_same_with_and_without_a_judge(curriculum, tmp_path) -> None:
    run = judged.make_run(tmp_path / "run", curriculum)
    before = compare([read_run(run)])
    with serving(judged.expert) as server:
        judged.rating(run, server)
    after = compare([read_run(run)])
    assert before["runs"][0].pop("judge") is None and after["runs"][0].pop("judge")["reliable"]
    assert before == after


def test_compare_shows_the_means_and_warns_of_two_judges(curriculum, tmp_path) -> None:
    one, two = rated(tmp_path / "one", curriculum), rated(tmp_path / "two", curriculum, model="other")
    data = compare([read_run(one), read_run(two), read_run(judged.make_run(tmp_path / "three", curriculum))])
    assert data["warnings"][0] == "different judges rated the runs: their marks do not compare"
    lines = table(data, 160)
    (sense,) = [line for line in lines if line.startswith("sense")]
    assert sense.count("3.00 ± ") == 2 and sense.rstrip().endswith("–")


def test_marks_of_answers_that_are_gone_say_so(curriculum, tmp_path) -> None:
    run = rated(tmp_path / "run", curriculum)
    writer = JournalWriter(run.journal)
    writer.append(e.TopicStarted(judged.TOPICS[0], 1, 3, attempt=2))
    writer.close()
    assert "the run went on after these marks" in page.render(gather.gather(run))
    assert compare([read_run(run)])["runs"][0]["judge"]["went_on"]


def test_hostile_words_of_a_judge_never_reach_the_terminal(curriculum, tmp_path) -> None:
    run = rated(tmp_path / "run", curriculum)
    found = read_judgement(run)
    found.take(replace(found.judge, model="\x1b]52;c;evil\x07"))
    found.take(replace(read_judgement(run).rated, means={"\x1b[2J": {"sense": (1.0, None, None, 1)}}))
    assert "\x1b" not in "\n".join(judge_lines(found))
    run.judge.write_bytes(b"\x1b[2J\n" + run.judge.read_bytes())
    result = CliRunner().invoke(cli, ["report", str(run.path)])
    assert result.exit_code == 0 and "1 line of judge.jsonl cannot be read" in (run.path / "report.html").read_text()


def test_without_a_judge_nothing_is_said(curriculum, tmp_path) -> None:
    run = judged.make_run(tmp_path / "run", curriculum)
    assert "judge's marks" not in (text := page.render(gather.gather(run))) and "judge:" not in text
    assert "judge" not in on_screen(run)
    data: dict[str, Any] = compare([read_run(run)])
    assert not any(line.startswith(("judge", "sense")) for line in table(data, 120))
