"""Rows in the forms that people have: each becomes the same conversation, or is refused by its place and its name."""

from pathlib import Path
from typing import Any

import pytest
from curricula import ONE, Course, pair, quiz, turn

from engine.data.templates.chat_template import Message
from engine.data.topic import Topic

USER, ANSWER = ("user", "Who minds it?"), ("assistant", "I do.")
GPT = [{"from": "human", "value": USER[1]}, {"from": "gpt", "value": ANSWER[1]}]
SAID = [turn(*USER), turn(*ANSWER)]
BRIEF = ("system", "Be brief.")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path)


def first(course: Course, **more: Any) -> Topic:
    return course.load(**more).topics[0]


def shown(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages]


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"conversations": GPT}, [USER]),  # ShareGPT
        ({"conversations": [{"from": "system", "value": "Be brief."}, *GPT]}, [BRIEF, USER]),
        ({"conversations": SAID}, [USER]),
        ({"messages": GPT}, [USER]),
        ({"conversation": GPT, "id": "x7"}, [USER]),
        ({"messages": [turn("User", USER[1]), turn("Assistant", "I do.")]}, [USER]),  # capital roles
        ({"messages": [turn("human", USER[1]), turn("model", "I do.")]}, [USER]),
        ({"messages": [turn("developer", "Be brief."), *SAID]}, [BRIEF, USER]),
        ({"messages": [turn("system", ""), *SAID]}, [USER]),
        ({"messages": [turn("system", []), turn("system", "Be brief."), *SAID]}, None),
        ({"messages": [turn("user", [{"type": "text", "text": "Who minds"}, " it?"]), SAID[1]]}, [USER]),
        ({"messages": [SAID[0], turn("assistant", [{"type": "text", "text": "I do."}])]}, [USER]),
        (
            {"messages": '[{"role": "user", "content": "Who minds it?"}, {"role": "assistant", "content": "I do."}]'},
            [USER],
        ),
        ({"messages": [turn("user", "Who"), turn("user", "minds it?"), SAID[1]]}, [("user", "Who\n\nminds it?")]),
        ({"messages": [*SAID, turn("user", "And then?")]}, [USER]),  # a turn after the last answer teaches nothing
        ({"prompt": USER[1], "response": "I do."}, [USER]),
        ({"question": USER[1], "response": "I do."}, [USER]),
        ({"instruction": "Who", "context": "minds it?", "response": "I do."}, [("user", "Who\n\nminds it?")]),
        ({"instruction": "", "input": USER[1], "output": "I do."}, [USER]),
        ({"input": USER[1], "output": "I do."}, [USER]),
        ({"query": USER[1], "answer": "I do."}, [USER]),
        ({"instruction": USER[1], "input": "", "output": "I do.", "history": []}, [USER]),
        (
            {"instruction": USER[1], "output": "I do.", "history": [["Alone?", "Aye."]]},
            [("user", "Alone?"), ("assistant", "Aye."), USER],
        ),
        ({"prompt": SAID[0], "completion": SAID[1]}, [USER]),  # one message in place of a list
        ({"prompt": "\n\nHuman: Who minds it?\n\nAssistant:", "completion": " I do."}, [USER]),
        ({"prompt": USER[1], "completion": "I do.", "label": True}, [USER]),  # KTO
        ({"messages": SAID, "weight": 1, "tool_calls": None}, [USER]),
    ],
)
def test_a_form_of_row_is_the_conversation_that_it_means(
    course: Course, row: dict[str, Any], messages: list[tuple[str, str]] | None
) -> None:
    course.sft.append({"topic": ONE} | row)
    if messages is None:
        assert "content: found a list" in course.refusal() or "expected text" in course.refusal()
        return
    found = first(course).sft[-1]
    assert shown(found.messages) == messages and found.answer == "I do."


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"messages": [turn("user", [{"type": "image_url", "image_url": "x"}]), SAID[1]]},
            "a part of the type 'image_url'",
        ),
        ({"messages": [SAID[0], turn("tool", "5"), SAID[1]]}, "messages[1]: a call of a tool"),
        ({"messages": [SAID[0], turn("assistant", "") | {"tool_calls": [{"id": 1}]}]}, "messages[1]: a call of a tool"),
        ({"messages": [SAID[0], turn("assistant", "I do.") | {"function_call": {"name": "f"}}]}, "a call of a tool"),
        ({"messages": [SAID[0], SAID[1] | {"weight": 0.5}]}, "weight: found 0.5, expected 0 or 1"),
        ({"messages": '[{"role": '}, "messages: found text that begins like JSON but is not valid"),
        (
            {"output": ["I do.", "He does."], "instruction": "Who?"},
            "output: found a list of texts, expected one answer",
        ),
        ({"instruction": "Who?", "output": "I", "history": ["x"]}, "history[0]: question: found nothing"),
    ],
)
def test_a_row_that_is_something_else_is_called_that(course: Course, row: dict[str, Any], words: str) -> None:
    course.sft.insert(2, {"topic": ONE} | row)
    message = course.refusal()
    assert message.startswith(f"{course.folder}/sft.jsonl:3: ") and words in message


