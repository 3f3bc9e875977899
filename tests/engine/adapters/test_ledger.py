"""The model is its base and its deltas: what is fused, kept, dropped and replayed is exact, and loads elsewhere."""

import json
import resource
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import tiny
import zoo
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import save_config

from engine.adapters import deltas, fingerprint, ledger, lora
from engine.adapters.ledger import Delta, Ledger
from engine.adapters.lora import AdapterSpec
from engine.adapters.module_weights import LinearWithFactors, SwitchLinearWithFactors, dense
from engine.contract.errors import InputError
from engine.data.templates.chat_template import Renderer
from engine.model import loading
from engine.pipeline.setup import PROBE as WORDS
from engine.rules.enforce import Broken

SPEC = AdapterSpec(4, 2.0, ("q_proj", "o_proj", "down_proj"), 0)
PROBE = mx.array([[1, 200, 300, 400, 5, 60, 70]])
LONG = mx.arange(3, 67)[None]  # so many rows that a mixture sorts them by expert


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def mixture(tmp_path_factory) -> Path:
    return zoo.make("qwen3_moe", tmp_path_factory.mktemp("mixture") / "tiny")


@pytest.fixture(scope="module")
def quantized(folder, tmp_path_factory) -> Path:
    """The tiny model with its linear layers, and nothing else, in 4 bits."""
    source, quantized = loading.load(folder, "float32"), tmp_path_factory.mktemp("quantized")
    nn.quantize(source.model, group_size=64, bits=4, class_predicate=lambda path, module: isinstance(module, nn.Linear))
    for file in folder.glob("tokenizer*.json"):
        (quantized / file.name).write_bytes(file.read_bytes())
    paths = {path for path, module in source.model.named_modules() if isinstance(module, nn.QuantizedLinear)}
    settings = {path: {"group_size": 64, "bits": 4} for path in paths} | {"group_size": 64, "bits": 4}
    save_config(source.config | {"quantization": settings}, quantized / "config.json")
    mx.save_safetensors(str(quantized / "model.safetensors"), dict(tree_flatten(source.model.parameters())))
    return quantized


def opened(folder: Path, dtype: str = "float32") -> Ledger:
    return Ledger(loading.load(folder, dtype).model, folder, getattr(mx, dtype))


def logits(book: Ledger) -> mx.array:
    found = book.model(PROBE).astype(mx.float32)
    mx.eval(found)
    return found


def trained(book: Ledger, name: str, size: float = 0.05, spec: AdapterSpec = SPEC, seed: int = 0) -> Delta:
    """Attaches an adapter and moves it, as training would have; `name` is topic-phase."""
    lora.attach(book.model, spec, seed)
    key = mx.random.key(seed + 1)
    weights = dict(lora.adapter_weights(book.model))
    for path in sorted(weights):
        if path.endswith("lora_b"):
            key, own = mx.random.split(key)
            weights[path] = size * mx.random.normal(weights[path].shape, key=own)
    lora.load_weights(book.model, weights)
    book.model.eval()
    return Delta(name, name.rpartition("-")[0], name.rpartition("-")[2], spec, weights)


def stored(delta: Delta, number: int = 1) -> Delta:
    """Named as a run names it: what is read from a disk has to be."""
    name = f"{number:03d}-unit-01.chapter-01.{delta.name}"
    return replace(delta, name=name, topic=f"unit-01/chapter-01/{delta.topic.removesuffix('-sft')}")


def fuse(book: Ledger, delta: Delta, cosine: float = 0.99, kl: float = 1e-3) -> tuple[Delta, ledger.FuseSurvival]:
    return book.fuse(delta, PROBE, cosine, kl)


def bits(book: Ledger) -> dict[str, bytes]:
    arrays = tree_flatten(book.model.parameters())
    return {name: np.array(array.astype(mx.float32)).tobytes() for name, array in arrays}


