"""The endpoint, in its own process: answers of the run's model, and refusals of what it must not do."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
import tiny
import yaml
from committed import commit_random

from engine.adapters.committed_model import open_stage
from engine.adapters.lora import AdapterSpec
from engine.contract.run_folder.folder import RunDir
from engine.data.templates.chat_template import Message, Renderer
from engine.evaluation.decoding import processors
from engine.model.backend import prepare

QUESTION = "What good is a lamp?"
TOKENS = 6
CAP = 12  # --max-tokens


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    base = tiny.make_model(tmp_path_factory.mktemp("models") / "base")
    spec = AdapterSpec(4, 2.0, ("q_proj", "v_proj"), 0)
    return commit_random(tmp_path_factory.mktemp("logs") / "run", base, [spec])


@contextmanager
def served(run: RunDir, host: str = "127.0.0.1", token: str = "") -> Iterator[str]:
    """Starts the endpoint on a free port, and yields its address."""
    command = [sys.executable, "-P", "-m", "engine.serve", str(run.path), "--host", host, "--port", "0"]
    child = subprocess.Popen(
        [*command, "--max-tokens", str(CAP)],
        env=os.environ | {"MINDPRINT_TOKEN": token, "PYTHONPATH": str(tiny.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        assert "http://" in line, line
        yield line.strip().rpartition(": ")[2].replace("0.0.0.0", "127.0.0.1")
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()


@pytest.fixture(scope="module")
def address(run: RunDir) -> Iterator[str]:
    with served(run) as found:
        yield found


def ask(url: str, body: dict[str, Any] | None = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def chat(address: str, **more: Any) -> tuple[int, Any]:
    body = {"model": "any", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": TOKENS} | more
    return ask(f"{address}/chat/completions", body)


def engine_s_answer(run: RunDir) -> str:
    opened = open_stage(run, None, prepare(), print)
    renderer = Renderer(opened.loaded.tokenizer, opened.started)
    ids = renderer.prompt_ids([Message("user", QUESTION)])
    said: list[int] = []
    for _ in range(TOKENS):
        logits = opened.ledger.model(mx.array([[*ids, *said]]))[:, -1]
        for process in processors(opened.config.evaluation):
            logits = process(mx.array([*ids, *said]), logits)
        said.append(int(mx.argmax(logits).item()))
    return str(opened.loaded.tokenizer.decode(said))


def test_it_answers_as_the_engine_whole_and_streamed(run: RunDir, address: str) -> None:
    wanted = engine_s_answer(run)
    status, whole = chat(address)
    assert status == 200
    assert json.loads(whole)["choices"][0]["message"]["content"] == wanted
    _, streamed = chat(address, stream=True)
    pieces = [line.removeprefix("data: ") for line in streamed.splitlines() if line.startswith("data: ")]
    assert pieces.pop() == "[DONE]"
    texts = [json.loads(piece)["choices"][0]["delta"].get("content") or "" for piece in pieces]
    assert "".join(texts) == wanted


def test_it_penalizes_repetition_as_the_run_does(run: RunDir, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    penalized = RunDir(tmp_path / "run")
    config = yaml.safe_load(run.config.read_text())
    penalized.config.write_text(yaml.safe_dump(config | {"evaluation": {"repetition_penalty": 2.0}}))
    wanted = engine_s_answer(penalized)
    assert wanted != engine_s_answer(run)
    with served(penalized) as address:
        status, whole = chat(address)
    assert status == 200
    assert json.loads(whole)["choices"][0]["message"]["content"] == wanted


def test_it_lists_the_run_alone(address: str) -> None:
    status, found = ask(f"{address}/models")
    assert status == 200
    assert [model["id"] for model in json.loads(found)["data"]] == ["run"]


def test_a_request_cannot_name_another_model_or_adapter(address: str, tmp_path: Path) -> None:
    for more in ({"model": str(tmp_path)}, {"adapters": str(tmp_path)}, {"draft_model": "some/where"}):
        status, found = chat(address, **more)
        assert status == 200 and json.loads(found)["model"] == "run"


def test_an_answer_is_never_longer_than_the_limit(address: str) -> None:
    _, found = chat(address, max_tokens=100_000)
    assert json.loads(found)["usage"]["completion_tokens"] <= CAP


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"messages": []}, "messages must be a list"),
        ({"messages": ["hello"]}, "each message must be an object with a role of system, user, assistant"),
        ({"messages": [{"role": "root", "content": "x"}]}, "each message must be an object with a role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}]},
            "the content of a message must be text",
        ),
        ({"messages": [{"role": "user", "content": "word " * 5000}]}, "the model reads"),
        ({"stop": 5}, "stop must be a text or a list of texts"),
        ({"stop": ["a"] * 17}, "stop has 17 texts; 16 at most"),
        ({"seed": -1}, "seed must be from 0 to"),
        ({"temperature": float("nan")}, "temperature must be finite"),
        ({"logit_bias": {"99999999": 1}}, "logit_bias is not taken"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_and_the_next_is_answered(
    address: str, more: dict[str, Any], sentence: str
) -> None:
    status, found = chat(address, **more)
    assert status >= 400 and sentence in json.loads(found)["error"]
    assert chat(address)[0] == 200


def test_a_body_that_is_too_large_is_not_read(address: str) -> None:
    host, _, port = address.removeprefix("http://").removesuffix("/v1").partition(":")
    for length in ("99999999999", "-1", "x"):
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(
                f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n".encode()
            )
            assert b" 413 " in client.recv(200)


def test_a_client_that_breaks_off_leaves_the_others_alone(run: RunDir, address: str) -> None:
    host, _, port = address.removeprefix("http://").removesuffix("/v1").partition(":")
    body = json.dumps({"messages": [{"role": "user", "content": QUESTION}], "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    wanted = engine_s_answer(run)
    for _ in range(5):
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(head + body)
            client.recv(100)
        assert json.loads(chat(address)[1])["choices"][0]["message"]["content"] == wanted


def test_a_web_page_that_lets_its_name_point_here_is_refused(address: str) -> None:
    status, found = ask(f"{address}/models", Host="evil.example")
    assert status == 403 and "another host name" in found
    assert ask(f"{address}/models", Host="localhost:8080")[0] == 200


def test_an_open_address_asks_for_a_token(run: RunDir) -> None:
    with served(run, "0.0.0.0", "se cret") as address:
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "se cret"}):
            status, found = ask(f"{address}/models", **headers)
            assert status == 401 and "Authorization: Bearer TOKEN" in found
        assert ask(f"{address}/models", Authorization="Bearer se cret")[0] == 200


def test_a_length_that_begins_with_zeros_is_as_large_as_it_says(address: str) -> None:
    host = address.removeprefix("http://").partition("/")[0]
    with socket.create_connection((host.split(":")[0], int(host.split(":")[1])), timeout=20) as client:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {'0' * 20}99999999999\r\n\r\n"
        client.sendall(head.encode())
        assert b" 413 " in client.recv(100)


def test_a_closed_terminal_does_not_end_what_nohup_started(run: RunDir) -> None:
    command = ["nohup", sys.executable, "-P", "-m", "engine.serve", str(run.path), "--port", "0"]
    child = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(tiny.ROOT)}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        assert b"http://" in child.stdout.readline()
        child.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(3)
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: other machines reach this address; put a token into MINDPRINT_TOKEN"),
        (["--stage", "unit-09/x"], "nothing of unit-09/x is committed"),
        (["--port", "TAKEN"], "the endpoint cannot listen there"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(run: RunDir, arguments: list[str], sentence: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-P", "-m", "engine.serve", str(run.path), "--port", "0"]
        command += [port if word == "TAKEN" else word for word in arguments]
        environment = os.environ | {"MINDPRINT_TOKEN": "", "PYTHONPATH": str(tiny.ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr and len(done.stderr.splitlines()) == 1
