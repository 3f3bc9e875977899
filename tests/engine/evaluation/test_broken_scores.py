"""Broken engines, rules 15 to 20, 25, 26 and 29: exceptions, scores, attempts and what is committed."""

import dataclasses

import mlx.core as mx
import tiny
from breaking import Faults, caught
from msgspec.structs import replace

from engine.adapters import deltas, ledger, lora
from engine.contract.journal import events as e
from engine.evaluation import decoding, evaluate, generation
from engine.pipeline import run as pipeline
from engine.pipeline import topic
from engine.runtime.recorder import Recorder
from engine.training.phases import dpo_reference, sft

fault = Faults()


@fault(None)
def a_phase_raises(engine):
    def broken(real, logps):
        raise ZeroDivisionError("a call that does not exist")

    engine.replace(sft, "sft_loss", broken)


@fault(None, "dpo")
def dpo_raises(engine):
    def broken(real, *args):
        raise ZeroDivisionError("a call that does not exist")

    engine.replace(dpo_reference, "measure", broken)


@fault(None)
def the_disk_is_full_when_the_ledger_is_written(engine):
    def broken(real, self, folder):
        raise ZeroDivisionError("as good as a full disk")

    engine.replace(ledger.Ledger, "save", broken)


@fault(None)
def the_evaluation_raises(engine):
    def broken(real, *args, **more):
        raise ZeroDivisionError("in the middle of an evaluation")

    engine.replace(generation, "generate", broken)


@fault("exception-ends-phase")
def the_exception_becomes_success_false_and_nobody_reads_it(engine):
    def raises(real, logps):
        raise ZeroDivisionError("a call that does not exist")

    engine.replace(sft, "sft_loss", raises)
    engine.replace(topic, "train_sft", swallow(engine))


@fault("exception-ends-phase", "dpo")
def a_broken_rule_is_swallowed(engine):
    def raises(real, *args):
        raise ZeroDivisionError("in the middle of a check")

    engine.replace(dpo_reference, "check", raises)
    engine.replace(topic, "train_dpo", swallow(engine))


def swallow(engine):
    def broken(real, *args):
        try:
            return real(*args)
        except Exception:  # noqa: BLE001 - the fault itself
            return engine.session.attached

    return broken


@fault("score-is-measured")
def a_failed_evaluation_becomes_0(engine):
    def broken(real, session, topics, stage, *args, **more):
        nothing = evaluate.Evaluated(topics[0].id, stage, 0.0, 0.0, 0.0, {}, None, "ok", 0.0)
        return {topics[0].id: nothing}

    engine.replace(evaluate, "evaluate", broken)


@fault("score-is-measured")
def an_accuracy_is_no_number(engine):
    engine.replace(evaluate, "_cosines", lambda real, session, questions, answers: [float("nan")] * len(answers))


@fault("score-is-measured")
def another_model_was_scored(engine):
    def broken(real, *args):
        return replace(real(*args), model_fingerprint="0123456789abcdef")

    engine.replace(evaluate, "_summarize", broken)


@fault("score-is-measured")
def the_adapter_is_off_while_its_model_answers(engine):
    def broken(real, session, *args, **more):
        scales = [(module, module.scale) for module in lora.adapter_modules(session.model).values()]
        for module, _ in scales:
            module.scale = 0.0
        found = real(session, *args, **more)
        for module, scale in scales:
            module.scale = scale
        return found

    engine.replace(evaluate, "evaluate", broken)


@fault("attempt-has-steps")
def a_retry_retries_nothing(engine):
    engine.replace(pipeline, "train_topic", lambda real, *args: ("passed", "as it was before"))


@fault("scored-per-answer")
def markers_are_counted_over_all_answers_together(engine):
    engine.replace(evaluate, "_summarize", lambda real, *args: replace(real(*args), voice=1.0))


@fault("scored-per-answer")
def an_empty_answer_scores_a_fifth(engine):
    def broken(real, *args):
        sample = real(*args)
        return replace(sample, answer="", scores={**sample.scores, "voice": 0.2})

    engine.replace(evaluate, "_sample", broken)


@fault("answers-journaled")
def answers_are_thrown_away(engine):
    def broken(real, self, event, **settings):
        return None if event.kind == "sample" else real(self, event, **settings)

    engine.replace(Recorder, "say", broken)


@fault("stop-as-counted")
def a_cut_answer_says_that_it_ended(engine):
    engine.replace(generation, "Answer", lambda real, text, tokens, stop: real(text, tokens, "eos"))


@fault("stop-as-counted")
def a_temperature_is_used_that_nobody_asked_for(engine):
    def unlikeliest(logits):
        return mx.argmin(logits, axis=-1)

    engine.replace(
        decoding, "BatchGenerator", lambda real, *args, **more: real(*args, **more | {"sampler": unlikeliest})
    )


@fault("committed-on-disk")
def another_adapter_is_written_than_was_trained(engine):
    def broken(real, folder, delta, layers):
        nothing = {name: mx.zeros_like(array) for name, array in delta.weights.items()}
        real(folder, dataclasses.replace(delta, weights=nothing), layers)

    engine.replace(deltas, "save_delta", broken)


@fault("committed-on-disk")
def the_ledger_is_not_written(engine):
    engine.replace(ledger.Ledger, "save", lambda real, self, folder: None)


@fault("committed-on-disk", "dpo")
def the_ledger_is_written_too_early(engine):
    def broken(real, self, folder):
        last = self.deltas.pop()
        real(self, folder)
        self.deltas.append(last)

    def in_dpo(real, *args):
        engine.replace(ledger.Ledger, "save", broken)
        return real(*args)

    engine.replace(topic, "train_dpo", in_dpo)


@fault.each
def test_a_broken_engine_is_caught(fault, unbroken, run, monkeypatch, record_property):
    caught(fault, unbroken, run, monkeypatch)
    if fault.rule is None:
        (failed,) = tiny.Ran(run).of(e.Failed)
        assert "ZeroDivisionError" in failed.message and "ZeroDivisionError" in failed.traceback
    record_property("caught", fault.rule or "exception-ends-phase")