@pytest.mark.parametrize(
    "prompt",
    [
        "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n",
        "<s>[INST] Who? [/INST]",
        "### Instruction:\nWho?\n\n### Response:\n",
        "Below is an instruction that describes a task.\n\nWho?",
        "<start_of_turn>user\nWho?<end_of_turn>\n<start_of_turn>model\n",
        "<|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>",
        "<|user|>\nWho?<|end|>\n<|assistant|>\n",
        "USER: Who? ASSISTANT:",
        "<<SYS>>Be brief.<</SYS>> Who?",
    ],
)
def test_a_prompt_that_is_in_a_template_already_is_refused(course: Course, prompt: str) -> None:
    course.sft.insert(2, {"topic": ONE, "prompt": prompt, "completion": "I do."})
    assert "sft.jsonl:3: the prompt has '" in course.refusal() and "a mark of a chat template" in course.refusal()
    course.sft[2] = {"topic": ONE, "messages": [turn("user", prompt), turn("assistant", "I do.")]}
    assert "sft.jsonl:3: the prompt has '" in course.refusal()
    del course.sft[2]
    course.pairs.insert(0, pair(ONE, 99, prompt=prompt))
    assert "preferences.jsonl:1: the prompt has '" in course.refusal()
    del course.pairs[0]
    course.quiz.insert(0, quiz(ONE, 99) | {"question": prompt})
    assert "quiz.jsonl:1: the prompt has '" in course.refusal()


def test_plain_text_about_instructions_is_no_template(course: Course) -> None:
    for text in ("What does [INST] mean?", "Is a ### heading: large?", "The user: who is that?", "a <s> b"):
        course.sft.append({"topic": ONE, "prompt": text, "completion": "I do."})
    assert len(first(course).sft) == 7


# --- marks that say "do not train on this"


def test_answers_and_rows_that_are_not_to_be_trained_are_not(course: Course) -> None:
    never = [SAID[0], SAID[1] | {"weight": 0}]
    course.sft += [
        {"topic": ONE, "messages": never},
        {"topic": ONE, "prompt": "P?", "completion": "Bad.", "label": False},
        {"topic": ONE, "prompt": "P?", "completion": "Bad.", "kto_tag": "false"},
        {"topic": ONE, "prompt": "P?", "completion": "Bad.", "train": 0},
        {"topic": ONE, "messages": [SAID[0], SAID[1] | {"train": False}]},
        {"topic": ONE, "messages": [*never, turn("user", "Sure?"), turn("assistant", "Aye.")]},
        {"topic": ONE, "messages": [*SAID, turn("user", "Sure?"), turn("assistant", "No.") | {"loss": False}]},
    ]
    found = course.load()
    rows = found.topics[0].sft[3:]
    assert [(shown(row.messages), row.answer) for row in rows] == [
        ([USER, ANSWER, ("user", "Sure?")], "Aye."),
        ([USER], "I do."),
    ]
    assert [message.trained for message in rows[0].messages] == [True, False, True]
    assert (found.not_trained, found.rows_reported) == (5, 5)
    assert f"{course.folder}/sft.jsonl:8: not used: label is False, so it is not trained on" in found.warnings
    course.sft.append({"topic": ONE, "text": "Some text of class 0.", "label": 0})
    assert len(first(course).sft) == 6, "beside plain text a label is a class"


def test_fields_that_nobody_reads_are_counted(course: Course) -> None:
    for n, row in enumerate(course.sft[:3]):
        row["id"], row["messages"][0]["name"] = n, "Al"
    course.pairs[0]["score"] = 5
    assert course.load().warnings == (
        f"{course.folder}/sft.jsonl: fields that are not read: 'name of a message' (3), 'id' (3)",
        f"{course.folder}/preferences.jsonl: fields that are not read: 'score' (1)",
    )


# --- pairs


GOOD, BAD = turn("assistant", "Good."), turn("assistant", "Poor.")


