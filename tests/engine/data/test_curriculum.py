"""The curriculum: every form of row, every complaint with its place, and no row that goes missing in silence."""

import json
from pathlib import Path
from typing import Any

import pytest
from curricula import COURSE, ONE, TWO, Course, held, pair, quiz, sft, turn, words

from engine.contract.errors import InputError
from engine.contract.settings.config import CurriculumConfig
from engine.data.curriculum import load_curriculum
from engine.data.heldout.leaks import find_leaks
from engine.data.templates.chat_template import Message


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path)


def test_a_plain_course(course: Course) -> None:
    found = course.load()
    assert [topic.id for topic in found.topics] == [ONE, TWO]
    assert (found.rows_read, found.rows_used, found.rows_reported) == (18, 18, 0)
    assert held(found) == 18
    assert found.warnings == ()
    topic = found.topics[1]
    assert (topic.title, topic.unit_title, topic.chapter_title) == ("The oil", "The light", "The lamp")
    assert (topic.info.sft_rows, topic.info.pairs, topic.info.questions) == (3, 4, 2)
    assert topic.questions[0].where == f"{course.folder / 'quiz.jsonl'}:3"


# --- the forms of a row


def test_every_form_of_a_training_row(course: Course) -> None:
    system = {"role": "system", "content": "Be brief."}
    user, answer = {"role": "user", "content": " Q? "}, {"role": "assistant", "content": " A. "}
    course.sft += [
        {"topic": ONE, "messages": [user, answer]},
        {"topic": ONE, "messages": [system, user, answer, {"role": "user", "content": "More?"}, answer]},
        {"topic": ONE, "prompt": "P?", "completion": "C."},
        {"topic": ONE, "prompt": [system, user], "completion": [answer]},
        {"topic": ONE, "instruction": "I?", "output": "O."},
        {"topic": ONE, "instruction": "I?", "input": "", "output": "O2."},
        {"source": ONE, "instruction": "I?", "input": " In. ", "output": "O3."},
        {"topic": ONE, "source": "somewhere else", "instruction": "I?", "input": None, "output": "O4."},
        {"source": ONE, "question": "I?", "answer": "O5."},
        {"topic": ONE, "text": "All of it."},
        {"topic": ONE, "system": " Be brief. ", "prompt": "P?", "completion": "C2."},
        {"topic": ONE, "system": "Be brief.", "instruction": "I?", "output": "O6."},
        {"topic": ONE, "system": " ", "messages": [user, answer | {"content": "A2."}]},
    ]
    rows = course.load().topics[0].sft[3:]
    shown = [([(m.role, m.content) for m in row.messages], row.answer) for row in rows]
    brief = ("system", "Be brief.")
    assert shown == [
        ([("user", "Q?")], "A."),
        ([brief, ("user", "Q?"), ("assistant", "A."), ("user", "More?")], "A."),
        ([("user", "P?")], "C."),
        ([brief, ("user", "Q?")], "A."),
        ([("user", "I?")], "O."),
        ([("user", "I?")], "O2."),
        ([("user", "I?\n\nIn.")], "O3."),
        ([("user", "I?")], "O4."),
        ([("user", "I?")], "O5."),
        ([], "All of it."),
        ([brief, ("user", "P?")], "C2."),
        ([brief, ("user", "I?")], "O6."),
        ([("user", "Q?")], "A2."),
    ]


def test_every_form_of_a_pair(course: Course) -> None:
    user, good = {"role": "user", "content": "P?"}, {"role": "assistant", "content": "Good."}
    bad = {"role": "assistant", "content": "Poor."}
    course.pairs = [
        {"topic": ONE, "prompt": "P?", "chosen": "Good.", "rejected": "Poor.", "heldout": False},
        {"topic": ONE, "prompt": [user], "chosen": [good], "rejected": [bad], "heldout": False},
        {"source": TWO, "prompt": [user], "chosen": "Good.", "rejected": [bad], "heldout": True},
        {"source": TWO, "prompt": "Another?", "chosen": "Good.", "rejected": "Poor."},
        {"topic": ONE, "system": "Be brief.", "prompt": "P?", "chosen": "Good.", "rejected": "Bad.", "heldout": True},
    ]
    found = course.load()
    assert found.topics[0].heldout[0].messages == (Message("system", "Be brief."), Message("user", "P?"))
    first = found.topics[0].pairs
    assert [(p.messages, p.chosen, p.rejected) for p in first] == [((Message("user", "P?"),), "Good.", "Poor.")]
    assert "not used: the same as" in found.warnings[0], "two spellings of one row are one row"
    assert len(found.topics[1].heldout) == len(found.topics[1].pairs) == 1


