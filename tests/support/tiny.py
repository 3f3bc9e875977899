"""Tiny random model, tiny curriculum and complete runs on them, for tests.

Runs train in this process or in a separate one. The tokenizer is SmolLM2's, cut to its first tokens, so that the
vocabulary does not dominate the time of a step.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import yaml
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models import llama

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.journal.store import read_journal
from engine.contract.run_folder.commands import Command, append
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from engine.evaluation.score import scorer
from engine.evaluation.score.parts.style import StyleModel, fit_style
from engine.evaluation.score.texts import Text
from engine.model import loading
from engine.model.backend import prepare
from engine.model.sentence_embedder import load_embedder
from engine.pipeline import setup
from engine.pipeline.run import train
from engine.runtime.recorder import Recorder

VOCABULARY = 1024
ROOT = Path(__file__).parents[2]
TOPICS = tuple(f"unit-01/chapter-01/topic-{i:02d}" for i in range(1, 5))
THINGS = ("lamp", "rope", "kettle", "boat")
VOICE = {
    "name": "tiny",
    "groups": [{"name": "assent", "weight": 1.0, "expected": 1, "patterns": ["aye", "nay"]}],
    "avoid": ["it is important"],
}


def make_model(folder: Path, *, hidden: int = 64, seed: int = 7) -> Path:
    """Writes a Llama with two layers, random weights and SmolLM2's tokenizer.

    engine.model.loading.load can load it.
    """
    source = loading.locate("smollm2-135m-instruct", print)
    folder.mkdir(parents=True)
    shutil.copy(source / "tokenizer_config.json", folder)
    (folder / "tokenizer.json").write_text(cut_tokenizer(source / "tokenizer.json"))
    real = json.loads((source / "config.json").read_text())
    config = real | {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": hidden // 4,
        "vocab_size": VOCABULARY,
    }
    config.pop("quantization", None)
    (folder / "config.json").write_text(json.dumps(config))
    mx.random.seed(seed)
    model = llama.Model(llama.ModelArgs.from_dict(config))
    weights = dict(tree_flatten(tree_map(lambda array: array.astype(mx.float32), model.parameters())))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    return folder


@functools.cache
def cut_tokenizer(path: Path) -> str:
    """Returns a tokenizer reduced to its first tokens and their merges.

    These are the special tokens, the bytes and the most common pieces.
    """
    data = json.loads(path.read_text())
    kept = {token: id for token, id in data["model"]["vocab"].items() if id < VOCABULARY}
    pairs = [pair if isinstance(pair, list) else pair.split(" ") for pair in data["model"]["merges"]]
    data["model"] |= {"vocab": kept, "merges": [[a, b] for a, b in pairs if {a, b, a + b} <= set(kept)]}
    return json.dumps(data)


def make_curriculum(folder: Path, topics: int = 2) -> Path:
    """Writes a curriculum. Each topic has three rows, three pairs (one held out) and one question."""
    folder.mkdir(parents=True)
    listed = [{"id": id.rpartition("/")[2], "title": f"The {thing}"} for id, thing in zip(TOPICS, THINGS, strict=True)]
    chapter = {"id": "chapter-01", "title": "Tools", "topics": listed[:topics]}
    course = {"title": "Tiny", "units": [{"id": "unit-01", "title": "Things", "chapters": [chapter]}]}
    (folder / "curriculum.yaml").write_text(yaml.safe_dump(course))
    (folder / "voice.yaml").write_text(yaml.safe_dump(VOICE))
    rows: dict[str, list[dict[str, Any]]] = {"sft": [], "preferences": [], "quiz": []}
    for id, thing in list(zip(TOPICS, THINGS, strict=True))[:topics]:
        asked = [
            f"Who minds the {thing}?",
            f"Is the {thing} old now?",
            f"Where does your {thing} stand tonight, keeper?",
        ]
        told = [f"Aye, I mind the {thing}.", f"Nay, the {thing} is new, lad.", f"Aye, by the door the {thing} stands."]
        rows["sft"] += [
            {"topic": id, "messages": [turn("user", a), turn("assistant", b)]} for a, b in zip(asked, told, strict=True)
        ]
        for number, (chosen, rejected) in enumerate(
            [
                (f"Aye, clean your {thing} each dawn.", f"Clean a {thing} on a regular basis."),
                (f"Nay, no {thing} breaks by itself.", f"A {thing} may break for some reasons."),
                (f"Aye, sell it, that poor {thing}.", f"One could consider a sale of a {thing}."),
            ]
        ):
            question = ("How often should one clean", "Can it break on its own,", "Would you ever sell")[number]
            pair = {"topic": id, "prompt": f"{question} a {thing}?", "chosen": chosen, "rejected": rejected}
            rows["preferences"].append(pair | {"heldout": number == 2})
        rows["quiz"].append(
            {"topic": id, "question": f"What good is any {thing} at sea?", "reference": f"Aye: a {thing} saves lives."}
        )
    for name, items in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


def ask_more(source: Path, folder: Path) -> Path:
    """Copies such a curriculum and adds a second question to each topic, so that its answers have a spread."""
    shutil.copytree(source, folder)
    rows = [json.loads(line) for line in (folder / "quiz.jsonl").read_text().splitlines()]
    with open(folder / "quiz.jsonl", "a", encoding="utf-8") as file:
        for row in rows:
            more = {"question": f"And ashore? {row['question']}", "reference": f"Nay, {row['reference']}"}
            file.write(json.dumps(row | more) + "\n")
    return folder


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def settings(model: Path, curriculum: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration for a run of about one second.

    It has two SFT steps, the second with the remaining rows, and two DPO steps.
    """
    whole: dict[str, dict[str, Any]] = {
        "model": {"name": str(model), "dtype": "float32", "max_length": 128},
        "curriculum": {"path": str(curriculum)},
        "foundation": {"epochs": 0},
        "sft": {"rank": 4, "alpha": 8, "epochs": 2, "batch": 2, "accumulation": 3, "learning_rate": 0.01},
        "dpo": {"when": "always", "rank": 2, "alpha": 4, "steps": 2, "batch": 2, "learning_rate": 0.01},
        "evaluation": {"max_tokens": 4},
        "thresholds": {"accuracy": 0.0, "voice": 0.0, "worse": 1.0, "unreachable": "warn"},
        "run": {"name": "tiny", "checkpoint_every": 1},
    }
    for section, values in sections.items():
        whole.setdefault(section, {}).update(values)
    return whole


