"""Broken engines, rules 1 to 8: adapters, frozen weights, fuse and ledger. Each must be caught by its rule."""

from dataclasses import replace

import mlx.core as mx
import tiny
from breaking import FIRST, SECOND, Breaker, Faults, caught, settings, some_layer
from mlx.utils import tree_unflatten
from mlx_lm.models import llama
from mlx_lm.tuner.lora import LoRALinear

from engine.adapters import ledger, lora, module_weights
from engine.adapters.lora import AdapterSpec
from engine.contract.journal import events as e
from engine.evaluation import generation
from engine.model import loading
from engine.pipeline import run as pipeline
from engine.pipeline import topic
from engine.pipeline.decisions import Decision
from engine.training import optimizer
from engine.training.phases import phase, settle

fault = Faults()


@fault("no-stacked-adapter")
def a_stale_adapter_is_on_the_model_before_attach(engine):
    def broken(real, model, spec, seed):
        stale = LoRALinear.from_base(some_layer(model).mlp.up_proj, r=2)
        some_layer(model).mlp.up_proj = stale
        return real(model, spec, seed)

    engine.replace(lora, "attach", broken)


@fault("no-stacked-adapter", "dpo")
def dpo_goes_on_top_of_the_adapter_that_sft_left(engine):
    def broken(real, session, attached):
        if attached.phase == "sft":  # "merged and unloaded successfully"
            session.attached = None
        else:
            real(session, attached)

    engine.replace(settle, "commit", broken)


@fault("no-stacked-adapter")
def attach_nests_an_adapter_in_an_adapter(engine):
    def broken(real, module, r, scale, dropout):
        outer, inner = real(module, r=r, scale=scale, dropout=dropout), real(module, r=r, scale=scale, dropout=dropout)
        outer.linear = inner
        return outer

    engine.replace(lora.Lora, "from_base", broken)


@fault("no-stacked-adapter")
def detach_only_sets_a_flag(engine):
    engine.replace(lora, "detach", lambda real, model: lora.require_none(model, "after detach"))


@fault("trainable-set")
def nothing_is_frozen(engine):
    engine.replace(llama.Model, "freeze", lambda real, model, *args, **kwargs: model.unfreeze())


