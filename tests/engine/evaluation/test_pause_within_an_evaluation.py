"""A pause within an evaluation: what it took is no part of its seconds, nor of what is predicted from them."""

import time

import pytest
import tiny
from breaking import FIRST, SECOND

from engine.contract.journal import events as e
from engine.evaluation import evaluate
from engine.preflight import prediction

LUNCH = 3600.0


def while_a_topic_is_scored(patch: pytest.MonkeyPatch, pause) -> None:
    real = evaluate.evaluate

    def scoring(session, topics, stage, *args, **more):
        if stage == "sft" and topics[0].id == FIRST:
            pause()
        return real(session, topics, stage, *args, **more)

    patch.setattr(evaluate, "evaluate", scoring)


def while_the_first_prediction_is_made(patch: pytest.MonkeyPatch, pause) -> None:
    real = prediction.decode_rate

    def rate(*args):
        pause()
        return real(*args)

    patch.setattr(prediction, "decode_rate", rate)


@pytest.mark.parametrize("moment", [while_a_topic_is_scored, while_the_first_prediction_is_made])
def test_a_pause_is_in_no_evaluation_and_in_no_prediction(kit, tmp_path, monkeypatch, moment) -> None:
    run = tiny.new_run(tmp_path / "run", tiny.settings(*kit, evaluation={"max_tokens": 8}))
    clock, slept = time.perf_counter, [0.0]

    def lunch(_seconds):
        slept[0] += LUNCH
        tiny.ask(run, "back", "resume")

    def pause():
        tiny.ask(run, "away", "pause")
        tiny.ask(run, "meanwhile", "reevaluate", SECOND)

    with monkeypatch.context() as patch:
        moment(patch, pause)
        patch.setattr(time, "perf_counter", lambda: clock() + slept[0])
        patch.setattr(time, "sleep", lunch)
        ran = tiny.train_here(run)
    assert ran.status == 0 and slept[0] == LUNCH and len(ran.of(e.Resumed)) == 1
    assert [event.stage for event in ran.of(e.Evaluated)].count("reevaluated") == 1
    assert all(0 < event.seconds < LUNCH / 2 for event in ran.of(e.Evaluated))
    assert [event.seconds < LUNCH / 2 for event in ran.of(e.Predicted)] == [True, True]