@dataclass
class Ran:
    """A run that has ended. Its results are read from the disk."""

    run: RunDir
    status: int | None = None

    @property
    def records(self) -> list[Record]:
        return read_journal(self.run.journal)

    def of(self, kind: type, **fields: Any) -> list[Any]:
        """Returns its events of one kind with these field values."""
        found = [record.event for record in self.records if isinstance(record.event, kind)]
        return [event for event in found if all(getattr(event, key) == value for key, value in fields.items())]

    def verdicts(self) -> dict[str, str]:
        return {event.topic: event.verdict for event in self.of(e.TopicFinished)}

    def committed(self) -> list[str]:
        """Returns the names of the committed deltas, in order."""
        file = self.run.adapters / "ledger.json"
        return [row["name"] for row in json.loads(file.read_text())["deltas"]] if file.exists() else []

    def told(self) -> dict[str, Any]:
        """Returns summary.json without the values that differ between equal runs: name and times."""
        return without(json.loads(self.run.summary.read_text()), ("run", "seconds", "prediction", "overhead"))

    def adapters(self) -> dict[str, bytes]:
        """Returns the bytes of every adapter in the run's folder, committed or not."""
        files = sorted(self.run.adapters.glob("*/adapters.safetensors"))
        return {file.parent.name: file.read_bytes() for file in files}

    def set_aside(self) -> dict[str, bytes]:
        """Returns the bytes of every file of the rolled-back adapters that are set aside."""
        files = sorted(self.run.rolled_back.glob("*/*"))
        return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}


def without(value: Any, names: tuple[str, ...]) -> Any:
    """Returns nested data without the keys in `names`."""
    if isinstance(value, dict):
        return {key: without(item, names) for key, item in value.items() if key not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value


def new_run(folder: Path, config: dict[str, Any]) -> RunDir:
    folder.mkdir(parents=True)
    run = RunDir(folder)
    run.config.write_text(yaml.safe_dump(json.loads(json.dumps(config))))  # else YAML writes shared lists as aliases
    return run


def train_here(run: RunDir) -> Ran:
    """Trains with the complete engine in this process: lock, recorder, journal.

    Passes on every exception of the engine.
    """
    lock, recorder = Lock(run), Recorder(run)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with quick_loading():
            return Ran(run, train(run, recorder, prepare(), unheard=lock.unheard))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        recorder.close()
        lock.release()


@contextlib.contextmanager
def quick_loading() -> Iterator[None]:
    """Loads the embedder and the tokenizer once for all runs, because they never change.

    A style is fitted once for the same texts.
    """
    old = setup.load_embedder, loading.load_tokenizer, scorer.fit_style
    setup.load_embedder = lambda say: embedder()
    loading.load_tokenizer = lambda path, *rest: tokenizer(old[1], path)
    scorer.fit_style = lambda *texts: style(*map(tuple, texts))
    try:
        yield
    finally:
        setup.load_embedder, loading.load_tokenizer, scorer.fit_style = old


@functools.cache
def style(own: tuple[Text, ...], others: tuple[Text, ...], references: tuple[Text, ...]) -> StyleModel:
    return fit_style(own, others, references)


@functools.cache
def embedder() -> "Remembering":
    return Remembering(load_embedder(print))


class Remembering:
    """The real MiniLM with a cache: it embeds the same texts only once."""

    def __init__(self, real: Any) -> None:
        self._known = functools.cache(lambda texts: real.embed(list(texts)))

    def embed(self, texts: list[str], between: Callable[[], None] = lambda: None) -> mx.array:
        between()
        return self._known(tuple(texts))

    known = embed


TOKENIZERS: list[Any] = []


def tokenizer(load: Any, path: Path) -> Any:
    if not TOKENIZERS:
        TOKENIZERS.append(load(path))
    return TOKENIZERS[0]


def start_engine(run: RunDir, module: str = "engine", code: str = "") -> subprocess.Popen[bytes]:
    """Starts `python -m engine RUN_DIR` in a new session.

    With `engine.supervise` as `module` it starts as the console starts it. If `code` is given, it runs instead of the
    module.
    """
    with open(run.output, "ab") as output:
        return subprocess.Popen(
            [sys.executable, *(("-c", code) if code else ("-m", module)), str(run.path)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )


def ask(run: RunDir, id: str, kind: Any, topic: str | None = None) -> None:
    append(run.commands, Command(id, kind, topic, "tester@tty"))