def test_the_fused_model_answers_as_the_attached_one_did(folder):
    book = opened(folder)
    before = logits(book)
    delta = trained(book, "a-sft")
    attached = logits(book)
    committed, survival = fuse(book, delta)
    assert committed.fused and survival.cosine > 0.99999 and survival.kl < 1e-6
    assert mx.abs(logits(book) - attached).max().item() < 1e-4
    assert mx.abs(attached - before).max().item() > 0.01  # and there was something to fuse
    assert lora.adapter_modules(book.model) == {}
    assert book.declared == fingerprint.fingerprint(fingerprint.frozen_digests(book.model))


def test_a_dropped_topic_was_never_there_bit_for_bit(folder):
    with_it, without = opened(folder), opened(folder)
    pristine = bits(with_it)
    for book, names in ((with_it, ("a-sft", "b-sft", "b-dpo", "c-sft")), (without, ("a-sft", "c-sft"))):
        for name in names:
            fuse(book, trained(book, name, seed=sum(name.encode())))
    assert with_it.declared != without.declared
    assert with_it.drop("b") == 2 and with_it.drop("b") == 0
    assert bits(with_it) == bits(without) and with_it.declared == without.declared
    assert mx.array_equal(logits(with_it), logits(without)).item()
    assert [delta.name for delta in with_it.deltas] == ["a-sft", "c-sft"] and with_it.commits == 4
    with_it.drop("a")
    with_it.drop("c")
    assert bits(with_it) == pristine


def test_a_reverted_commit_was_never_there(folder):
    book = opened(folder)
    fuse(book, trained(book, "a-sft"))
    mark, before = book.mark(), bits(book)
    delta, _ = fuse(book, trained(book, "b-sft", seed=3))
    assert bits(book) != before and book.commits == 2
    book.revert(mark, delta.paths)
    assert bits(book) == before and book.mark() == mark
    assert book.declared == fingerprint.fingerprint(fingerprint.frozen_digests(book.model))


def test_what_the_journal_does_not_know_of_is_forgotten(folder):
    book, expected = opened(folder), opened(folder)
    for each in (book, expected):
        fuse(each, trained(each, "a-sft"))
    fuse(book, trained(book, "a-dpo", seed=4))
    assert book.forget("a", {"sft", "dpo"}) == 0 == book.forget("b", set())
    assert book.forget("a", {"sft"}) == 1
    assert bits(book) == bits(expected) and book.declared == expected.declared and book.commits == 1


def test_a_saved_ledger_replays_to_the_declared_fingerprint(folder, tmp_path):
    book = opened(folder)
    for seed, name in enumerate(("a-sft", "a-dpo", "b-sft")):
        delta = stored(trained(book, name, seed=seed), seed + 1)
        deltas.save_delta(tmp_path / delta.name, delta, book.model)
        fuse(book, delta)
    book.drop("unit-01/chapter-01/b")
    book.save(tmp_path)
    again = opened(folder)
    again.replay(tmp_path)
    assert again.declared == book.declared and bits(again) == bits(book)
    names = [delta.name for delta in again.deltas]
    assert names == [f"{number:03d}-unit-01.chapter-01.{name}" for number, name in ((1, "a-sft"), (2, "a-dpo"))]
    assert again.commits == 3
    weights = again.deltas[0].weights
    assert all(mx.array_equal(array, book.deltas[0].weights[name]).item() for name, array in weights.items())
    assert again.deltas[0].spec == AdapterSpec(4, 2.0, SPEC.modules, 2)


