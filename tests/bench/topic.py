"""Times one whole topic on the real model against its parts, and what a run does besides; prints one JSON line."""

import dataclasses
import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import ours
import yaml

from engine.contract.journal.events import Checkpointed, Evaluated, ModelLoaded, PhaseStarted, Sample, Step
from engine.contract.journal.store import read_journal
from engine.contract.run_folder import folder
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import dump_config, load_config

ROOT = Path(__file__).parents[2]
TOPIC = "unit-01/chapter-01/topic-01"
OVERRIDES = ("dpo.when=always", "thresholds.worse=1.0", f"curriculum.topics=[{TOPIC}]")  # both phases, both kept
DELTAS = 56  # of a run of 28 topics


@contextmanager
def beside() -> Iterator[dict[str, float]]:
    """Seconds in what a topic does beside steps and tokens, by what it is, of the code that runs inside."""
    from engine.adapters import ledger
    from engine.evaluation import evaluate, generation, pairs
    from engine.training.phases import dpo_reference, phase, settle

    places = {
        "held-out pairs, three times": (pairs, "pair_logps"),
        "what DPO compares with": (dpo_reference, "measure"),
        "and its rule after the last step": (dpo_reference, "check"),
        "two commits": (settle, "commit"),
        "of them, two fuses": (ledger.Ledger, "fuse"),
        "two adapters attached": (phase, "attach"),
        "embeddings": (evaluate, "_cosines"),
        "first tokens looked at (counts as tokens)": (generation, "check_answers"),
    }
    found = dict.fromkeys(places, 0.0)
    with ExitStack() as stack:
        for what, (owner, name) in places.items():
            stack.enter_context(mock.patch.object(owner, name, _timed(getattr(owner, name), found, what)))
        yield found


def _timed(real: Any, found: dict[str, float], what: str) -> Any:
    @functools.wraps(real)
    def timed(*args: Any, **more: Any) -> Any:
        started = time.perf_counter()
        try:
            return real(*args, **more)
        finally:
            found[what] += time.perf_counter() - started

    return timed


def whole(session: Any) -> dict[str, Any]:
    """before, SFT, evaluate, DPO, evaluate, fuse: seconds, where they went, and the sum of steps and tokens."""
    from engine.evaluation import evaluate
    from engine.pipeline.topic import train_topic
    from engine.runtime.history import TopicHistory

    topic = session.curriculum.topics[0]
    with beside() as parts:
        started = time.perf_counter()
        before = evaluate.evaluate(session, [topic], "before")[topic.id]
        train_topic(session, topic, before, TopicHistory(1))
        seconds = time.perf_counter() - started
    events = [record.event for record in read_journal(session.run.journal)]
    tokens = sum(event.tokens + (event.stop == "eos") for event in events if isinstance(event, Sample))
    batched, single = rates(session, topic)
    where = {
        f"{phase} steps": sum(event.seconds for event in events if isinstance(event, Step) and event.phase == phase)
        for phase in ("sft", "dpo")
    }
    generated = tokens / batched
    total = sum(where.values()) + generated
    where |= {"tokens at the batched rate": generated}
    for event in events:
        if isinstance(event, Evaluated):
            where[f"evaluation {event.stage}, tokens included"] = event.seconds
    where["checkpoints"] = sum(event.seconds for event in events if isinstance(event, Checkpointed))
    where |= parts
    other = {
        "generated tokens a second, batched": batched,
        "generated tokens a second, one answer at a time": single,
        "share of the topic outside optimizer steps": 1 - (where["sft steps"] + where["dpo steps"]) / seconds,
    }
    return {"seconds": seconds, "sum": total, "where": where, "other": other}


def rates(session: Any, topic: Any) -> tuple[float, float]:
    """Tokens a second of the topic's answers in one batch, and one by one."""
    from engine.data.templates.chat_template import Message
    from engine.evaluation.generation import generate

    prompts = [session.renderer.prompt_ids([Message("user", question.question)]) for question in topic.questions]

    def rate(groups: list[list[list[int]]]) -> float:
        started = time.perf_counter()
        answers = [answer for group in groups for answer in generate(session, group)]
        tokens = sum(answer.tokens + (answer.stop == "eos") for answer in answers)
        return tokens / (time.perf_counter() - started)

    batched = statistics.median(rate([prompts]) for _ in range(3))
    return batched, rate([[prompt] for prompt in prompts])


def materialize(session: Any) -> float:
    """Seconds to make the touched weights from the base and as many deltas as a run of 28 topics leaves."""
    deltas = (list(session.ledger.deltas) * DELTAS)[:DELTAS]
    started = time.perf_counter()
    session.ledger.restore(session.model, deltas)
    return time.perf_counter() - started


def start_up(config: str) -> dict[str, float]:
    """Seconds from the start of the engine's process until the model is loaded and until the first step begins."""
    with tempfile.TemporaryDirectory() as scratch:
        run = folder.create(Path(scratch), "start")
        run.config.write_text(config)
        started = time.time()
        process = subprocess.Popen([sys.executable, "-m", "engine", str(run.path)], cwd=ROOT)
        first = None
        while first is None and process.poll() is None:
            time.sleep(0.1)
            first = _first(run, PhaseStarted)
        process.terminate()
        process.wait()
        assert first is not None, "the engine ended before its first phase"
        return {
            "seconds to the model in memory": _first(run, ModelLoaded) - started,
            "seconds to the base model scored": _first(run, Evaluated) - started,
            "seconds to the first step": first - started,
        }


def _first(run: RunDir, kind: type) -> Any:
    """The time of the first event of a kind; None where there is none yet."""
    return next((record.t for record in read_journal(run.journal) if isinstance(record.event, kind)), None)


def main() -> None:
    config = dump_config(load_config(ROOT / "configs" / "demo.yaml", OVERRIDES))
    with ours.opened(yaml.safe_load(config)) as session:
        found = whole(session)
        assert session.ledger.deltas, dataclasses.asdict(session.config)
        found["other"][f"seconds to make the weights from {DELTAS} deltas"] = materialize(session)
    found["other"] |= start_up(config)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
