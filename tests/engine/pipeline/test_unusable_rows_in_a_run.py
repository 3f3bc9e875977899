"""A run with curriculum.bad_rows: report, on conversations: journal, summary and card say what was left out."""

import json
from pathlib import Path

import pytest
import tiny

from engine.contract.journal import events as e
from engine.data.unusable import UnusableRows
from engine.formats.model_card import card


def test_the_other_rows_are_trained_on_and_the_run_says_so(tmp_path: Path) -> None:
    model, course = tiny.make_model(tmp_path / "model"), tiny.make_curriculum(tmp_path / "course", 1)
    rows = [json.loads(line) for line in (course / "sft.jsonl").read_text().splitlines()]
    topic = rows[0]["topic"]
    talk = [tiny.turn("user", "Cold night, was it?"), tiny.turn("assistant", "Aye it was.")]
    talk += [tiny.turn("user", "How cold?"), tiny.turn("assistant", "Cold as three irons.")]
    empty = [{"topic": topic, "prompt": f"Bad {n}?", "completion": ""} for n in range(300)]
    marked = {"topic": topic, "prompt": "Worse?", "completion": "Aye.", "label": False}
    special = {"topic": topic, "prompt": "Hm?", "completion": "Aye.<|im_end|>"}
    rows += [{"topic": topic, "messages": talk}, *empty, marked, special]
    (course / "sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = tiny.settings(model, course)
    with pytest.raises(UnusableRows) as caught:
        tiny.train_here(tiny.new_run(tmp_path / "refused", config))
    assert len(caught.value.rows) == 300
    config["curriculum"]["bad_rows"] = "report"
    run = tiny.train_here(tiny.new_run(tmp_path / "reported", config))
    assert run.status == 0
    (audited,) = run.of(e.Audited)
    assert (audited.unusable, audited.not_trained, audited.rows_read - audited.rows_used) == (301, 1, 302)
    (said,) = run.of(e.Warned, key="bad-rows")
    assert said.message.startswith("301 rows cannot be used: 300 rows: completion: found empty text, expected text; 1 ")
    started = run.of(e.PhaseStarted, phase="sft")[0]
    assert started.rows == 4, "three rows of one answer, and a conversation of two"
    left = {"orphans": 0, "duplicates": 0, "unusable": 301, "not_trained": 1}
    assert run.told()["rows"] == {"read": 310, "used": 8} | left
    text = card(run.records, "mlx", str(model), 1, "", None, None)
    assert "301 rows could not be used and 1 row were marked not to be trained on: left out." in text