def test_a_ledger_that_does_not_give_its_declared_model_is_broken(folder, tmp_path):
    book = opened(folder)
    delta = stored(trained(book, "a-sft"))
    deltas.save_delta(tmp_path / delta.name, delta, book.model)
    fuse(book, delta)
    book.save(tmp_path)
    other = replace(delta, weights={name: 1.001 * array for name, array in delta.weights.items()})
    deltas.save_delta(tmp_path / delta.name, other, book.model)
    with pytest.raises(Broken, match=r"the arrays of 001-.* are not those that were committed") as caught:
        opened(folder).replay(tmp_path)
    assert caught.value.rule.name == "files-whole"
    older = {"fingerprint": book.declared, "commits": 1, "deltas": [{"name": delta.name, "fused": True}]}
    (tmp_path / "ledger.json").write_text(json.dumps(older))  # without digests
    with pytest.raises(Broken, match=f"it declares {book.declared}") as caught:
        opened(folder).replay(tmp_path)
    assert caught.value.rule.name == "ledger-declares"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"deltas": None}, r"Expected `array`, got `null` - at `\$\.deltas`"),
        ({"commits": "2"}, r"Expected `int`, got `str` - at `\$\.commits`"),
        (
            {"deltas": [{"name": "001-unit-01.chapter-01.topic-01-sft"}]},
            r"required field `fused` - at `\$\.deltas\[0\]`",
        ),
        ({"deltas": [{"name": "001-unit-01.chapter-01.topic-01-sft", "fused": "no"}]}, r"got `str` - at `.*\.fused`"),
    ],
)
def test_a_ledger_with_a_wrong_field_names_it(folder, tmp_path, change, words):
    (tmp_path / "ledger.json").write_text(json.dumps({"fingerprint": "", "commits": 0, "deltas": []} | change))
    with pytest.raises(Broken, match=words) as caught:
        opened(folder).replay(tmp_path)
    assert caught.value.rule.name == "files-whole"


def test_more_deltas_are_replayed_than_files_may_be_open(folder, tmp_path):
    """macOS lets a process have 256; a course of 28 topics makes 56 deltas, one of 130 makes 260."""
    book = opened(folder)
    spec = AdapterSpec(1, 1.0, ("q_proj",), 1)
    book.deltas = [
        stored(random_delta(book, f"topic-{number:02d}-sft", spec, number), number) for number in range(1, 81)
    ]
    for delta in book.deltas:
        deltas.save_delta(tmp_path / delta.name, delta, book.model)
    book.restore(book.model, book.deltas)
    book.save(tmp_path)
    again, limits = opened(folder), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 40, limits[1]))
    try:
        again.replay(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert again.declared == book.declared and len(again.deltas) == 80


NAME = "001-unit-01.chapter-01.topic-01-sft"
CLIMBING = ["../elsewhere", "/etc", "", ".", f"{NAME}/../x", f"{NAME}\n", f"\x1b[2J{NAME}", "001-a.b.c-rl", "1" * 300]


@pytest.mark.parametrize("name", CLIMBING, ids=range(len(CLIMBING)))
def test_a_name_in_the_ledger_that_could_leave_the_folder_is_refused(folder, tmp_path, name):
    row = {"name": name, "fused": True}
    good = {"name": NAME, "fused": True}
    (tmp_path / "ledger.json").write_text(json.dumps({"fingerprint": "", "commits": 2, "deltas": [good, row]}))
    with pytest.raises(
        InputError, match=r"ledger\.json: deltas\[1\]\.name: adapter '.*' is not of the form 001-"
    ) as found:
        opened(folder).replay(tmp_path)
    assert str(found.value).isprintable() and len(str(found.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("topic", "phase", "words"),
    [
        ("\x1b]52;c;aGk=\x07\x1b[2J", "sft", r"mindprint: topic id '\\x1b\]52.*' is not of the form unit-01/"),
        ("a/b/c", "\x1b[2J", r"mindprint: phase '\\x1b\[2J' is neither sft nor dpo"),
    ],
)
def test_what_a_delta_says_of_itself_is_looked_at(folder, tmp_path, topic, phase, words):
    book = opened(folder)
    delta = replace(stored(trained(book, "a-sft")), topic=topic, phase=phase)
    deltas.save_delta(tmp_path / NAME, delta, book.model)
    with pytest.raises(InputError, match=rf"{NAME}/adapter_config\.json: {words}"):
        deltas.load_delta(tmp_path / NAME, fused=True)


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 2**-24), ("bfloat16", 2**-8)])
def test_56_deltas_round_once_and_not_56_times(folder, dtype, rounding):
    book = opened(folder, dtype)
    base = {path: np.array(module.weight, np.float64) for path, module in linears(opened(folder)).items()}
    deltas = []
    for number in range(56):
        spec = AdapterSpec(2, 1.0 + 0.01 * number, ("v_proj", "up_proj"), 0)
        deltas.append(random_delta(book, f"t{number}-sft", spec, number))
    book.restore(book.model, deltas)
    assert len(deltas[0].paths) == 4
    for path in deltas[0].paths:
        exact = base[path].copy()
        for delta in deltas:
            a, b = (np.array(delta.weights[f"{path}.{leaf}"], np.float64) for leaf in ("lora_a", "lora_b"))
            exact += delta.spec.scale * (a @ b).T
        now = np.array(linears(book)[path].weight.astype(mx.float32), np.float64)
        one_by_one = fused_one_by_one(base[path], deltas, path, dtype)
        error, naive = np.abs(now - exact), np.abs(one_by_one - exact)
        slack = 4e-6 * np.abs(exact).max()  # of the sums in float32
        assert np.all(error <= rounding * np.abs(exact) * 1.01 + slack)
        assert dtype == "float32" or np.sqrt((naive**2).mean()) > 3 * np.sqrt((error**2).mean())