def test_whole_conversations_carry_their_prompt(course: Course) -> None:
    system, user = turn("system", "Be brief."), turn("user", "P?")
    good, bad = turn("assistant", "Good."), turn("assistant", "Poor.")
    more = [user, good, turn("user", "More?")]
    course.pairs = [
        {"topic": ONE, "chosen": [user, good], "rejected": [user, bad], "heldout": False},
        {"topic": ONE, "chosen": [system, *more, good], "rejected": [system, *more, bad], "heldout": False},
        {"topic": ONE, "prompt": "Q?", "chosen": [turn("user", "Q?"), good], "rejected": [turn("user", "Q?"), bad]},
        {"topic": ONE, "prompt": more, "chosen": [*more, good], "rejected": [*more, bad]},
        pair(TWO, 1),
    ]
    found = course.load().topics[0].pairs
    assert [[(m.role, m.content) for m in p.messages] for p in found] == [
        [("user", "P?")],
        [("system", "Be brief."), ("user", "P?"), ("assistant", "Good."), ("user", "More?")],
        [("user", "Q?")],
        [("user", "P?"), ("assistant", "Good."), ("user", "More?")],
    ]
    assert {(p.chosen, p.rejected) for p in found} == {("Good.", "Poor.")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"rejected": [{"role": "user", "content": "Other?"}, {"role": "assistant", "content": "Poor."}]},
            "one prompt",
        ),
        ({"rejected": [{"role": "user", "content": "P?"}]}, "rejected: expected to end with an assistant"),
        ({"rejected": "Poor."}, "prompt: found nothing"),
        ({"prompt": "Another?"}, "prompt: found 'Another?'"),
        ({"rejected": [{"role": "user", "content": "P?"}, {"role": "user", "content": "Poor."}]}, "rejected: expected"),
    ],
)
def test_conversations_without_one_prompt_are_refused(course: Course, change: dict[str, Any], words: str) -> None:
    user = turn("user", "P?")
    row = {"topic": ONE, "chosen": [user, turn("assistant", "Good.")], "rejected": [user, turn("assistant", "Poor.")]}
    course.pairs.insert(2, row | change)
    message = course.refusal()
    assert message.startswith(f"{course.folder / 'preferences.jsonl'}:3: ") and words in message


def test_blank_lines_windows_lines_and_a_byte_order_mark_are_not_errors(course: Course) -> None:
    course.sft = [b"", b"\xef\xbb\xbf" + json.dumps(sft(ONE, 9)).encode() + b"\r", b"  ", *course.sft, b"\r"]
    found = course.load()
    assert (found.rows_read, len(found.topics[0].sft)) == (19, 4)
    assert found.topics[0].sft[0].where.endswith("sft.jsonl:2")


