"""Creates a run folder with random committed deltas, a ledger and the first journal events."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
from tiny import TOPICS, new_run, settings

from engine.adapters import lora
from engine.adapters.deltas import Delta, save_delta
from engine.adapters.ledger import Ledger
from engine.adapters.lora import AdapterSpec
from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import load_config
from engine.model import loading
from engine.pipeline.setup import run_started

STRENGTH = 0.05  # of the random factors: changes every logit, but does not hide the base model


def commit_random(
    folder: Path, model: Path, specs: Sequence[AdapterSpec], dtype: str = "float32", *, fused: bool = True
) -> RunDir:
    """Creates a run on the model in the folder `model`. Each spec is one topic with a random delta.

    Deltas that are not `fused` are kept beside the weights.
    """
    whole = settings(model, folder / "nowhere")
    whole["model"]["dtype"] = dtype
    run = new_run(folder, whole)
    journal = JournalWriter(run.journal)
    config = load_config(run.config)
    journal.append(run_started(run, config))
    infos = tuple(e.TopicInfo(topic, f"Topic {topic[-2:]}", 3, 2, 1) for topic in TOPICS[: len(specs)])
    journal.append(e.CurriculumLoaded(infos, ()))
    loaded = loading.load(model, dtype)
    ledger = Ledger(loaded.model, model, getattr(mx, dtype))
    journal.append(e.ModelLoaded(loaded.name, 1, dtype, "cpu", ledger.declared, 0.1))
    made = [random_delta(loaded.model, spec, number) for number, spec in enumerate(specs)]
    deltas = [replace(delta, fused=fused) for delta in made]
    run.adapters.mkdir()
    for count, delta in enumerate(deltas, 1):
        ledger.restore(loaded.model, deltas[:count])
        save_delta(run.adapters / delta.name, delta, loaded.model)
        journal.append(committed(delta, ledger))
    journal.close()
    ledger.save(run.adapters)
    return run


def committed(delta: Delta, ledger: Ledger) -> e.AdapterChanged:
    """Returns the journal event of the ledger's last commit."""
    spec, depth = delta.spec, len(ledger.deltas)
    numbers = (spec.rank, spec.scale, len(delta.paths), 0, 0, 1, "base", ledger.declared, depth)
    return e.AdapterChanged(delta.topic, delta.phase, "fused", *numbers, fuse_cosine=0.9995, fuse_kl=1e-6)


def random_delta(model: object, spec: AdapterSpec, number: int) -> Delta:
    """Returns a delta with random factors on the modules that the spec names."""
    keys = iter(mx.random.split(mx.random.key(number), 1000))
    weights: dict[str, mx.array] = {}
    for path, module in lora.requested_modules(model, spec).items():
        *experts, out, inside = lora.linear_shape(module)
        shapes = {
            "lora_a": (*experts, spec.rank, inside) if experts else (inside, spec.rank),
            "lora_b": (*experts, out, spec.rank) if experts else (spec.rank, out),
        }
        for leaf, shape in shapes.items():
            weights[f"{path}.{leaf}"] = STRENGTH * mx.random.normal(shape, key=next(keys))
    mx.eval(weights)
    return Delta(f"{number + 1:03d}-{TOPICS[number].replace('/', '.')}-sft", TOPICS[number], "sft", spec, weights)
