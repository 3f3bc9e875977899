"""Broken engines, rules 9 to 14, 19 and 28: losses, references, masks, templates and steps."""

import dataclasses
import math
from collections.abc import Callable

import mlx.core as mx
import tiny
from breaking import FIRST, Breaker, Faults, caught, settings

from engine.adapters import lora
from engine.contract.journal import events as e
from engine.data import batches
from engine.data.forms.row_types import SftRow
from engine.data.templates import chat_template
from engine.data.templates.chat_template import Message
from engine.model.logprobs import Scorer
from engine.pipeline import topic
from engine.training import optimizer
from engine.training.phases import dpo, dpo_reference, phase, sft, validation

fault = Faults()


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

    engine.replace(dpo_reference, "measure", broken)
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
            now = lora.adapter_weights(session.model)
            attached.reference |= {f"{dpo_reference.START}{name}": array for name, array in now.items()}

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

    engine.replace(dpo_reference, "collate", broken)


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
        return chat_template.Example(item.ids[:-1], item.prompt, item.answer_tokens, item.cut)

    engine.replace(chat_template.Renderer, "example", broken)


@fault("one-template")
def another_models_tags_stand_in_the_rows(engine):
    def broken(real, self, messages, *args):
        item = real(self, messages, *args)
        tags = self._encode(f"<start_of_turn>user\n{messages[-1].content}<end_of_turn>\n<start_of_turn>model\n")
        return chat_template.Example((*tags, *item.ids[item.prompt :]), len(tags), item.answer_tokens, item.cut)

    engine.replace(chat_template.Renderer, "example", broken)


@fault("steps-as-planned")
def fewer_rows_than_accumulation_give_no_step(engine):
    def broken(real, rows, batch, accumulation, epochs):
        plan = real(rows, batch, accumulation, epochs)
        return batches.Plan(rows, batch, accumulation, plan.micro_batches, plan.micro_batches // 100)

    engine.replace(sft, "plan_epochs", broken)


@fault("steps-as-planned")
def the_optimizer_changes_nothing(engine):
    engine.replace(optimizer.optimizers.AdamW, "update", lambda real, self, model, gradients: None)


@fault("steps-as-planned", "dpo")
def dpo_has_a_step_size_of_nothing(engine):
    engine.replace(
        optimizer, "learning_rate", lambda real, *args: 0.0 if len(engine.session.ledger.deltas) else real(*args)
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
        return optimizer.tree_map(lambda array: array + math.inf, gradients), values

    engine.replace(sft, "accumulate", broken)


@fault("reference-fixed", "dpo")
def the_reference_is_off_by_as_much_for_both_answers(engine):
    def broken(real, session, *args):
        found = real(session, *args)
        return found | {"chosen": found["chosen"] - 1.0, "rejected": found["rejected"] - 1.0}

    engine.replace(dpo_reference, "measure", broken)


@fault("reference-fixed", "dpo")
def the_reference_of_a_later_pair_follows_the_policy(engine):
    def broken(real, session, attached, *args):
        real(session, attached, *args)
        if attached.phase == "dpo":
            attached.reference |= {"chosen": attached.reference["chosen"] + mx.array([0.0, 1.0])}

    engine.replace(phase, "note_update", broken)


@fault("supervised-exactly")
def each_token_is_predicted_from_itself(engine):
    def broken(real, *args):
        batch = real(*args)
        return dataclasses.replace(batch, gather=batch.gather + 1)

    engine.replace(sft, "collate", broken)


@fault("one-template")
def another_models_tags_stand_in_rows_and_questions_alike(engine):
    def broken(real, self, messages):
        return self._encode(f"<start_of_turn>user\n{messages[-1].content}<end_of_turn>\n<start_of_turn>model\n")

    engine.replace(chat_template.Renderer, "prompt_ids", broken)


@fault("questions-held-out")
def the_quiz_is_trained_on_after_the_audit(engine):
    def broken(real, session, subject, attempt):
        leaked = [SftRow((Message("user", q.question),), q.reference, q.where) for q in subject.questions]
        return real(session, dataclasses.replace(subject, sft=(*subject.sft, *leaked)), attempt)

    engine.replace(topic, "train_sft", broken)


@fault("steps-as-planned")
def a_step_that_is_not_finite_counts_as_one_with_loss_0(engine):
    def broken(real, self, model, gradients, loss, step):
        return optimizer.Update(0.001, 0.0, applied=True) if step == 0 else real(self, model, gradients, loss, step)

    engine.replace(optimizer.Updater, "apply", broken)


@fault("steps-as-planned")
def a_phase_ends_early_although_its_patience_is_not_used_up(engine):
    engine.replace(validation, "over", lambda real, measures, settings: True)


@fault("kept-as-measured")
def the_values_of_the_first_step_are_kept_for_those_of_the_best(engine):
    first = {}

    def broken(real, session):
        return first.setdefault("arrays", real(session))

    engine.replace(validation, "copied", broken)


@fault("validation-reads-only", "dpo")
def held_out_pairs_are_trained_on(engine):
    def broken(real, session, attached, topic, settings, steps):
        found = real(session, attached, topic, settings, steps)

        def held():
            weights = {name: 1.01 * array for name, array in lora.adapter_weights(session.model).items()}
            lora.load_weights(session.model, weights)
            return found.held()

        return dataclasses.replace(found, held=held)

    engine.replace(validation, "of_pairs", broken)


@fault.each
def test_a_broken_engine_is_caught(fault, unbroken, run, monkeypatch, record_property):
    caught(fault, unbroken, run, monkeypatch)
    record_property("caught", fault.rule)


def test_one_step_that_is_not_finite_is_left_out_and_its_rows_are_named(kit, unbroken, tmp_path, monkeypatch):
    seen = []

    def once(real, self, model, gradients, loss, step):
        seen.append(step)
        return real(self, model, gradients, math.nan if len(seen) == 1 else loss, step)

    with monkeypatch.context() as patch:
        Breaker(patch, FIRST).replace(optimizer.Updater, "apply", once)
        ran = tiny.train_here(tiny.new_run(tmp_path / "run", settings(kit, "sft")))
    assert ran.of(e.Failed) == [] and ran.verdicts()[FIRST] == "passed"
    (warned,) = ran.of(e.Warned, key="not-finite")
    assert "sft.jsonl:1" in warned.message and "step 1" in warned.message
    assert ran.adapters() != unbroken["sft"].adapters()