@pytest.mark.parametrize(
    ("file", "row", "words"),
    [
        ("sft", b"{", ["not a JSON object"]),
        ("sft", b"[1]", ["found a list"]),
        ("sft", b'"text"', ["found a text"]),
        ("sft", b"\xff{}", ["not UTF-8"]),
        ("sft", b"[" * 100_000, ["not a JSON object"]),
        ("sft", {"topic": ONE}, ["found the fields topic", "expected messages"]),
        ("sft", {"topic": ONE, "prompt": "P?"}, ["found the fields prompt, topic"]),
        ("sft", {"topic": ONE, "messages": "hello"}, ["messages", "found a text", "a list of messages"]),
        ("sft", {"topic": ONE, "messages": []}, ["messages", "a list of messages"]),
        ("sft", {"topic": ONE, "messages": ["hello"]}, ["messages[0]", "found a text"]),
        ("sft", {"topic": ONE, "messages": [turn("user"), turn("bot")]}, ["messages[1].role", "'bot'"]),
        ("sft", {"topic": ONE, "messages": [turn("user"), turn(["user"])]}, ["messages[1].role"]),
        (
            "sft",
            {"topic": ONE, "messages": [turn("user"), turn("assistant", "")]},
            ["messages[1]: content", "empty text"],
        ),
        (
            "sft",
            {"topic": ONE, "messages": [turn("user"), turn("assistant", None)]},
            ["messages[1]: content", "nothing"],
        ),
        ("sft", {"topic": ONE, "messages": [turn("assistant")]}, ["messages", "an assistant's answer to a user"]),
        ("sft", {"topic": ONE, "messages": [turn("user")]}, ["messages", "an assistant's answer to a user"]),
        ("sft", {"topic": ONE, "messages": [turn("system"), turn("assistant")]}, ["an assistant's answer to a user"]),
        ("sft", {"topic": ONE, "prompt": "P?", "completion": 5}, ["completion", "found a number"]),
        ("sft", {"topic": ONE, "prompt": "P?", "completion": [turn("user")]}, ["completion", "one assistant message"]),
        ("sft", {"topic": ONE, "prompt": [turn("assistant")], "completion": "C"}, ["prompt", "a user's message"]),
        ("sft", {"topic": ONE, "completion": "C."}, ["prompt", "found nothing"]),
        ("sft", {"topic": ONE, "answer": "A."}, ["question", "found nothing"]),
        ("sft", {"topic": ONE, "text": " "}, ["text", "empty text"]),
        ("sft", {"topic": ONE, "text": "x" * 8_388_609}, ["longer than 8 MB"]),
        ("sft", {"topic": ONE, "instruction": " ", "output": "O."}, ["instruction", "empty text"]),
        ("sft", {"topic": ONE, "instruction": "I?", "input": ["x"], "output": "O."}, ["input", "found a list"]),
        ("sft", {"topic": ONE, "instruction": "I?", "output": "\n"}, ["output", "empty text"]),
        ("sft", {"messages": [turn("user"), turn("assistant")]}, ["topic", "found None"]),
        ("sft", {"topic": True, "prompt": "P?", "completion": "C."}, ["topic", "found True"]),
        ("sft", {"topic": ONE, "system": "S.", "text": "T."}, ["system", "plain text is trained on unchanged"]),
        (
            "sft",
            {"topic": ONE, "system": "S.", "messages": [turn("system"), turn("user"), turn("assistant")]},
            ["system", "already have a system message"],
        ),
        ("sft", {"topic": ONE, "system": 5, "prompt": "P?", "completion": "C."}, ["system", "found a number"]),
        ("sft", {"topic": ONE, "prompt": "who \ud83d", "completion": "C."}, ["prompt: character 5 is half of one"]),
        ("sft", {"topic": ONE, "prompt": "P?", "completion": "\ude00"}, ["completion", "'\\ude00'"]),
        ("sft", {"topic": ONE, "instruction": "I?", "input": "\ud83d", "output": "O."}, ["input: character 1"]),
        ("sft", {"topic": "\ud83d", "prompt": "P?", "completion": "C."}, ["topic: character 1"]),
        ("pairs", pair(ONE, 99, chosen="\ud83d"), ["chosen: character 1"]),
        ("quiz", quiz(ONE, 99) | {"concepts": ["wick", "\ud83d"]}, ["concepts: character 1"]),
        ("quiz", quiz(ONE, 99) | {"system": 5}, ["system: found a number"]),
        ("pairs", {"topic": ONE, "prompt": "P?", "chosen": "C."}, ["rejected", "found nothing"]),
        ("pairs", {"topic": ONE, "chosen": "C.", "rejected": "R."}, ["prompt", "found nothing"]),
        (
            "pairs",
            {"topic": ONE, "prompt": "P?", "chosen": "C.", "rejected": " C. "},
            ["rejected", "same text as chosen"],
        ),
        ("pairs", pair(ONE, 99, heldout="yes"), ["heldout", "'yes'", "true or false"]),
        ("pairs", pair(ONE, 99, heldout=1), ["heldout", "true or false"]),
        ("pairs", pair(ONE, 99, chosen=[turn("user")]), ["chosen", "one assistant message"]),
        ("pairs", pair(ONE, 99) | {"topic": None}, ["topic", "found None"]),
        ("quiz", {"topic": ONE, "question": "Q?"}, ["reference", "found nothing"]),
        ("quiz", {"topic": ONE, "reference": "R."}, ["question", "found nothing"]),
        ("quiz", quiz(ONE, 99) | {"concepts": 5}, ["concepts", "5", "a list of words"]),
        ("quiz", quiz(ONE, 99) | {"concepts": ["wick", ""]}, ["concepts", "a list of words"]),
        ("quiz", quiz(ONE, 99) | {"topic": ""}, ["topic", "''"]),
    ],
)
def test_a_bad_row_is_refused_with_file_line_and_field(course: Course, file: str, row: Any, words: list[str]) -> None:
    rows = getattr(course, file)
    rows.insert(2, row)
    message = course.refusal()
    name = {"sft": "sft", "pairs": "preferences", "quiz": "quiz"}[file]
    assert message.startswith(f"{course.folder / name}.jsonl:3: ")
    for word in words:
        assert word in message
    assert len(message) < 400 + len(str(course.folder))


