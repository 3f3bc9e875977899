"""One message a minute of each kind, each told once or noted as not told, and no channel that holds another one up."""

import threading

import pytest

from engine.contract.journal.occasions import Occasion
from engine.notifying import outbox as o
from engine.notifying.channels import Message, NotTold


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_kind_is_told_at_once_and_then_once_a_minute() -> None:
    told: list[str] = []
    clock = Clock()
    box = o.Outbox("night", {"ntfy": lambda message: told.append(message.text)}, lambda *_: None, clock)
    for number in range(6):
        box.add(Occasion("failed", f"topic {number}"))
    box.add(Occasion("paused", "paused by pause_on"))
    clock.now = 59.0
    box.flush()
    clock.now = 60.0
    box.flush()
    box.add(Occasion("failed", "topic 6"))
    box.close()
    assert told == [
        "topic 0",
        "paused by pause_on",
        "5 topics failed, the last: topic 3; topic 4; topic 5",
        "topic 6",
    ]


def test_each_message_is_told_once_or_noted_as_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(o, "END", 2.0)
    notes: list[tuple[str, str, str]] = []
    never = threading.Event()

    def hangs(_message: Message) -> None:
        never.wait(30)

    def refuses(_message: Message) -> None:
        raise NotTold("the service answered 403")

    told: list[str] = []
    ways = {"slow": hangs, "refuses": refuses, "works": lambda message: told.append(message.text)}
    clock = Clock()
    box = o.Outbox("night", ways, lambda message, name, error: notes.append((message.text, name, error)), clock)
    texts = [f"the engine died {number}" for number in range(5)]
    for text in texts:
        box.add(Occasion("died", text))
        clock.now += 61
    box.close()
    assert told == texts, "the slow channel holds the others up"
    assert sorted((name, text) for text, name, _ in notes) == sorted((name, text) for name in ways for text in texts)
    assert {error for _, name, error in notes if name == "works"} == {""}
    assert all(error for _, name, error in notes if name != "works")
    never.set()


def test_what_finds_no_room_in_the_queue_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(o, "END", 0.2)
    monkeypatch.setattr(o, "WAITING", 2)
    notes: list[str] = []
    never, clock = threading.Event(), Clock()

    def hangs(_message: Message) -> None:
        never.wait(30)

    box = o.Outbox("night", {"slow": hangs}, lambda message, *_: notes.append(message.text), clock)
    for number in range(6):
        box.add(Occasion("died", f"death {number}"))
        clock.now += 61
    box.close()
    assert sorted(notes) == [f"death {number}" for number in range(6)]
    never.set()