def linears(book: Ledger) -> dict[str, nn.Linear]:
    return {path: module for path, module in book.model.named_modules() if isinstance(module, nn.Linear)}


def random_delta(book: Ledger, name: str, spec: AdapterSpec, seed: int) -> Delta:
    draw, weights = np.random.default_rng(seed), {}
    for path, module in lora.requested_modules(book.model, spec).items():
        outer, inner = module.weight.shape
        weights[f"{path}.lora_a"] = mx.array(draw.normal(0, inner**-0.5, (inner, spec.rank)).astype(np.float32))
        weights[f"{path}.lora_b"] = mx.array(draw.normal(0, 0.01, (spec.rank, outer)).astype(np.float32))
    return Delta(name, name, "sft", spec, weights)


def fused_one_by_one(base: np.ndarray, deltas: list[Delta], path: str, dtype: str) -> np.ndarray:
    """What fusing each adapter into the rounded result of the last gives."""
    weight = mx.array(base.astype(np.float32)).astype(getattr(mx, dtype))
    for delta in deltas:
        weight = (weight.astype(mx.float32) + delta.change(path)).astype(weight.dtype)
    return np.array(weight.astype(mx.float32), np.float64)


def test_a_change_below_the_resolution_of_bfloat16_is_kept_beside_the_weights(folder):
    book = opened(folder, "bfloat16")
    before = bits(book)
    delta = trained(book, "a-dpo", size=2e-5)
    attached = logits(book)
    committed, survival = fuse(book, delta)
    assert survival.cosine < 0.9 and not committed.fused
    kept = [module for module in book.model.modules() if isinstance(module, LinearWithFactors)]
    assert len(kept) == 6 and lora.adapter_modules(book.model) == {}
    now = logits(book)
    difference = nn.log_softmax(attached, -1) - nn.log_softmax(now, -1)
    assert abs((mx.softmax(attached, -1) * difference).sum(-1).mean().item()) < 1e-4
    assert bits(book) != before  # its factors are parameters of the model, and so part of its fingerprint
    next_one, survival = fuse(book, trained(book, "b-sft", size=0.2, seed=8))
    assert next_one.fused and survival.cosine > 0.99
    assert book.drop("a") == 1 and not [m for m in book.model.modules() if isinstance(m, LinearWithFactors)]


def test_a_change_that_is_applied_and_answers_otherwise_is_kept_beside_the_weights(folder):
    """The cosine is good enough, and the KL is not: that is looked at by itself."""
    fused, beside, book = (opened(folder, "float16") for _ in range(3))
    _, lost = fuse(fused, trained(fused, "a-sft", size=1e-3), cosine=0.0, kl=1.0)
    delta = trained(beside, "a-sft", size=1e-3)
    attached = nn.log_softmax(logits(beside), -1)
    fuse(beside, delta, cosine=2.0, kl=1.0)
    kept = (mx.exp(attached) * (attached - nn.log_softmax(logits(beside), -1))).sum(-1).mean().item()
    assert lost.kl > 3 * max(kept, 0.0) and lost.kl > 0
    committed, survival = fuse(book, trained(book, "a-sft", size=1e-3), cosine=0.0, kl=lost.kl / 2)
    assert not committed.fused and (survival.kl, survival.limit) == (lost.kl, lost.kl / 2)