def test_a_whole_emoji_in_two_escapes_is_one_character(course: Course) -> None:
    course.sft.append(b'{"topic": "%s", "prompt": "P?", "completion": "Aye \\ud83d\\ude00"}' % ONE.encode())
    assert course.load().topics[0].sft[-1].answer == "Aye \U0001f600"


# --- nothing goes missing


def test_system_messages_that_differ_are_said(course: Course) -> None:
    user, answer, system = turn("user", "Q?"), turn("assistant", "A."), turn("system", "Be brief.")
    course.sft += [
        {"topic": ONE, "messages": [user, answer, user, answer, user, answer]},
        {"topic": ONE, "messages": [system, user, answer, user, answer]},
        {"topic": TWO, "messages": [user, answer]},
    ]
    course.pairs.append(pair(ONE, 9, system="Be brief."))
    assert course.load().warnings == (
        f"{ONE}: 2 of 10 rows and pairs have a system message, and not all rows have the same; questions are asked "
        "without one",
    )


def test_orphans_and_duplicates_are_reported_and_the_sums_agree(course: Course) -> None:
    course.sft += [sft("unit-01/chapter-01/topic-77", 1), course.sft[0]]
    course.pairs += [pair("critical/critical/critical", n) for n in range(10)] + [course.pairs[0] | {"heldout": False}]
    course.quiz += [quiz("Unit-01/chapter-01/topic-01", 1), course.quiz[1]]
    found = course.load()
    assert found.rows_read == 18 + 2 + 11 + 2
    assert found.rows_reported == len(found.warnings) == 15
    assert (found.orphans, found.duplicates) == (12, 3)
    assert held(found) == found.rows_used == found.rows_read - found.rows_reported
    folder = course.folder
    assert (
        f"{folder}/sft.jsonl:7: not used: the curriculum has no topic 'unit-01/chapter-01/topic-77'" in found.warnings
    )
    assert f"{folder}/sft.jsonl:8: not used: the same as {folder}/sft.jsonl:1" in found.warnings
    assert f"{folder}/quiz.jsonl:6: not used: the same as {folder}/quiz.jsonl:2" in found.warnings
    orphans = [text for text in found.warnings if "preferences.jsonl" in text and "critical" in text]
    assert [text.split(":")[1] for text in orphans] == [str(n) for n in range(9, 19)]


def test_a_duplicate_is_one_of_the_same_file_and_topic(course: Course) -> None:
    course.sft += [course.sft[0] | {"topic": TWO}]
    assert course.load().rows_reported == 0


