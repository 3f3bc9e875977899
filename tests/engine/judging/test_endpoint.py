"""Endpoints that misbehave: each is one sentence and a counted missing mark, and none gets the key or all the time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import judge_server as server
import judged
import pytest
from judge_server import KEY, serving
from judged import rating

from engine.contract.errors import InputError
from engine.contract.journal.judge_file import Judgement, parse, read_judgement
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from engine.contract.settings.judge import JudgeConfig
from engine.judging import rate
from engine.judging.rubric import NoMark, read_mark

DEAF = {"timeout": 1.0}
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("behave", "settings", "said", "asked"),
    [
        (server.replies("Well, I think it is quite good."), {}, "expected one digit from 0 to 4", 10),
        (server.replies("9"), {}, "found the mark '9', expected 0 to 4", 10),
        (server.replies(""), {}, "the reply is empty", 10),
        (server.replies(None), {}, "the reply is empty", 10),
        (server.replies({"a": 1}), {}, "is not text", 10),
        (server.raw(b"<html>"), {}, "the reply is not JSON", 10),
        (server.raw(b"[" * 100_000), {}, "the reply is not JSON", 10),
        (server.raw(b'{"choices": []}'), {}, "the reply is not JSON with choices", 10),
        (server.huge, {}, "the reply has more than 1 MB", 10),
        (server.status(400), {}, "the endpoint refuses the text (status 400)", 10),
        (server.closes_half_way, {}, "in the middle of its reply", 9),
        (server.status(500), {}, "busy or broken (status 500)", 9),
        (server.status(429, Retry_After="0"), {}, "busy or broken (status 429)", 9),
        (server.never_answers, DEAF, "no whole reply in 1 s", 3),
        (server.drips, DEAF, "no whole reply in 1 s", 3),
        (server.status(401), {}, "it refuses the key (status 401)", 1),
        (server.status(404), {}, "it has no model 'm'", 1),
        (server.status(302, Location="http://elsewhere.example/v1"), {}, "no redirect is followed", 1),
    ],
)
def test_a_bad_endpoint_ends_the_rating_with_one_sentence(rated, tmp_path, behave, settings, said, asked) -> None:
    requests = []

    def heard(handler, request) -> None:
        requests.append(request)
        behave(handler, request)

    with pytest.raises(InputError) as caught:
        rated(heard, **settings)
    assert said in str(caught.value) and "\n" not in str(caught.value) and len(requests) == asked
    found = read_judgement(RunDir(tmp_path / "run"))
    assert found.judge is None and all(mark.mark is None and mark.problem for mark in found.marks.values())


def test_single_failures_are_counted_and_rated_again_by_the_next_call(rated) -> None:
    def moody(handler, asked) -> None:
        if "rope" in asked.question and asked.answer in judged.SAID["final"].format("rope"):
            handler.say("9")
        else:
            judged.expert(handler, asked)

    run, found, _ = rated(moody)
    assert found.rated.unmarked == 4 and found.rated.means["final"]["sense"][3] == 4
    assert {mark.problem for mark in found.marks.values() if mark.mark is None} == {
        "found the mark '9', expected 0 to 4"
    }
    assert _same_judge_again(run, found) == 4
    assert read_judgement(run).rated.unmarked == 0


def _same_judge_again(run: RunDir, found: Judgement) -> int:
    """Rates once more at the same address, now with an expert; returns how many texts it was asked for."""
    host, port = "127.0.0.1", urlsplit(found.judge.endpoint).port
    with serving(judged.expert, (host, port)) as served:
        rating(run, served)
    return len(served.asked)


def test_a_failure_that_passes_is_tried_again(rated) -> None:
    turns = iter(range(10_000))

    def flaky(handler, asked) -> None:
        handler.send(503) if next(turns) % 2 else judged.expert(handler, asked)

    _, found, _ = rated(flaky)
    assert found.controls.reliable and found.rated.unmarked == 0


def test_nobody_at_the_address(rated, monkeypatch, curriculum, tmp_path) -> None:
    with serving(judged.expert) as gone:
        address = gone.address
    with pytest.raises(InputError, match="did not reply 3 times in a row: the connection failed"):
        rated(judged.expert, endpoint=address)


def test_the_key_is_sent_and_never_written_down(rated, monkeypatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    run, _, served = rated(server.replies("3"), key_variable="JUDGE_KEY")
    assert {asked.headers["Authorization"] for asked in served.asked} == {f"Bearer {KEY}"}

    def parrot(handler, asked) -> None:
        handler.say(f"your key is {KEY}")

    with pytest.raises(InputError) as caught:
        rated(parrot, key_variable="JUDGE_KEY", model="other")
    assert "your key is …" in str(caught.value)
    assert all(KEY not in file.read_text() for file in run.path.iterdir() if file.is_file())


def test_a_key_that_is_not_there_or_odd_is_one_sentence(rated, monkeypatch) -> None:
    with pytest.raises(InputError, match="the environment has no JUDGE_KEY"):
        rated(judged.expert, key_variable="JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", "sk\r\nX-Evil: 1")
    with pytest.raises(InputError, match="holds no key") as caught:
        rated(judged.expert, key_variable="JUDGE_KEY")
    assert "sk" not in str(caught.value).replace("JUDGE_KEY", "")


@pytest.mark.parametrize(
    ("reply", "mark"),
    [("3", 3), (" 0\n", 0), ("**4**", 4), ("Mark: 2.", 2), ("3/4", 3), ("<think>4? no, 1</think>\n1", 1)],
)
def test_a_reply_with_one_mark_is_read(reply: str, mark: int) -> None:
    assert read_mark(reply) == mark


@pytest.mark.parametrize("reply", ["", "5", "-1", "44", "3 or 4", "four", "<think>hm", "1\n2", "٣", "3" * 5000])
def test_any_other_reply_is_no_mark(reply: str) -> None:
    with pytest.raises(NoMark) as caught:
        read_mark(reply)
    assert len(str(caught.value)) < 150


def test_a_rating_that_is_killed_goes_on_where_it_broke_off(curriculum, tmp_path) -> None:
    def slow(handler, asked) -> None:
        time.sleep(0.05)
        judged.expert(handler, asked)

    with serving(slow) as served:
        run = judged.make_run(tmp_path / "run", curriculum, {"model": "m", "endpoint": served.address})
        command = [sys.executable, "-P", "-m", "engine.judge", str(run.path)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
        while len(served.asked) < 8:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with open(run.judge, "ab") as file:
            file.write(b'{"kind":"mark","judge":"torn')
        told = len(read_judgement(run).marks)
        asked = len(served.asked)
        assert rating(run, served)
        found = read_judgement(run)
    assert told >= 7 and len(served.asked) - asked == 60 - told
    assert found.rated.unmarked == 0 and found.damaged == 1


def test_two_judges_never_rate_one_run_and_none_rates_beside_the_training(rated, tmp_path) -> None:
    run, _, _ = rated(judged.expert)
    config = JudgeConfig(model="m", endpoint="http://127.0.0.1:9/v1")
    bench = rate.Bench(run, config, print)
    with pytest.raises(InputError, match="another judge is rating this run"):
        rated(judged.expert)
    bench.close()
    lock = Lock(run)
    with pytest.raises(InputError, match="the run is at work"):
        rated(judged.expert)
    lock.release()


def test_a_run_that_has_not_finished_is_not_rated(curriculum, tmp_path, rated) -> None:
    judged.make_run(tmp_path / "run", curriculum, finished=False)
    with pytest.raises(InputError, match="has not finished"):
        rated(judged.expert)


def test_lines_that_say_odd_things_are_counted_as_damaged() -> None:
    mark = {"kind": "mark", "judge": "a", "item": "b", "aspect": "sense", "mark": 3, "t": 1.0}
    assert parse(json.dumps(mark).encode()).mark == 3
    for wrong in ({"mark": 7}, {"aspect": "voice"}, {"kind": "word"}, {"item": 3}):
        assert parse(json.dumps(mark | wrong).encode()) is None