def test_a_kept_delta_survives_saving_and_replaying(folder, tmp_path):
    book = opened(folder, "bfloat16")
    delta = stored(trained(book, "a-dpo", size=2e-5))
    deltas.save_delta(tmp_path / delta.name, delta, book.model)
    fuse(book, delta)
    book.save(tmp_path)
    (row,) = json.loads((tmp_path / "ledger.json").read_text())["deltas"]
    assert row == {"name": delta.name, "fused": False, "digest": delta.digest()}
    again = opened(folder, "bfloat16")
    again.replay(tmp_path)
    assert bits(again) == bits(book) and mx.array_equal(logits(again), logits(book)).item()


@pytest.mark.parametrize(
    ("base", "kinds"), [("folder", {LinearWithFactors}), ("mixture", {LinearWithFactors, SwitchLinearWithFactors})]
)
def test_kept_deltas_answer_as_their_adapters_did(base, kinds, request, tmp_path):
    """Kept whatever is lost: MLX computes experts on a CPU in float32 alone, and that loses next to nothing."""
    folder = request.getfixturevalue(base)
    book, fresh = opened(folder), opened(folder)
    for seed, name in enumerate(("a-dpo", "b-dpo")):
        delta = stored(trained(book, name, size=0.02, seed=seed), seed + 1)
        deltas.save_delta(tmp_path / delta.name, delta, book.model)
        attached = [book.model(probe) for probe in (PROBE, LONG)]
        mx.eval(attached)
        assert not fuse(book, delta, cosine=2.0)[0].fused
        for probe, was in zip((PROBE, LONG), attached, strict=True):
            assert mx.abs(book.model(probe) - was).max().item() < 1e-4 < mx.abs(fresh.model(probe) - was).max().item()
    modules, pristine = dict(book.model.named_modules()), dict(fresh.model.named_modules())
    assert {type(modules[path]) for path in delta.paths} == kinds and lora.adapter_modules(book.model) == {}
    for path in delta.paths:
        change = book.deltas[0].change(path) + book.deltas[1].change(path)
        assert mx.allclose(dense(modules[path]) - dense(pristine[path]), change, rtol=0, atol=1e-6).item()
    book.save(tmp_path)
    again = opened(folder)
    again.replay(tmp_path)
    assert bits(again) == bits(book) and mx.array_equal(logits(again), logits(book)).item()
    for delta in list(book.deltas):
        book.drop(delta.topic)
    assert bits(book) == bits(fresh)


def test_the_fuse_of_a_quantized_model_is_not_quantized_again(quantized):
    book = opened(quantized)
    assert isinstance(book.model.layers[0].self_attn.q_proj, nn.QuantizedLinear)
    delta = trained(book, "a-sft", size=0.002)
    attached = logits(book)
    committed, survival = fuse(book, delta)
    assert committed.fused and survival.cosine >= 0.999 and survival.kl < 1e-5
    assert mx.abs(logits(book) - attached).max().item() < 1e-3
    assert type(book.model.layers[0].self_attn.q_proj) is nn.Linear
    assert isinstance(book.model.layers[0].self_attn.k_proj, nn.QuantizedLinear)


TAKEN_BACK = {
    "dropped": lambda book, mark, paths: book.drop("b"),
    "forgotten": lambda book, mark, paths: book.forget("b", set()),
    "reverted": lambda book, mark, paths: book.revert(mark, paths),
}