# --- held-out pairs


def test_pairs_are_held_out_by_their_flag(course: Course) -> None:
    course.pairs = [pair(ONE, n, heldout=n in (1, 2)) for n in range(4)] + [pair(TWO, n) for n in range(4)]
    first, second = course.load().topics
    assert [p.where[-1] for p in first.heldout] == ["2", "3"]
    assert [p.where[-1] for p in first.pairs] == ["1", "4"]
    assert (len(second.pairs), len(second.heldout)) == (3, 1)
    assert all(p.heldout for p in (*first.heldout, *second.heldout))


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.01, 1), (0.25, 2), (0.5, 4), (0.9, 7)])
def test_the_share_is_held_out_by_hash(course: Course, share: float, expected: int) -> None:
    course.pairs = [pair(topic, n) for topic in (ONE, TWO) for n in range(8)]
    found = course.load(share=share)
    for topic in found.topics:
        assert len(topic.heldout) == expected and len(topic.pairs) == 8 - expected
        assert not {p.where for p in topic.heldout} & {p.where for p in topic.pairs}
    held_first = {p.messages for p in found.topics[0].heldout}
    course.pairs.reverse()
    assert {p.messages for p in course.load(share=share).topics[0].heldout} == held_first, "whatever the order of rows"


def test_the_only_pair_is_trained_on(course: Course) -> None:
    course.pairs = [pair(ONE, 1), pair(TWO, 1)]
    assert [(len(t.pairs), len(t.heldout)) for t in course.load(share=0.9).topics] == [(1, 0), (1, 0)]


# --- what cannot be trained on


def test_a_topic_without_rows_is_refused(course: Course) -> None:
    course.sft = [row for row in course.sft if row["topic"] == ONE]
    assert course.refusal() == f"{course.folder}/sft.jsonl: topic {TWO} has no rows to train on"
    assert len(course.load(only=[ONE]).topics) == 1


def test_a_topic_without_questions_is_refused(course: Course) -> None:
    course.quiz = [row for row in course.quiz if row["topic"] == TWO]
    assert course.refusal() == f"{course.folder}/quiz.jsonl: topic {ONE} has no held-out question"


def test_a_topic_without_pairs_is_refused_where_pairs_are_needed(course: Course) -> None:
    course.pairs = [row for row in course.pairs if row["topic"] == ONE]
    assert f"topic {TWO} has no pair to train on" in course.refusal()
    assert "dpo.when: never" in course.refusal()
    assert course.load(needs_pairs=False).topics[1].pairs == ()
    course.pairs.append(pair(TWO, 1, heldout=True))
    assert f"topic {TWO} has no pair to train on" in course.refusal()


def test_topics_can_be_chosen(course: Course) -> None:
    found = course.load(only=[TWO])
    assert [topic.id for topic in found.topics] == [TWO]
    assert "did you mean 'unit-01/chapter-01/topic-0" in course.refusal(only=["unit-01/chapter-01/topic-03"])
    assert "no topic '../..'" in course.refusal(only=["../.."])


@pytest.mark.parametrize("name", ["sft", "preferences", "quiz"])
def test_a_missing_file_is_named(course: Course, name: str) -> None:
    course.load()
    (course.folder / f"{name}.jsonl").unlink()
    with pytest.raises(InputError, match=rf"{name}\.jsonl: no such file"):
        load_curriculum(CurriculumConfig(str(course.folder)), True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["the file is empty", "expected a mapping"]),
        ("units: []\n", ["no topics"]),
        ("title: x\n", ["units", "is missing"]),
        ("title: x\nunits: [\n", [".yaml:3: cannot be read"]),
        ("units: 2021-13-45\n", ["cannot be read"]),
        (COURSE.replace("units:", "unit:"), ["unit: unknown key", "'units'"]),
        (COURSE.replace("        topics:", "        topcs:"), ["units[0].chapters[0].topcs", "did you mean 'topics'"]),
        (COURSE.replace("id: unit-01", "id: 1"), ["units[0].id", "found 1", "text"]),
        (COURSE.replace("topic-02", "topic-01"), [f"topic {ONE} is listed twice"]),
        (COURSE.replace("topic-02", "../x"), ["topic id", "../x"]),
        (COURSE.replace("topic-02", "Topic 2"), ["topic id", "Topic 2"]),
    ],
)
def test_a_bad_course_is_refused_with_its_file(course: Course, text: str, words: list[str]) -> None:
    course.course = text
    message = course.refusal()
    assert message.startswith(f"{course.folder / 'curriculum.yaml'}:")
    for word in words:
        assert word in message