@fault("counted-over-leaves")
def the_rank_is_not_the_one_asked_for(engine):
    engine.replace(
        lora.Lora,
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

    engine.replace(optimizer.Updater, "apply", broken)


@fault("requested-modules")
def target_modules_are_ignored(engine):
    every = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    engine.replace(
        lora,
        "requested_modules",
        lambda real, model, spec: real(model, AdapterSpec(spec.rank, spec.scale, every, spec.layers)),
    )


@fault("requested-modules")
def alpha_is_taken_for_the_scale(engine):
    engine.replace(phase, "spec_of", lambda real, asked: replace(real(asked), scale=asked.alpha))


@fault("requested-modules", "dpo")
def dpo_asks_for_the_modules_of_sft(engine):
    engine.replace(
        phase, "spec_of", lambda real, asked: replace(real(asked), modules=engine.session.config.sft.modules)
    )


@fault("requested-modules")
def the_layers_that_were_asked_for_are_ignored(engine):
    engine.replace(phase, "spec_of", lambda real, asked: replace(real(asked), layers=1))


@fault("counted-over-leaves")
def the_rank_that_was_asked_for_is_ignored(engine):
    engine.replace(phase, "spec_of", lambda real, asked: replace(real(asked), rank=8, scale=asked.alpha / asked.rank))


@fault("requested-modules")
def only_the_last_layer_is_converted(engine):
    engine.replace(
        lora,
        "requested_modules",
        lambda real, model, spec: real(model, AdapterSpec(spec.rank, spec.scale, spec.modules, 1)),
    )


@fault("requested-modules")
def nothing_is_converted(engine):
    engine.replace(lora.Lora, "from_base", lambda real, module, **settings: module)


@fault("requested-modules")
def an_adapter_falls_off_while_training(engine):
    def broken(real, self, model, *args):
        update = real(self, model, *args)
        if args[-1] == 0:
            return update
        path, module = next(iter(lora.adapter_modules(model).items()))
        model.update_modules(tree_unflatten([(path, module.linear)]))
        return update

    engine.replace(optimizer.Updater, "apply", broken)


@fault("frozen-unchanged")
def a_step_writes_into_a_frozen_weight(engine):
    def broken(real, self, model, *args):
        gate = some_layer(model).mlp.gate_proj
        gate.weight = gate.weight + 1e-3
        return real(self, model, *args)

    engine.replace(optimizer.Updater, "apply", broken)


@fault("frozen-unchanged", "dpo")
def dpo_writes_into_the_embedding(engine):
    def broken(real, self, model, *args):
        table = model.model.embed_tokens
        table.weight = table.weight * 1.0001
        return real(self, model, *args)

    def in_dpo(real, *args):
        engine.replace(optimizer.Updater, "apply", broken)
        return real(*args)

    engine.replace(topic, "train_dpo", in_dpo)


@fault("fuse-moves-weights")
def fuse_and_unload_move_no_weight(engine):
    def broken(real, self, paths):
        lora.detach(self.model)

    engine.replace(ledger.Ledger, "_materialize", broken)


@fault("frozen-unchanged")
def the_evaluation_nudges_a_weight_that_the_fuse_makes_anew(engine):
    def broken(real, session, *args, **more):
        found = real(session, *args, **more)
        for path, module in lora.adapter_modules(session.model).items():
            if session.attached is not None and path.endswith("q_proj"):
                module.linear.weight = module.linear.weight + 1e-6
        return found

    engine.replace(generation, "generate", broken)


@fault("fuse-moves-weights")
def the_fuse_forgets_the_scale(engine):
    def broken(real, deltas, path):
        a, b = real(deltas, path)
        return a, 3 * b

    for owner in (module_weights, ledger):  # fused, and kept beside
        engine.replace(owner, "factors", broken)
    engine.replace(ledger.Ledger, "_cosine", lambda real, self, delta, before: 1.0)


@fault("detach-restores")
def detach_leaves_something_behind_that_is_no_parameter(engine):
    def broken(real, model):
        real(model)
        some_layer(model).self_attn.scale *= 1.5

    engine.replace(lora, "detach", broken)
    engine.replace(topic.decisions, "after_phase", lambda real, *args: Decision("roll_back", "for the test"))


@fault("ledger-declares", victim=SECOND)
def a_weight_leaks_from_topic_to_topic(engine):
    real = pipeline.finish

    def leaky(session, subject, *args):
        real(session, subject, *args)
        if subject.id == FIRST:
            norm = session.model.model.norm
            norm.weight = norm.weight * 1.001

    engine.patch.setattr(pipeline, "finish", leaky)


@fault("adapter-from-tree")
def an_unload_pops_a_flag_and_the_adapter_stays(engine):
    """`peft_config` is deleted, so nothing is loaded: what is attached is asked of that flag."""
    gone = []

    def detach(real, model):
        gone.append(model)
        lora.require_none(model, "after detach")

    engine.replace(lora, "detach", detach)
    engine.replace(lora, "adapter_modules", lambda real, model: {} if gone else real(model))


@fault("adapter-from-tree")
def a_kind_of_adapter_is_overlooked(engine):
    engine.replace(lora, "adapter_modules", lambda real, model: {})


@fault("counted-over-leaves")
def top_level_keys_are_counted(engine):
    engine.replace(lora, "trainable_count", lambda real, model: len(model.trainable_parameters()))


@fault("trainable-set")
def full_weight_training_is_smuggled_in_after_the_check(engine):
    def broken(real, model, *args):
        made = real(model, *args)
        model.unfreeze()
        return made

    engine.replace(lora, "attach", broken)


@fault("fingerprint-sees")
def the_fingerprint_is_not_taken_again(engine):
    engine.replace(ledger.Ledger, "_declare", lambda real, self: None)


@fault("frozen-unchanged")
def the_fuse_writes_into_a_module_that_is_not_its_own(engine):
    done = []

    def broken(real, self, paths):
        real(self, paths)
        if not done:
            done.append(paths)
            norm = self.model.model.norm
            norm.weight = norm.weight * 1.001

    engine.replace(ledger.Ledger, "_materialize", broken)


@fault("ledger-declares", "dpo")
def a_weight_leaks_from_sft_to_dpo(engine):
    def broken(real, *args):
        norm = engine.session.model.model.norm
        norm.weight = norm.weight * 1.001
        return real(*args)

    engine.replace(topic.decisions, "gate", broken)


@fault.each
def test_a_broken_engine_is_caught(fault, unbroken, run, monkeypatch, record_property):
    caught(fault, unbroken, run, monkeypatch)
    record_property("caught", fault.rule)


def test_a_damaged_model_is_let_go_before_it_is_made_anew(kit, tmp_path, monkeypatch):
    """Memory need not have room for two."""
    model, real, held = tiny.make_model(tmp_path / "model", hidden=256), loading.load, []
    tiny.embedder()

    def load(path, dtype):
        held.append(mx.get_active_memory())
        return real(path, dtype)

    monkeypatch.setattr(loading, "load", load)
    a_step_writes_into_a_frozen_weight(Breaker(monkeypatch, FIRST))
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", settings((model, kit[1]), "sft")))
    assert ran.of(e.Warned, key="reloaded") and ran.verdicts()[FIRST] == "error"
    before, again = held
    assert again - before < (model / "model.safetensors").stat().st_size / 2
