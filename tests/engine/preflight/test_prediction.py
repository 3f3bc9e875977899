"""The rates that a run measures before it trains."""

from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import tiny
from mlx_lm.tokenizer_utils import load

from engine.data.forms.row_types import SftRow
from engine.data.templates.chat_template import Message, Renderer
from engine.preflight.prediction import forward_rate


def test_a_conversation_whose_last_turns_do_not_fit_is_timed_as_it_is_trained(tmp_path: Path) -> None:
    """The audit accepts such a row as cut if every answer is trained, so the forward pass must take it, too."""
    renderer = Renderer(load(tiny.make_model(tmp_path / "model")))
    turns = (Message("user", "Who minds it?"), Message("assistant", "I do."), Message("user", "Alone?"))
    limit = len(renderer.prompt_ids(turns))
    session = SimpleNamespace(
        config=SimpleNamespace(sft=SimpleNamespace(answers="every", batch=4), model=SimpleNamespace(max_length=limit)),
        renderer=renderer,
        scorer=SimpleNamespace(logps=lambda batch: mx.zeros(batch.supervised)),
    )
    assert forward_rate(session, [SftRow(turns, "Aye.", "sft.jsonl:1")]) > 0