def test_a_missing_course_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"curriculum\.path: .*nowhere: no such curriculum folder"):
        load_curriculum(CurriculumConfig(str(tmp_path / "nowhere")), True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"curriculum\.path: .*file: a file, and no folder"):
        load_curriculum(CurriculumConfig(str(tmp_path / "file")), True)


@pytest.mark.parametrize("name", ["sft", "preferences", "quiz"])
def test_a_folder_in_place_of_rows_is_called_one(course: Course, name: str) -> None:
    course.load()
    path = course.folder / f"{name}.jsonl"
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=rf"{name}\.jsonl: found a folder, expected a file; curriculum\.{name} can"):
        load_curriculum(CurriculumConfig(str(course.folder)), True)


def test_a_line_that_is_cut_is_told_with_one_place(course: Course) -> None:
    course.sft.append(b'{"topic": "x"')
    assert course.refusal() == (
        f"{course.folder}/sft.jsonl:7: not a JSON object (Expecting ',' delimiter at character 14)"
    )


# --- lengths and leaks


@pytest.mark.parametrize(
    ("length", "warned"), [(44, True), (79, True), (80, False), (100, False), (125, False), (126, True)]
)
def test_rejected_answers_of_another_length_are_warned_of(course: Course, length: int, warned: bool) -> None:
    course.pairs = [pair(ONE, n, chosen="c" * 100, rejected="r" * length, heldout=False) for n in range(2)]
    course.pairs += [pair(ONE, 9, chosen="c" * 10, rejected="r" * 900, heldout=True), pair(TWO, 1)]
    warnings = course.load().warnings
    assert len(warnings) == warned
    if warned:
        assert warnings[0].startswith(f"{ONE}: ") and f"{length / 100:.2f} x" in warnings[0]


LONG = "Cut the wick cold and level, take the black crust off, and nip the two corners before it is lit at dusk."


@pytest.mark.parametrize(
    "variant",
    [
        LONG,
        LONG.upper(),
        LONG.replace(" ", "  ").replace(",", ";"),
        LONG.replace("before it is lit at dusk", "before it is lit at dawn"),
        "Aye. " + LONG,
    ],
)
@pytest.mark.parametrize("where", ["question", "reference", "heldout prompt", "heldout chosen"])
@pytest.mark.parametrize("trained", ["question", "answer", "prompt", "chosen"])
def test_a_leak_is_refused_by_name(course: Course, variant: str, where: str, trained: str) -> None:
    if trained in ("question", "answer"):
        course.sft[1]["messages"][trained == "answer"]["content"] = LONG
    else:
        course.pairs[0] = pair(ONE, 0, heldout=False, **{trained: LONG})
    row = quiz(TWO, 5) | ({where: variant} if where in ("question", "reference") else {})
    course.quiz.append(row)
    if where.startswith("heldout"):
        course.pairs.append(pair(TWO, 55, heldout=True, **{where.split()[1]: variant}))
        course.pairs = [
            row if row["topic"] == ONE or "heldout" in row else row | {"heldout": False} for row in course.pairs
        ]
    source = f"{course.folder}/" + ("sft.jsonl:2" if trained in ("question", "answer") else "preferences.jsonl:1")
    held = f"{course.folder}/" + ("preferences.jsonl:9" if where.startswith("heldout") else "quiz.jsonl:5")
    message = next(find_leaks(course.load().topics))
    assert message.startswith(f"{held}: held out") and f"is trained on at {source};" in message


