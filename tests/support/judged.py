"""A finished run that a judge can rate, without a model: its curriculum, its configuration and its journal."""

import json
from pathlib import Path
from typing import Any

import yaml
from judge_server import Asked, Handler, JudgeServer

from engine import judge
from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.judge import JudgeConfig
from engine.contract.settings.load import load_config

TOPICS = tuple(f"unit-01/chapter-01/topic-{i:02d}" for i in range(1, 4))
THINGS = ("lamp", "rope", "kettle")
SAID = {"before": "A {0} is an item that can be used in several ways.", "final": "Aye, I mind the {0} each dawn, lad."}


def references() -> list[str]:
    """The references of the curriculum."""
    return [
        text.format(thing)
        for thing in THINGS
        for text in (
            "Aye, the {0} saves lives at sea. Mind it well, lad. It never slept a night.",
            "Nay, sell no {0} to a stranger. He lets it rust. I saw one rot in a week.",
        )
    ]


def make_curriculum(folder: Path) -> Path:
    """Writes three topics with two questions and two pairs each."""
    folder.mkdir(parents=True)
    rows: dict[str, list[dict[str, Any]]] = {"sft": [], "preferences": [], "quiz": []}
    told = iter(references())
    for topic, thing in zip(TOPICS, THINGS, strict=True):
        rows["sft"] += [
            {"topic": topic, "prompt": f"Who minds the {thing}?", "completion": f"Aye, I mind the {thing} myself."}
        ]
        rows["quiz"] += [
            {"topic": topic, "question": f"What good is a {thing} at sea?", "reference": next(told)},
            {"topic": topic, "question": f"Would you ever sell a {thing}?", "reference": next(told)},
        ]
        rows["preferences"] += [
            {
                "topic": topic,
                "prompt": f"{ask} a {thing}?",
                "chosen": f"Aye, {word} yer {thing} at dawn.",
                "rejected": f"It is advisable to {word} a {thing}.",
            }
            for ask, word in (("How do I clean", "clean"), ("How do I mend", "mend"))
        ]
    for name, items in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


def make_run(folder: Path, curriculum: Path, configured: dict[str, Any] | None = None, finished: bool = True) -> RunDir:
    """Writes the folder of a run with answers of the base and of the final exam."""
    folder.mkdir(parents=True)
    run = RunDir(folder)
    settings = {"curriculum": {"path": str(curriculum)}, "evaluation": {"judge": configured or {}}}
    run.config.write_text(yaml.safe_dump(settings))
    writer = JournalWriter(run.journal)
    infos = tuple(e.TopicInfo(topic, f"The {thing}", 1, 2, 2) for topic, thing in zip(TOPICS, THINGS, strict=True))
    writer.append(e.RunStarted(folder.name, "judged", 0, 1, {}, settings))
    writer.append(e.CurriculumLoaded(infos, ()))
    for topic, thing in zip(TOPICS, THINGS, strict=True):
        answer(writer, topic, thing, "before")
    for place, topic in enumerate(TOPICS):
        writer.append(e.TopicStarted(topic, place + 1, 3))
        writer.append(e.TopicFinished(topic, "passed", "for the test", 1.0))
    for topic, thing in zip(TOPICS, THINGS, strict=True):
        answer(writer, topic, thing, "final")
    if finished:
        writer.append(e.RunFinished(3, 3, 0, "f" * 16, 1.0))
    writer.close()
    return run


def answer(writer: JournalWriter, topic: str, thing: str, stage: Any) -> None:
    """Journals the answers of a stage to the two questions of a topic."""
    told = [text for text in references() if thing in text]
    for question, reference in zip(questions(thing), told, strict=True):
        said = SAID[stage].format(thing)
        scores: dict[str, float | None] = {"voice": 0.5, "style": 0.5}
        writer.append(e.Sample(topic, stage, question, reference, said, 9, "eos", (), (), scores))


def questions(thing: str) -> tuple[str, str]:
    return f"What good is a {thing} at sea?", f"Would you ever sell a {thing}?"


def expert(handler: Handler, asked: Asked) -> None:
    """A judge that knows the curriculum: it passes every control, and prefers the final answers."""
    thing = next((thing for thing in THINGS if thing in asked.question), "")
    if asked.aspect == "likeness":
        mark = 4 if asked.answer.startswith("Aye") else 1
    elif asked.answer in references():
        number = references().index(asked.answer)
        answers_it = asked.question == questions(THINGS[number // 2])[number % 2]
        mark = 4 if asked.aspect == "sense" or answers_it else 0
    elif asked.answer == SAID["final"].format(thing):
        mark = 3
    else:
        mark = 2 if asked.answer == SAID["before"].format(thing) else 0
    handler.say(str(mark))


def fluent_only(handler: Handler, asked: Asked) -> None:
    """A judge that does not see what a question asks: it gives every text the same content."""
    handler.say("3") if asked.aspect == "content" else expert(handler, asked)


def rating(run: RunDir, server: JudgeServer, **settings: Any) -> bool:
    """Rates a run with a server, in this process; returns whether the judge is reliable."""
    named = {"model": "m", "endpoint": server.address} | settings
    return judge.judge(run, load_config(run.config), JudgeConfig(**named))