@pytest.mark.parametrize("how", TAKEN_BACK)
def test_a_module_that_no_delta_touches_any_more_is_the_packed_one_again(quantized, tmp_path, how):
    """A replay begins with the packed base, so what is taken back has to end there."""
    book, fresh = opened(quantized), opened(quantized)
    first = stored(trained(book, "a-sft", size=0.002))
    deltas.save_delta(tmp_path / first.name, first, book.model)
    pristine = book.mark()
    fuse(book, first)
    mark, spec = book.mark(), AdapterSpec(2, 2.0, ("q_proj", "up_proj"), 0)
    second, _ = fuse(book, trained(book, "b-sft", size=0.002, spec=spec, seed=3))
    TAKEN_BACK[how](book, mark, second.paths)
    book.save(tmp_path)
    again = opened(quantized)
    again.replay(tmp_path)
    assert bits(again) == bits(book) and again.declared == in_memory(book)
    book.revert(pristine, first.paths)
    assert bits(book) == bits(fresh) and fresh.declared == in_memory(book) == book.declared


def in_memory(book: Ledger) -> str:
    """The fingerprint of what is in memory, looked at anew."""
    return fingerprint.fingerprint(fingerprint.frozen_digests(book.model))


@pytest.mark.parametrize("layers", [0, 1])
def test_a_saved_delta_is_an_adapter_that_mlx_lm_loads(folder, tmp_path, layers):
    book = opened(folder)
    delta = trained(book, "a-sft", spec=AdapterSpec(3, 5.0, ("q_proj", "up_proj"), layers))
    attached = logits(book)
    deltas.save_delta(tmp_path / "a-sft", delta, book.model)
    theirs = loading.load(folder, "float32").model
    load_adapters(theirs, str(tmp_path / "a-sft"))
    theirs.eval()
    assert set(lora.adapter_modules(theirs)) == set(delta.paths)
    assert mx.abs(theirs(PROBE).astype(mx.float32) - attached).max().item() < 1e-5


def test_the_norm_of_a_change_is_that_of_its_product(folder):
    book = opened(folder)
    delta = trained(book, "a-sft")
    whole = np.concatenate([np.array(delta.change(path), np.float64).ravel() for path in delta.paths])
    assert deltas.delta_norm(delta.weights, SPEC.scale) == pytest.approx(np.linalg.norm(whole), rel=1e-5)
    zero = {name: mx.zeros_like(array) if name.endswith("_b") else array for name, array in delta.weights.items()}
    assert deltas.delta_norm(zero, SPEC.scale) == 0.0


def test_a_fuse_that_moves_nothing_is_broken(folder, monkeypatch):
    book = opened(folder)
    delta = trained(book, "a-sft")
    monkeypatch.setattr(Ledger, "_materialize", lambda self, paths: None)
    with pytest.raises(Broken, match=r"cosine of 0\.0000") as caught:
        fuse(book, delta)
    assert caught.value.rule.name == "fuse-moves-weights"


def test_what_rounding_makes_of_the_real_model_in_bfloat16_is_no_fault_of_a_fuse():
    """A sum that is rounded otherwise moves its answers by more than the limit; a delta that is wrong, by much more."""
    base = loading.locate("smollm2-135m-instruct", print)
    loaded = loading.load(base, "bfloat16")
    book = Ledger(loaded.model, base, mx.bfloat16)
    probe = mx.array([Renderer(loaded.tokenizer).text_ids(WORDS)])
    sizes = (0.1, 2e-5, 2e-5)  # as SFT leaves a B, then as two DPO phases do, both kept beside the weights
    found = [book.fuse(trained(book, f"t{n}-sft", size, seed=n), probe, 0.99, 1e-3) for n, size in enumerate(sizes)]
    assert [delta.fused for delta, _ in found] == [True, False, False]
    for _, survival in found:
        assert 1e-3 < survival.kl <= survival.limit == 1e-2
    with pytest.raises(Broken, match="the fuse kept a cosine of"):
        wrong = replace(trained(book, "t3-sft", 0.1, seed=3), spec=replace(SPEC, scale=-SPEC.scale))
        book.fuse(wrong, probe, 0.99, 1e-3)