def test_another_spelling_of_the_same_letters_is_a_leak(course: Course) -> None:
    course.sft[0]["messages"][0]["content"] = "Comment e\u0301teint-on la me\u0300che apre\u0300s le lever du jour?"
    course.quiz[0]["question"] = "Comment \u00e9teint-on la m\u00e8che apr\u00e8s le lever du jour?"
    assert "held out" in next(find_leaks(course.load().topics))


def test_related_rows_are_no_leak(course: Course) -> None:
    course.sft[0]["messages"][0]["content"] = "How do I trim the wick of an oil lamp properly?"
    course.quiz[0]["question"] = "How often should the wick of a lamp be trimmed?"
    assert not list(find_leaks(course.load().topics))


def test_a_question_inside_plain_text_is_a_leak(course: Course) -> None:
    course.sft.append({"topic": ONE, "text": f"{words(1)} {LONG} {words(2)} {words(3)} {words(4)}"})
    assert not list(find_leaks(course.load().topics))
    course.quiz[0]["question"] = LONG
    assert f"is trained on at {course.folder}/sft.jsonl:7" in next(find_leaks(course.load().topics))


def test_a_rejected_answer_is_no_leak_of_the_training_kind(course: Course) -> None:
    course.pairs[0] = pair(ONE, 0, rejected=LONG, heldout=False)
    assert not list(find_leaks(course.load().topics))


def test_only_topics_that_are_trained_can_leak(course: Course) -> None:
    course.sft[0]["messages"][1]["content"] = LONG
    course.quiz[2]["reference"] = LONG
    assert "held out" in next(find_leaks(course.load().topics))
    assert not list(find_leaks(course.load(only=[TWO]).topics))


@pytest.mark.parametrize("held", ["question", "reference", "heldout prompt", "heldout chosen"])
@pytest.mark.parametrize("earlier", ["user", "assistant"])
@pytest.mark.parametrize("where", ["sft", "pairs"])
def test_an_earlier_turn_is_a_leak_too(course: Course, where: str, earlier: str, held: str) -> None:
    turns = [turn("user", words("before")), turn("assistant", words("then"))]
    turns[earlier == "assistant"]["content"] = LONG
    turns += [turn("user", words("now"))]
    if where == "sft":
        course.sft.append({"topic": ONE, "messages": [*turns, turn("assistant", words("at last"))]})
    else:
        sides = {side: [turn("assistant", words(side))] for side in ("chosen", "rejected")}
        course.pairs = [row | {"heldout": False} for row in course.pairs]
        course.pairs.append({"topic": ONE, "prompt": turns, "heldout": False} | sides)
    assert not list(find_leaks(course.load().topics))
    if held.startswith("heldout"):
        course.pairs = [row | {"heldout": row.get("heldout", False)} for row in course.pairs]
        course.pairs.append(pair(TWO, 55, heldout=True, **{held.split()[1]: LONG}))
    else:
        course.quiz.append(quiz(TWO, 5) | {held: LONG})
    source = f"{course.folder}/" + ("sft.jsonl:7" if where == "sft" else "preferences.jsonl:9")
    (message,) = find_leaks(course.load().topics)
    assert f"is trained on at {source};" in message


def test_what_every_row_says_first_is_no_turn(course: Course) -> None:
    course.sft[0]["messages"].insert(0, turn("system", LONG))
    course.quiz[0]["question"] = LONG
    assert not list(find_leaks(course.load().topics))


def test_a_pair_is_not_held_out_where_an_earlier_turn_of_a_row_holds_it(course: Course) -> None:
    course.pairs = [pair(topic, n) for topic in (ONE, TWO) for n in range(4)]
    first = course.load().topics[0].heldout[0]
    turns = [turn("user", first.messages[-1].content), turn("assistant", "Aye, so it is."), turn("user", words("more"))]
    course.sft.append({"topic": TWO, "messages": [*turns, turn("assistant", words("an answer"))]})
    found = course.load()
    assert first.where not in [item.where for item in found.topics[0].heldout] != []
    assert not list(find_leaks(found.topics))
