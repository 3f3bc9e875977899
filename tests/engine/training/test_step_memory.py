"""Peak array memory of one optimizer step of each phase on the real model, on the shapes that peers are measured on."""

import gc
import random

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from engine.adapters import lora
from engine.adapters.lora import AdapterSpec
from engine.contract.settings.config import DpoConfig, SftConfig
from engine.data.batches import Batch, collate
from engine.data.templates.chat_template import Example, Message, Renderer
from engine.model import cpu_lanes, loading
from engine.model.logprobs import Scorer
from engine.training.losses import dpo_loss, sft_loss
from engine.training.optimizer import Updater, accumulate

LIMITS = {"sft": 1.25e9, "dpo": 1.35e9}  # bytes; with all logits at once they were 1.42e9 and 1.52e9
WORDS = "sea light keeper storm rope harbour wind night lamp oil brass tide rock gull ship sailor reef bell fog".split()


@pytest.fixture(scope="module")
def loaded() -> loading.LoadedModel:
    return loading.load(loading.locate("smollm2-135m-instruct", print), "float32")


def rows(renderer: Renderer, count: int) -> list[Example]:
    """Rows of about 126 tokens, about 81 of them supervised."""
    rng = random.Random(0)

    def words(n: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(n))

    return [renderer.example([Message("user", words(12))], words(76), 512) for _ in range(count)]


def step_peak(loaded: loading.LoadedModel, spec: AdapterSpec, batches: list[Batch], kind: str) -> int:
    """Bytes that MLX held at once, of the model, its adapter and the step; not what other tests keep."""
    renderer = Renderer(loaded.tokenizer)
    scorer = Scorer(loaded.model, mx.array([renderer.prompt_ids([Message("user", "A probe.")])]))
    lora.attach(loaded.model, spec, 0)
    settings = SftConfig() if kind == "sft" else DpoConfig()
    updater = Updater(settings, 2)
    gc.collect()
    mx.clear_cache()
    others = mx.get_active_memory() - sum(array.nbytes for _, array in tree_flatten(loaded.model.parameters()))
    mx.reset_peak_memory()

    def sft(part: Batch) -> tuple[mx.array, ...]:
        return (sft_loss(scorer.logps(part, learning=True)),)

    def dpo(part: Batch) -> tuple[mx.array, ...]:
        sums = scorer.row_logps(part, learning=True)
        half = part.size // 2
        losses, *_ = dpo_loss(sums[:half], sums[half:], sums[:half] * 0 - 300.0, sums[half:] * 0 - 300.0, 0.1)
        return (losses.sum(),)

    parts, supervised = [(batch,) for batch in batches], sum(batch.supervised for batch in batches)
    gradients, (loss,) = accumulate(loaded.model, sft if kind == "sft" else dpo, [parts], supervised)
    assert updater.apply(loaded.model, gradients, loss, 0).applied
    lora.detach(loaded.model)
    return int(mx.get_peak_memory()) - others


@pytest.mark.parametrize(
    ("kind", "rank", "modules", "count"),
    [("sft", 8, ("q_proj", "v_proj", "o_proj"), 4), ("dpo", 1, ("o_proj", "v_proj", "up_proj", "down_proj"), 4)],
)
def test_peak_array_memory(
    loaded: loading.LoadedModel, kind: str, rank: int, modules: tuple[str, ...], count: int
) -> None:
    batches = [collate(part, 2) for part in cpu_lanes.split(rows(Renderer(loaded.tokenizer), count))]
    assert 118 * count <= sum(batch.total for batch in batches) <= 136 * count
    peak = step_peak(loaded, AdapterSpec(rank, 2.0, modules, 0), batches, kind)
    print(f"{kind}: {peak / 1e9:.2f} GB at the peak")
    assert peak <= LIMITS[kind]
