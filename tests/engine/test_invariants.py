"""Deliberately broken engines: each must trip its rule, commit nothing of that phase, and leave the next topic well."""

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import pytest
import tiny
from mlx.utils import tree_unflatten
from mlx_lm.models import llama
from mlx_lm.tuner.lora import LoRALinear

from engine import adapters, batches, chat, dpo, evaluate, ledger, phase, sft, topic, train, updates
from engine.adapters import AdapterSpec
from engine.contract import events as e
from engine.contract.errors import InputError
from engine.invariants import RULES, Broken, require
from engine.losses import Scorer
from engine.policy import Decision

FIRST, SECOND = tiny.TOPICS[:2]
TRIPPED: dict[str, set[str]] = {}


class Breaker:
    """Replaces functions of the engine, as long as the topic that is to suffer is being trained."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, victim: str) -> None:
        self.patch = monkeypatch
        self._victim = victim
        self.on = False
        self.session = None
        real = train._attempt

        def attempt(session, history, subject, done):
            self.on, self.session = subject.id == victim, session
            try:
                return real(session, history, subject, done)
            finally:
                self.on = False

        monkeypatch.setattr(train, "_attempt", attempt)

    def replace(self, owner: object, name: str, broken: Callable) -> None:
        """`broken` gets the real function first, then its arguments."""
        real = getattr(owner, name)

        def either(*args, **kwargs):
            return broken(real, *args, **kwargs) if self.on else real(*args, **kwargs)

        self.patch.setattr(owner, name, either)


@dataclass(frozen=True)
class Fault:
    """A broken engine: the rule that must catch it (None: a plain exception), the phase, and how it is broken."""

    name: str
    rule: str | None
    phase: str
    break_it: Callable[[Breaker], None]
    victim: str = FIRST


FAULTS: list[Fault] = []


def fault(rule: str | None, phase: str = "sft", victim: str = FIRST) -> Callable:
    def keep(function: Callable[[Breaker], None]) -> Callable[[Breaker], None]:
        FAULTS.append(Fault(function.__name__, rule, phase, function, victim))
        return function

    return keep


def some_layer(model: nn.Module) -> nn.Module:
    return model.model.layers[0]


@fault("no-stacked-adapter")
def a_stale_adapter_is_on_the_model_before_attach(engine):
    def broken(real, model, spec, seed):
        stale = LoRALinear.from_base(some_layer(model).mlp.up_proj, r=2)
        some_layer(model).mlp.up_proj = stale
        return real(model, spec, seed)

    engine.replace(adapters, "attach", broken)


@fault("no-stacked-adapter", "dpo")
def dpo_goes_on_top_of_the_adapter_that_sft_left(engine):
    def broken(real, session, attached):
        if attached.phase == "sft":  # "merged and unloaded successfully"
            session.attached = None
        else:
            real(session, attached)

    engine.replace(phase, "commit", broken)


@fault("no-stacked-adapter")
def attach_nests_an_adapter_in_an_adapter(engine):
    def broken(real, module, r, scale, dropout):
        outer, inner = real(module, r=r, scale=scale, dropout=dropout), real(module, r=r, scale=scale, dropout=dropout)
        outer.linear = inner
        return outer

    engine.replace(adapters.LoRALinear, "from_base", broken)


@fault("no-stacked-adapter")
def detach_only_sets_a_flag(engine):
    engine.replace(adapters, "detach", lambda real, model: adapters.require_none(model, "after detach"))


@fault("trainable-set")
def nothing_is_frozen(engine):
    engine.replace(llama.Model, "freeze", lambda real, model, *args, **kwargs: model.unfreeze())


@fault("trainable-set")
def the_rank_is_not_the_one_asked_for(engine):
    engine.replace(
        adapters.LoRALinear,
        "from_base",
        lambda real, module, r, scale, dropout: real(module, r=2 * r, scale=scale, dropout=dropout),
    )


@fault("trainable-set")
def a_base_weight_is_unfrozen_while_training(engine):
    def broken(real, self, model, *args):
        update = real(self, model, *args)
        if args[-1] == 1:  # the last step
            some_layer(model).input_layernorm.unfreeze()
        return update

    engine.replace(updates.Updater, "apply", broken)


@fault("requested-modules")
def target_modules_are_ignored(engine):
    every = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    engine.replace(
        adapters,
        "requested_modules",
        lambda real, model, spec: real(model, AdapterSpec(spec.rank, spec.scale, every, spec.layers)),
    )


@fault("requested-modules")
def only_the_last_layer_is_converted(engine):
    engine.replace(
        adapters,
        "requested_modules",
        lambda real, model, spec: real(model, AdapterSpec(spec.rank, spec.scale, spec.modules, 1)),
    )


@fault("requested-modules")
def nothing_is_converted(engine):
    engine.replace(adapters.LoRALinear, "from_base", lambda real, module, **settings: module)


@fault("requested-modules")
def an_adapter_falls_off_while_training(engine):
    def broken(real, self, model, *args):
        update = real(self, model, *args)
        if args[-1] == 0:
            return update
        path, module = next(iter(adapters.adapter_modules(model).items()))
        model.update_modules(tree_unflatten([(path, module.linear)]))
        return update

    engine.replace(updates.Updater, "apply", broken)


@fault("frozen-unchanged")
def a_step_writes_into_a_frozen_weight(engine):
    def broken(real, self, model, *args):
        gate = some_layer(model).mlp.gate_proj
        gate.weight = gate.weight + 1e-3
        return real(self, model, *args)

    engine.replace(updates.Updater, "apply", broken)


@fault("frozen-unchanged", "dpo")
def dpo_writes_into_the_embedding(engine):
    def broken(real, self, model, *args):
        table = model.model.embed_tokens
        table.weight = table.weight * 1.0001
        return real(self, model, *args)

    def in_dpo(real, *args):
        engine.replace(updates.Updater, "apply", broken)
        return real(*args)

    engine.replace(topic, "train_dpo", in_dpo)


@fault("fuse-moves-weights")
def fuse_and_unload_move_no_weight(engine):
    def broken(real, self, paths):
        adapters.detach(self.model)

    engine.replace(ledger.Ledger, "_materialize", broken)


@fault("fuse-moves-weights")
def the_fuse_forgets_the_scale(engine):
    def broken(real, deltas, path):
        a, b = real(deltas, path)
        return a, 3 * b

    engine.replace(ledger, "_factors", broken)
    engine.replace(ledger.Ledger, "_cosine", lambda real, self, delta, before: 1.0)


@fault("detach-restores")
def detach_leaves_something_behind_that_is_no_parameter(engine):
    def broken(real, model):
        real(model)
        some_layer(model).self_attn.scale *= 1.5

    engine.replace(adapters, "detach", broken)
    engine.replace(topic.policy, "after_phase", lambda real, *args: Decision("roll_back", "for the test"))


@fault("ledger-declares", victim=SECOND)
def a_weight_leaks_from_topic_to_topic(engine):
    real = train.finish

    def leaky(session, subject, *args):
        real(session, subject, *args)
        if subject.id == FIRST:
            norm = session.model.model.norm
            norm.weight = norm.weight * 1.001

    engine.patch.setattr(train, "finish", leaky)


def log_sigmoid_loss(real, chosen, rejected, reference_chosen, reference_rejected, beta):
    losses, a, b = real(chosen, rejected, reference_chosen, reference_rejected, beta)
    return -losses, a, b


@fault("dpo-starts-at-ln2", "dpo")
def the_dpo_loss_is_negative(engine):
    engine.replace(dpo, "dpo_loss", log_sigmoid_loss)


@fault("dpo-starts-at-ln2", "dpo")
def the_dpo_loss_prefers_the_rejected_answer(engine):
    def broken(real, chosen, rejected, reference_chosen, reference_rejected, beta):
        losses, b, a = real(rejected, chosen, reference_rejected, reference_chosen, beta)
        return losses, a, b

    engine.replace(dpo, "dpo_loss", broken)


@fault("dpo-starts-at-ln2", "dpo")
def the_reference_is_the_live_policy(engine):
    def broken(real, chosen, rejected, reference_chosen, reference_rejected, beta):
        return real(chosen, rejected, mx.stop_gradient(chosen), mx.stop_gradient(rejected), beta)

    engine.replace(dpo, "dpo_loss", broken)


@fault("dpo-starts-at-ln2", "dpo")
def the_reference_is_another_model(engine):
    def broken(real, session, *args):
        found = real(session, *args)
        return found | {"chosen": found["chosen"] - 1.0}

    engine.replace(dpo, "_reference", broken)
    engine.replace(dpo, "_check_sign", lambda real, beta: None)


@fault("dpo-starts-at-ln2", "dpo")
def the_wrong_sign_with_the_toy_pair_left_out_still_fails_below_zero(engine):
    engine.replace(dpo, "dpo_loss", log_sigmoid_loss)
    engine.replace(dpo, "_check_sign", lambda real, beta: None)


@fault("reference-fixed", "dpo")
def the_reference_follows_the_policy(engine):
    def broken(real, session, attached, *args):
        real(session, attached, *args)
        if attached.phase == "dpo":
            attached.reference |= {"chosen": attached.reference["chosen"] + 1.0}

    engine.replace(phase, "note_update", broken)


@fault("reference-fixed", "dpo")
def the_adapter_that_dpo_began_with_is_not_kept(engine):
    def broken(real, session, attached, *args):
        real(session, attached, *args)
        if attached.phase == "dpo":
            now = adapters.adapter_weights(session.model)
            attached.reference |= {f"{dpo.START}{name}": array for name, array in now.items()}

    engine.replace(phase, "note_update", broken)


@fault("padding-is-nothing", "dpo")
def padding_stands_on_the_left_where_attention_sees_it(engine):
    def broken(real, examples, pad_id, extra_padding=0):
        batch = real(examples, pad_id, extra_padding)
        width = batch.tokens.shape[1]
        tokens = [[*[pad_id] * (width - len(item.ids)), *item.ids] for item in examples]
        shift = mx.array([width - len(item.ids) for item in examples])[batch.rows]
        return batches.Batch(
            mx.array(tokens), batch.gather + shift, batch.targets, batch.rows, batch.size, batch.supervised, batch.total
        )

    engine.replace(dpo, "collate", broken)


@fault("padding-is-nothing", "dpo")
def log_probabilities_are_divided_by_the_width_of_the_batch(engine):
    engine.replace(Scorer, "row_logps", lambda real, self, batch: real(self, batch) / batch.tokens.shape[1])


def with_mask(extra: Callable) -> Callable:
    """A collate that supervises other places than it should: `extra(example)` gives (first, last + 1)."""

    def broken(real, examples, pad_id, extra_padding=0):
        batch = real(examples, pad_id, extra_padding)
        width, flat = batch.tokens.shape[1], batch.tokens.reshape(-1).tolist()
        gather, rows = [], []
        for row, item in enumerate(examples):
            places = [place for place in range(*extra(item)) if place < width]
            gather += [row * width + place - 1 for place in places]
            rows += [row] * len(places)
        targets = [flat[place + 1] for place in gather]
        arrays = [mx.array(values, dtype=mx.int32) for values in (gather, targets, rows)]
        return batches.Batch(batch.tokens, *arrays, batch.size, len(targets), batch.total)

    return broken


@fault("supervised-exactly")
def the_prompt_is_supervised(engine):
    engine.replace(sft, "collate", with_mask(lambda item: (1, len(item.ids))))


@fault("supervised-exactly")
def one_pad_token_is_supervised(engine):
    engine.replace(sft, "collate", with_mask(lambda item: (item.prompt, len(item.ids) + 1)))


@fault("supervised-exactly", "dpo")
def the_whole_padding_is_in_the_dpo_mask(engine):
    engine.replace(dpo, "collate", with_mask(lambda item: (item.prompt, 10_000)))


@fault("supervised-exactly")
def rows_have_no_end_token(engine):
    def broken(real, self, *args):
        item = real(self, *args)
        return chat.Example(item.ids[:-1], item.prompt, item.answer_tokens, item.cut)

    engine.replace(chat.Renderer, "example", broken)


@fault("one-template")
def another_models_tags_stand_in_the_rows(engine):
    def broken(real, self, messages, answer, limit):
        item = real(self, messages, answer, limit)
        tags = self._encode(f"<start_of_turn>user\n{messages[-1].content}<end_of_turn>\n<start_of_turn>model\n")
        return chat.Example((*tags, *item.ids[item.prompt :]), len(tags), item.answer_tokens, item.cut)

    engine.replace(chat.Renderer, "example", broken)


@fault("steps-as-planned")
def fewer_rows_than_accumulation_give_no_step(engine):
    def broken(real, rows, batch, accumulation, epochs):
        plan = real(rows, batch, accumulation, epochs)
        return batches.Plan(rows, batch, accumulation, plan.micro_batches, plan.micro_batches // 100)

    engine.replace(sft, "plan_epochs", broken)


@fault("steps-as-planned")
def the_optimizer_changes_nothing(engine):
    engine.replace(updates.optimizers.AdamW, "update", lambda real, self, model, gradients: None)


@fault("steps-as-planned", "dpo")
def dpo_has_a_step_size_of_nothing(engine):
    engine.replace(
        updates, "learning_rate", lambda real, *args: 0.0 if len(engine.session.ledger.deltas) else real(*args)
    )


@fault("steps-as-planned")
def steps_are_left_out(engine):
    def broken(real, session, attached, *args):
        real(session, attached, *args)
        attached.step += 1

    engine.replace(phase, "note_update", broken)


@fault("finite-steps")
def the_loss_is_nan(engine):
    engine.replace(sft, "sft_loss", lambda real, logps: real(logps) * math.nan)


@fault("finite-steps", "dpo")
def the_dpo_loss_is_nan(engine):
    def broken(real, *args):
        losses, a, b = real(*args)
        return losses * math.nan, a, b

    engine.replace(dpo, "dpo_loss", broken)
    engine.replace(dpo, "_check_sign", lambda real, beta: None)


@fault("finite-steps")
def the_gradient_is_infinite(engine):
    def broken(real, *args):
        gradients, values = real(*args)
        return updates.tree_map(lambda array: array + math.inf, gradients), values

    engine.replace(sft, "accumulate", broken)


@fault(None)
def a_phase_raises(engine):
    def broken(real, logps):
        raise ZeroDivisionError("a call that does not exist")

    engine.replace(sft, "sft_loss", broken)


@fault(None, "dpo")
def dpo_raises(engine):
    def broken(real, *args):
        raise ZeroDivisionError("a call that does not exist")

    engine.replace(dpo, "_reference", broken)


@fault(None)
def the_disk_is_full_when_the_ledger_is_written(engine):
    def broken(real, self, folder):
        raise ZeroDivisionError("as good as a full disk")

    engine.replace(ledger.Ledger, "save", broken)


@fault(None)
def the_evaluation_raises(engine):
    def broken(real, *args):
        raise ZeroDivisionError("in the middle of an evaluation")

    engine.replace(evaluate, "generate", broken)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> tuple:
    folder = tmp_path_factory.mktemp("sources")
    return tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "curriculum", 2)


def settings(sources: tuple, phase: str) -> dict:
    strategy = "sft_only" if phase == "sft" else "fuse_between"
    return tiny.settings(*sources, adapters={"strategy": strategy})


@pytest.fixture(scope="module")
def control(sources, tmp_path_factory) -> dict[str, tiny.Ran]:
    """Unbroken runs, and one of the second topic alone: what it must be when the first topic left nothing behind."""
    folder, runs = tmp_path_factory.mktemp("control"), {}
    for phase_name in ("sft", "dpo"):
        runs[phase_name] = tiny.train_here(tiny.new_run(folder / phase_name, settings(sources, phase_name)))
    alone = settings(sources, "sft")
    alone["curriculum"]["topics"] = [SECOND]
    runs["alone"] = tiny.train_here(tiny.new_run(folder / "alone", alone))
    return runs


@contextlib.contextmanager
def broken_by(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> Iterator[None]:
    with monkeypatch.context() as patch:
        fault.break_it(Breaker(patch, fault.victim))
        yield


def test_an_unbroken_engine_trips_nothing(control):
    for phase_name, committed in (("sft", ["sft"] * 2), ("dpo", ["sft", "dpo"] * 2), ("alone", ["sft"])):
        ran = control[phase_name]
        assert ran.of(e.Failed) == []
        assert set(ran.verdicts().values()) == {"passed"} and ran.status == 0
        assert [name.rpartition("-")[2] for name in ran.committed()] == committed


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_broken_engine_is_caught(fault, sources, control, tmp_path, monkeypatch):
    run = tiny.new_run(tmp_path / "run", settings(sources, fault.phase))
    with broken_by(monkeypatch, fault):
        ran = tiny.train_here(run)
    first = ran.of(e.Failed)[0]
    assert first.rule == fault.rule, first.traceback
    assert first.topic == fault.victim and "Traceback" in first.traceback
    assert first.message.splitlines()[0] in run.log.read_text()
    if fault.rule is None:
        assert "ZeroDivisionError" in first.message and "ZeroDivisionError" in first.traceback
    else:
        TRIPPED.setdefault(fault.rule, set()).add(fault.name)

    assert ran.verdicts() == {FIRST: "passed", SECOND: "passed"} | {fault.victim: "error"}
    assert ran.status == 1
    settled = ran.of(e.AdapterChanged, topic=fault.victim, phase=fault.phase, state="fused")
    kept = ran.of(e.AdapterChanged, topic=fault.victim, phase=fault.phase, state="kept_attached")
    assert settled == kept == []
    part = fault.victim.replace("/", ".")
    assert not [name for name in ran.committed() if name.endswith(f"{part}-{fault.phase}")]
    assert not [name for name in ran.adapters() if name.endswith(f"{part}-{fault.phase}")]

    if fault.victim == FIRST:
        unharmed(fault, ran, control)


def unharmed(fault: Fault, ran: tiny.Ran, control: dict[str, tiny.Ran]) -> None:
    """The second topic began with what was committed and no more, and was trained to the end."""
    began = ran.of(e.TopicStarted, topic=SECOND)[0].model_fingerprint
    if fault.phase == "sft":
        assert list(ran.adapters().values()) == list(control["alone"].adapters().values())
        assert ran.of(e.RunFinished)[0].fingerprint == control["alone"].of(e.RunFinished)[0].fingerprint
    elif fault.name == "dpo_goes_on_top_of_the_adapter_that_sft_left":
        assert began == ran.of(e.ModelLoaded)[0].fingerprint
    else:
        assert (
            began == control["dpo"].of(e.AdapterChanged, topic=FIRST, phase="sft", state="fused")[0].model_fingerprint
        )
    phases = ["sft"] if fault.phase == "sft" else ["sft", "dpo"]
    assert [event.phase for event in ran.of(e.AdapterChanged, topic=SECOND, state="fused")] == phases


def test_one_step_that_is_not_finite_is_left_out_and_its_rows_are_named(sources, control, tmp_path, monkeypatch):
    seen = []

    def once(real, self, model, gradients, loss, step):
        seen.append(step)
        return real(self, model, gradients, math.nan if len(seen) == 1 else loss, step)

    with monkeypatch.context() as patch:
        Breaker(patch, FIRST).replace(updates.Updater, "apply", once)
        ran = tiny.train_here(tiny.new_run(tmp_path / "run", settings(sources, "sft")))
    assert ran.of(e.Failed) == [] and ran.verdicts()[FIRST] == "passed"
    (warned,) = ran.of(e.Warned, key="not-finite")
    assert "sft.jsonl:1" in warned.message and "step 1" in warned.message
    assert ran.adapters() != control["sft"].adapters()


def test_a_held_out_question_that_is_trained_on_ends_the_run_before_it_begins(sources, tmp_path):
    leaky = tiny.make_curriculum(tmp_path / "leaky", 2)
    row = {"topic": FIRST, "question": "Who minds the lamp?", "reference": "Somebody, surely."}
    with open(leaky / "quiz.jsonl", "a") as file:
        file.write(json.dumps(row) + "\n")
    run = tiny.new_run(tmp_path / "run", tiny.settings(sources[0], leaky))
    with pytest.raises(InputError, match=r"quiz\.jsonl:3: held out, but 'Who minds the lamp\?' is trained on at .*:1"):
        tiny.train_here(run)
    assert tiny.Ran(run).of(e.TopicStarted) == []
    TRIPPED.setdefault("questions-held-out", set()).add("a_leak")


def test_require_raises_with_its_rule_and_an_unknown_rule_is_a_mistake():
    require("finite-steps", True, "nothing")
    with pytest.raises(Broken, match="found 2, expected 1") as caught:
        require("finite-steps", False, "found 2, expected 1")
    assert caught.value.rule is RULES["finite-steps"]
    with pytest.raises(KeyError):
        require("no-such-rule", False, "")


def test_every_rule_has_been_seen_to_trip(request):
    if len([item for item in request.session.items if item.fspath == request.node.fspath]) < len(FAULTS):
        pytest.skip("only a part of this file runs")
    count = sum(len(names) for names in TRIPPED.values())
    print(f"\n{count} broken engines caught by {len(TRIPPED)} of {len(RULES)} rules")
    assert sorted(TRIPPED) == sorted(RULES)
