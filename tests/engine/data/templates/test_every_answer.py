"""Every answer of a conversation is trained on: the tokens that TRL's assistant_only_loss trains, and no others."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from mlx_lm.tokenizer_utils import TokenizerWrapper, load

from engine.contract.errors import InputError
from engine.data.batches import collate
from engine.data.templates.chat_template import Message, Renderer
from engine.model.arrays import integers

FIXTURE = Path(__file__).parents[3] / "fixtures" / "trl_masks.json"
LOOP = "{% for m in messages %}"
CHATML = (
    LOOP + "<|im_start|>{{ m['role'] }}\n{{ BODY }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
USER, FIRST, SECOND = (
    Message("user", "Who minds it?"),
    Message("assistant", "I do."),
    Message("assistant", "Aye, sure."),
)
TALK = (USER, FIRST, Message("user", "Sure?"), SECOND, Message("user", "Alone?"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("model") / "model")


def renderer(folder: Path, template: str, marks: list[str]) -> Any:
    tokenizer = load(folder)._tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": marks, "bos_token": marks[0]})
    tokenizer.chat_template = template
    return Renderer(TokenizerWrapper(tokenizer, eos_token_ids=[tokenizer.convert_tokens_to_ids(marks[-1])]))


def test_the_supervised_tokens_of_forty_conversations_are_those_of_trl(folder: Path) -> None:
    kept = json.loads(FIXTURE.read_text(encoding="utf-8"))
    found = renderer(folder, kept["chat_template"], kept["marks"])
    assert len(kept["rows"]) == 40
    for row in kept["rows"]:
        *before, last = [Message(turn["role"], turn["content"]) for turn in row["messages"]]
        example = found.example(before, last.content, 2048, since=0)
        assert list(example.ids) == row["ids"]
        mask = [int(any(start <= i < stop for start, stop in example.ranges)) for i in range(len(example.ids))]
        assert mask == row["mask"]
        batch = collate([example], found.end_id)
        assert integers(batch.targets) == [token for token, on in zip(row["ids"], row["mask"], strict=True) if on]


def words(found: Any, example: Any) -> list[str]:
    return [found.decode(example.ids[start:stop]) for start, stop in example.ranges]


def test_the_last_answer_alone_and_answers_from_a_turn_on(folder: Path) -> None:
    found = renderer(folder, CHATML.replace("BODY", "m['content']"), ["<|im_start|>", "<|im_end|>"])
    assert words(found, found.example(TALK, "Nay.", 200)) == ["Nay.<|im_end|>"]
    every = ["I do.<|im_end|>", "Aye, sure.<|im_end|>", "Nay.<|im_end|>"]
    assert words(found, found.example(TALK, "Nay.", 200, since=0)) == every
    assert words(found, found.example(TALK, "Nay.", 200, since=2)) == every[1:]
    unmarked = (USER, Message("assistant", "I do.", trained=False), *TALK[2:])
    assert words(found, found.example(unmarked, "Nay.", 200, since=0)) == every[1:]


def test_the_last_turns_of_a_conversation_that_is_too_long_are_cut(folder: Path) -> None:
    found = renderer(folder, CHATML.replace("BODY", "m['content']"), ["<|im_start|>", "<|im_end|>"])
    whole = found.example(TALK, "Nay.", 200, since=0)
    cut = found.example(TALK, "Nay.", whole.prompt, since=0)
    assert cut.cut and cut.ids == whole.ids[: whole.prompt] and words(found, cut) == words(found, whole)[:2]
    within = found.example(TALK, "Nay.", whole.earlier[1][0] + 1, since=0)
    assert within.earlier == (whole.earlier[0], (whole.earlier[1][0], whole.earlier[1][0] + 1))
    with pytest.raises(InputError, match="the prompt has"):
        found.example(TALK, "Nay.", whole.earlier[0][0], since=0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("m['content'] if loop.last or m['role'] == 'user' else '…'", "leaves out an earlier answer"),
        ("m['content'] | upper if m['role'] == 'assistant' and not loop.last else m['content']", "earlier answer"),
        (
            "m['content'] ~ (m['content'] | length if m['role'] == 'assistant' else '')",
            "changes an earlier answer",
        ),
    ],
)
def test_a_template_that_changes_an_earlier_answer_is_refused_with_a_way_out(
    folder: Path, body: str, words: str
) -> None:
    marks = ["<|im_start|>", "<|im_end|>"]
    if "length" in body:
        found = renderer(folder, CHATML.replace("BODY", "m['content']"), marks)
        found.template_arguments = {"chat_template": CHATML.replace("BODY", body)}
    else:
        found = renderer(folder, CHATML.replace("BODY", body), marks)
    with pytest.raises(InputError, match=f"{words}.*sft.answers: last"):
        found.example(TALK, "Nay.", 200, since=0)
    assert found.example(TALK, "Nay.", 200).earlier == ()