@pytest.mark.parametrize(
    "row",
    [
        {
            "chosen": f"\n\nHuman: {USER[1]}\n\nAssistant: Good.",
            "rejected": f"\n\nHuman: {USER[1]}\n\nAssistant: Poor.",
        },
        {
            "conversations": GPT[:1],
            "chosen": {"from": "gpt", "value": "Good."},
            "rejected": {"from": "gpt", "value": "Poor."},
        },
        {"instruction": USER[1], "input": "", "output": ["Good.", "Poor."]},
        {"instruction": USER[1], "input": "", "chosen": "Good.", "rejected": "Poor."},
        {"question": USER[1], "chosen": "Good.", "rejected": "Poor."},
        {"prompt": [SAID[0]], "chosen": GOOD, "rejected": BAD},
        {"prompt": USER[1], "chosen": f"{USER[1]} Good.", "rejected": f"{USER[1]}\nPoor."},  # TRL before 0.9
        {
            "prompt": USER[1],
            "chosen": [SAID[0], GOOD],
            "rejected": [SAID[0], BAD],
            "score_chosen": 9.5,
        },  # UltraFeedback
    ],
)
def test_a_form_of_pair_is_the_prompt_and_answers_that_it_means(course: Course, row: dict[str, Any]) -> None:
    course.pairs.insert(0, {"topic": ONE, "heldout": False} | row)
    found = first(course).pairs[0]
    assert (shown(found.messages), found.chosen, found.rejected) == ([USER], "Good.", "Poor.")


def test_both_sides_may_go_on_for_several_turns(course: Course) -> None:
    more = turn("user", "Sure?")
    rows = [
        {"prompt": [SAID[0]], "chosen": [GOOD, more, GOOD], "rejected": [BAD, more, BAD]},
        {"chosen": [SAID[0], GOOD, more, GOOD], "rejected": [SAID[0], BAD]},
    ]
    course.pairs = [{"topic": ONE, "heldout": False} | row for row in rows] + course.pairs[4:]
    one, two = first(course).pairs
    assert (shown(one.messages), one.chosen, one.rejected) == ([USER], "Good.", "Poor.")
    assert shown(one.chosen_turns) == [("assistant", "Good."), ("user", "Sure?")]
    assert shown(one.rejected_turns) == [("assistant", "Poor."), ("user", "Sure?")]
    assert [len(side.messages) for side in two.sides] == [3, 1] and two.sides[0].since == 1


def test_a_greeting_that_both_answers_repeat_stays(course: Course) -> None:
    course.pairs.insert(
        0, {"topic": ONE, "prompt": "Hello", "chosen": "Hello lad.", "rejected": "Hello Sir.", "heldout": False}
    )
    assert first(course).pairs[0].chosen == "Hello lad."


# --- questions and system messages


def test_a_quiz_in_chat_form_and_with_a_system_message(course: Course) -> None:
    course.quiz[:2] = [
        {"topic": ONE, "messages": [turn("system", "Be brief."), *SAID]},
        {"topic": ONE, "messages": [turn("user", "Alone?"), turn("assistant", "Aye."), *SAID]},
        {"topic": ONE, "prompt": "Which oil?", "completion": "Colza."},
        {
            "topic": ONE,
            "question": "What light?",
            "reference": "A fixed one.",
            "system": "Be brief.",
            "concepts": "oil, wick",
        },
    ]
    found = first(course).questions
    assert [(shown(item.messages), item.reference) for item in found] == [
        ([BRIEF, USER], "I do."),
        ([("user", "Alone?"), ("assistant", "Aye."), USER], "I do."),
        ([("user", "Which oil?")], "Colza."),
        ([BRIEF, ("user", "What light?")], "A fixed one."),
    ]
    assert found[3].concepts == ("oil", "wick")


@pytest.mark.parametrize(
    ("how", "asked", "trained"),
    [
        ("keep", [BRIEF], [BRIEF, USER]),
        ("into_question", [], [("user", "Be brief.\n\nWho minds it?")]),
        ("drop", [], [USER]),
    ],
)
def test_questions_are_asked_as_the_rows_are_trained(course: Course, how: str, asked: Any, trained: Any) -> None:
    for row in (*course.sft[:3], *course.pairs[:4]):
        row["system"] = "Be brief."
    course.sft.append({"topic": ONE, "system": "Be brief.", "messages": SAID})
    found = first(course, system=how)
    assert shown(found.sft[-1].messages) == trained
    assert {tuple(shown(item.before)) for item in found.questions} == {tuple(asked)}
