"""A run under its supervisor that tells a webhook what happens: deaths, restarts, failures and the end, each once."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import close, pipe
from pathlib import Path
from typing import Any

import pytest

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.occasions import Occasions
from engine.contract.python_child import environment, python
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import journaled, load_config
from engine.contract.settings.notify import effective, for_all_runs
from engine.runtime.recorder import Recorder

SECRET = "token-in-the-address"
TOPIC = "unit-01/chapter-01/topic-01"


def test_what_is_told_of_a_run_and_in_which_words() -> None:
    events: list[tuple[e.Event, tuple[str, str, bool] | None]] = [
        (e.TopicFinished(TOPIC, "passed", "well", 1.0), None),
        (e.TopicFinished(TOPIC, "collapsed", "x", 1.0), ("collapsed", f"{TOPIC}: collapsed", False)),
        (e.TopicFinished(TOPIC, "undecided", "x", 1.0), ("undecided", f"{TOPIC}: undecided", False)),
        (e.TopicFinished(TOPIC, "error", "x", 1.0), ("failed", f"{TOPIC}: error", False)),
        (e.Failed("sft", "/home/me/rows.jsonl, line 7: my words", "", TOPIC, "sft", "no-nan"),
         ("rule", f"rule no-nan broke in {TOPIC}", False)),
        (e.Failed("input", "/home/me/rows.jsonl", ""), None),
        (e.Resumed("a person"), None),
        (e.Paused("pause_on"), ("paused", "paused by pause_on", False)),
        (e.Resumed("a person"), ("paused", "resumed by a person", True)),
        (e.EngineRestarted(None, None, 1), None),
        (e.EngineDied(None, "SIGKILL", 1), ("died", "the engine died (SIGKILL)", False)),
        (e.EngineRestarted(None, "SIGKILL", 1), ("died", "the engine was started again", True)),
        (e.RunFinished(27, 28, 1, "f", 1500.0),
         ("ended", "27 of 28 topics passed after 25 min, exit status 1", False)),
    ]  # fmt: skip
    found = Occasions()
    for event, expected in events:
        occasion = found.take(event)
        assert (occasion and (occasion.kind, occasion.text, occasion.over)) == expected


def test_a_run_tells_each_occasion_once_and_notes_it(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    run = RunDir(tmp_path / "night")
    run.path.mkdir(mode=0o700)
    address = f"http://127.0.0.1:{server.server_port}/{SECRET}"
    run.config.write_text(f"curriculum: {{path: .}}\nrun: {{notify: {{webhook: '{address}'}}}}\n")
    recorder = Recorder(run)
    recorder.say(e.EngineDied(None, "SIGKILL", 1))  # of an earlier supervisor: told then
    recorder.close()
    told, telling = pipe()
    offset = str(run.journal.stat().st_size)
    child = subprocess.Popen(
        python("engine.notify", str(run.path), offset, str(told)),
        pass_fds=(told,),
        env=environment(),
    )
    close(told)
    recorder = Recorder(run)
    for event in (
        e.EngineDied(None, "SIGSEGV", 1),
        e.EngineRestarted(None, "SIGSEGV", 1),
        e.TopicFinished(TOPIC, "error", "x", 1.0),
        e.RunFinished(0, 1, 1, "f", 60.0),
    ):
        recorder.say(event, durable=True)
        time.sleep(0.01)
    recorder.close()
    close(telling)  # the supervisor ends
    assert child.wait(30) == 0
    server.shutdown()
    server.server_close()
    texts = [message["text"] for message in heard]
    assert "; ".join(sorted(texts)).count("SIGSEGV") == 1 and not any("SIGKILL" in text for text in texts)
    assert {message["kind"] for message in heard} == {"died", "failed", "ended"}
    notes = [json.loads(line) for line in run.notified.read_text().splitlines()]
    assert [note["text"] for note in notes] == texts and all(note["told"] for note in notes)
    assert SECRET not in run.notified.read_text() and str(tmp_path) not in json.dumps(heard)


def test_the_journal_has_no_address(tmp_path: Path) -> None:
    path = tmp_path / "me.yaml"
    path.write_text(f"curriculum: {{path: .}}\nrun: {{notify: {{ntfy: 'https://x.example/{SECRET}'}}}}\n")
    assert SECRET not in json.dumps(journaled(load_config(path)))


def test_a_persons_file_holds_for_runs_that_name_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "me.yaml"
    path.write_text("curriculum: {path: .}\n")
    own = load_config(path).run.notify
    assert for_all_runs() is None and effective(own) == own
    (tmp_path / "mindprint").mkdir()
    (tmp_path / "mindprint/notify.yaml").write_text("tell: [ended]\ncommand: [notify-me]\n")
    assert effective(own).command == ("notify-me",)
    path.write_text("curriculum: {path: .}\nrun: {notify: {desktop: true}}\n")
    assert effective(load_config(path).run.notify).command == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ntfy: my-topic", "ntfy: found 'my-topic', expected an address"),
        ("tell: [endd]", "tell"),
        ("nfty: x", "did you mean"),
    ],
)
def test_a_mistake_in_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "mindprint").mkdir()
    (tmp_path / "mindprint/notify.yaml").write_text(text)
    with pytest.raises(InputError, match=r"notify\.yaml: ") as caught:
        for_all_runs()
    assert why in str(caught.value)
    program = Path(sys.executable).with_name("mindprint-tui")
    (tmp_path / "me.yaml").write_text("curriculum: {path: .}\n")
    done = subprocess.run([program, "me.yaml", "--no-ui"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "notify.yaml: " in done.stderr and not (tmp_path / "logs").exists()
