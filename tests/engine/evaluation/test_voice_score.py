"""The voice score: one answer at a time, claims and not words, and nothing for an answer that is none."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.errors import InputError
from engine.data.voice_profile import VoiceProfile, load_profile
from engine.evaluation.health import health
from engine.evaluation.voice_score import named, score

PROFILE = r"""
name: test
groups:
  - {name: assent, weight: 1.0, expected: 1, patterns: [aye, nay]}
  - {name: tongue, weight: 3.0, expected: 2, patterns: ["'tis", "ye", "o'", "lads?"]}
avoid_penalty: 0.2
avoid: ["it is important", "ensures?"]
distinctions:
  - name: not a machine
    patterns: ["I(?:'m| am) an? (?:AI|machine)", "as an? (?:AI|machine)"]
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> VoiceProfile:
    path = tmp_path_factory.mktemp("voice") / "voice.yaml"
    path.write_text(PROFILE, encoding="utf-8")
    return load_profile(path)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Aye, 'tis what ye need.", 1.0),
        ("Aye, it is what you need.", 0.25),
        ("Well, 'tis what you need.", 0.375),
        ("Well, 'tis what ye need, lad.", 0.75),
        ("Nay and aye, 'tis what ye need, lads.", 1.0),
        ("Well, that is what you need.", 0.0),
        ("AYE, ’TIS WHAT YE NEED.", 1.0),
    ],
)
def test_groups_are_weighted_and_capped(profile: VoiceProfile, answer: str, expected: float) -> None:
    assert score(profile, answer).score == pytest.approx(expected)


def test_a_marker_counts_once_however_often_it_is_said(profile: VoiceProfile) -> None:
    once = score(profile, "The lamp is lit, and ye keep the flame low.")
    often = score(profile, "The lamp is lit, and ye keep, ye trim, ye wait for the flame.")
    assert once.score == often.score == pytest.approx(0.375)
    assert once.components == {"assent": 0.0, "tongue": 0.5}
    assert often.markers == ("ye",)


def test_markers_are_whole_words(profile: VoiceProfile) -> None:
    assert score(profile, "Yes, players of yesterday said eyes and glad clads.").markers == ()
    assert score(profile, "Two o'clock, lads!").markers == ("lads",)


def profile_of(folder: Path, *patterns: str) -> VoiceProfile:
    path = folder / "voice.yaml"
    quoted = ", ".join(f"'{pattern}'" for pattern in patterns)
    path.write_text(f"groups: [{{name: a, patterns: [{quoted}]}}]", encoding="utf-8")
    return load_profile(path)


@pytest.mark.parametrize(
    ("pattern", "answer", "hit"),
    [
        ("啊", "灯是要守着的啊，你说呢。", True),
        ("啊", "OK啊", True),
        ("ですよ", "夜はランプを守るのですよ。", True),
        ("ครับ", "ต้องเฝ้าตะเกียงไว้ครับ", True),
        ("lads?", "守着啊lad，好", True),
        ("lads?", "守着啊glad，好", False),
        ("그래", "그래, 등불을 지켜라.", True),
        ("그래", "그래서 등불을 지켜라.", False),
    ],
)
def test_a_script_without_spaces_has_no_words_to_be_whole(tmp_path: Path, pattern: str, answer: str, hit: bool) -> None:
    assert score(profile_of(tmp_path, pattern), answer).score == (1.0 if hit else 0.0)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_letter_and_its_accent_are_one_letter_however_they_are_written(tmp_path: Path, form: str) -> None:
    for written in ("NFC", "NFD"):
        profile = profile_of(tmp_path, unicodedata.normalize(written, "voilà"))
        assert score(profile, unicodedata.normalize(form, "Voilà, mon gars.")).score == 1.0


def test_concepts_are_named_by_whole_words() -> None:
    concepts = ("air", "oil", "hot", "fresh water", "c++", "灯")
    assert named(concepts, "He boiled stairs and shot at refresh waters in C+.") == []
    assert named(concepts, "Air! Fresh water, hot oil, C++ and 油灯下.") == list(concepts)


def test_the_mean_of_answers_is_not_the_score_of_the_joined_ones(profile: VoiceProfile) -> None:
    first, second = "Aye, keep the lamp lit.", "Trim the wick, for 'tis what ye need."
    mean = (score(profile, first).score + score(profile, second).score) / 2
    assert mean == pytest.approx(0.5)
    assert score(profile, f"{first} {second}").score == 1.0


def test_each_thing_to_avoid_costs_the_same_and_zero_is_the_floor(profile: VoiceProfile) -> None:
    full = "Aye, 'tis what ye need"
    assert score(profile, f"{full}, and it is important.").score == pytest.approx(0.8)
    assert score(profile, f"{full}, and it is important, so ensure it, and ensure it.").score == pytest.approx(0.6)
    bare = score(profile, "It is important to ensure this.")
    assert bare.score == 0.0 and set(bare.violations) == {"It is important", "ensure"}


@pytest.mark.parametrize(
    "answer",
    [
        "I do not think it is important.",
        "Never say it is important.",
        "I don't think it is important, lad.",
        "That shouldn't, lad, ensure it.",
        "I canna say it ensures that.",
    ],
)
def test_what_is_denied_is_not_avoided(profile: VoiceProfile, answer: str) -> None:
    assert score(profile, answer).violations == ()


@pytest.mark.parametrize(
    "answer",
    [
        "I say no. It is important to wait.",
        "I say no; it is important to wait.",
        "No, it is important to wait.",
        "Not one of the men at the harbour knows that it is important.",
        "Never mind that: it is important.",
        "I do not think it is important, but it is important.",
    ],
)
def test_a_negation_reaches_three_words_and_no_further_than_its_clause(profile: VoiceProfile, answer: str) -> None:
    assert score(profile, answer).violations


def test_a_confusion_caps_the_answer_at_nothing_and_is_named(profile: VoiceProfile) -> None:
    for answer in (
        "Aye, 'tis what ye need. I am an AI.",
        "Aye, as a machine I keep 'tis and ye.",
        "No, I'm an AI, aye.",
    ):
        found = score(profile, answer)
        assert found.score == 0.0 and found.violations == ("not a machine",), answer
    assert score(profile, "Aye, 'tis what ye need. I am an AI.").components == {"assent": 1.0, "tongue": 1.0}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Aye. As a machine, I am an AI.", "I am an AI"),
        ("No, I’m an AI, aye.", "I'm an AI"),
        ("As a machine!", "As a machine"),
    ],
)
def test_a_confusion_is_quoted(profile: VoiceProfile, answer: str, said: str) -> None:
    assert score(profile, answer).quotes == {"not a machine": said}
    assert score(profile, "Aye, it is important.").quotes == {}


@pytest.mark.parametrize(
    "answer",
    ["Aye, 'tis not as a machine that ye keep a light.", "Aye, 'tis so, and ye never say I am a machine."],
)
def test_a_confusion_that_is_denied_is_none(profile: VoiceProfile, answer: str) -> None:
    found = score(profile, answer)
    assert (found.score, found.violations) == (1.0, ())


@pytest.mark.parametrize("answer", ["", "   ", "\n\t", "...", "?!", "’", "—"])
def test_an_empty_answer_scores_nothing(profile: VoiceProfile, answer: str) -> None:
    found = score(profile, answer)
    assert (found.score, found.markers, found.violations) == (0.0, (), ())
    assert found.health == health(answer) == "empty"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("", "empty"),
        ("Aye, aye, aye, aye", "repeating"),
        ("Aye, aye, aye, aye, aye, aye, aye, aye, aye", "repeating"),
        ("Keep the lamp lit. " * 5, "repeating"),
        ("ye ye ye ye", "repeating"),
        ("The lamp is " + "or" * 10, "repeating"),
        ("Aye, 'tis " + "e l." * 12, "repeating"),
        ("Aye, 'tis lit ----------------", "ok"),
        ("Ahoy" + "y" * 8 + ", lad.", "ok"),
        ("Aye, aye, lad.", "ok"),
        ("Aye.", "ok"),
        ("To be or not to be, that is the question.", "ok"),
        ("The wick is cut when the lamp is cold, and the lamp is lit when the sun is down.", "ok"),
        ("Trim it.<|im_end|>", "special_tokens"),
        ("<|im_end|>", "special_tokens"),
        ("the " * 3 + "<|im_end|> the the", "special_tokens"),
    ],
)
def test_health(profile: VoiceProfile, answer: str, word: str) -> None:
    special = ("<|im_end|>", "<|endoftext|>", "")
    assert health(answer, special) == word
    found = score(profile, answer, special)
    assert found.health == word
    if word != "ok":
        assert found.score == 0.0 and set(found.components.values()) == {0.0}


def test_special_tokens_are_text_where_nobody_says_what_they_are(profile: VoiceProfile) -> None:
    assert health("Trim it.<|im_end|>") == "ok"


@settings(deadline=None)
@given(
    answer=st.text()
    | st.lists(st.sampled_from("aye 'tis ye lad no I'm an AI it is important . , ensure".split())).map(" ".join)
)
def test_a_score_is_within_its_bounds_whatever_the_answer(profile: VoiceProfile, answer: str) -> None:
    found = score(profile, answer)
    assert 0.0 <= found.score <= 1.0
    assert all(0.0 <= value <= 1.0 for value in found.components.values())
    assert found.health == "ok" or found.score == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", ["the file is a list", "a mapping"]),
        ("", ["the file is empty", "a mapping"]),
        ("lamp", ["the file is a text", "a mapping"]),
        ("name: x\ngroups: [", [".yaml:2: cannot be read"]),
        ("name: x\nname: \0", [".yaml:2: cannot be read"]),
        ("groups: [{name: a}]", ["groups[0].patterns is empty", "a list of patterns"]),
        ("groups: 2021-13-45", ["cannot be read"]),
        ("groups: []", ["groups is empty"]),
        ("name: x", ["groups is empty"]),
        ("groups: aye", ["groups", "a list"]),
        ("groups: [aye]", ["groups[0]", "a mapping"]),
        ("groups: [{name: a, patterns: [x]}]\navoids: [x]", ["unknown key 'avoids'", "did you mean 'avoid'"]),
        ("groups: [{name: a, pattern: [x]}]", ["groups[0]", "unknown key 'pattern'", "did you mean 'patterns'"]),
        ("groups: [{patterns: [x]}]", ["groups[0].name", "a name"]),
        ("groups: [{name: a, patterns: []}]", ["groups[0].expected", "from 1 to its 0 patterns"]),
        ("groups: [{name: a, patterns: x}]", ["groups[0].patterns", "a list of patterns"]),
        ("groups: [{name: a, patterns: [yes]}]", ["groups[0].patterns", "a list of patterns"]),
        ("groups: [{name: a, patterns: ['(']}]", ["groups[0].patterns", "regular expression"]),
        ("groups: [{name: a, patterns: ['x*']}]", ["groups[0].patterns", "'x*'", "empty text"]),
        ("groups: [{name: accuracy, patterns: [x]}]", ["groups[0].name is 'accuracy'", "a name that no score has"]),
        ("groups: [{name: a, patterns: [x]}, {name: voice, patterns: [y]}]", ["groups[1].name is 'voice'"]),
        ("groups: [{name: concepts, patterns: [x]}]", ["groups[0].name is 'concepts'"]),
        (
            "groups: [{name: a, patterns: [x]}, {name: b, patterns: [x]}, {name: a, patterns: [y]}]",
            ["groups[2].name is 'a'", "a name that no other group has"],
        ),
        ("groups: [{name: a, expected: 3, patterns: [x, y]}]", ["groups[0].expected is 3", "from 1 to its 2"]),
        ("groups: [{name: a, expected: true, patterns: [x]}]", ["groups[0].expected is True"]),
        ("groups: [{name: a, weight: 0, patterns: [x]}]", ["groups[0].weight is 0"]),
        ("groups: [{name: a, weight: .nan, patterns: [x]}]", ["groups[0].weight is nan"]),
        ("groups: [{name: a, patterns: [x]}]\navoid_penalty: 2", ["avoid_penalty is 2", "from 0 to 1"]),
        ("groups: [{name: a, patterns: [x]}]\navoid: x", ["avoid is 'x'", "a list of patterns"]),
        ("groups: [{name: a, patterns: [x]}]\navoid: ['[']", ["avoid is", "regular expression"]),
        ("groups: [{name: a, patterns: [x]}]\navoid: ['a)(b']", ["avoid is", "regular expression"]),
        ("groups: [{name: a, patterns: [x]}]\ndistinctions: {a: b}", ["distinctions", "a list"]),
        ("groups: [{name: a, patterns: [x]}]\ndistinctions: [{patterns: [x]}]", ["distinctions[0].name"]),
        ("groups: [{name: a, patterns: [x]}]\ndistinctions: [{name: b}]", ["distinctions[0].patterns"]),
    ],
)
def test_a_bad_profile_is_refused_with_file_and_field(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "voice.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_profile(path)
    assert str(caught.value).startswith(f"{path}:")
    for word in words:
        assert word in str(caught.value)


def test_a_profile_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "voice.yaml").write_bytes(b"name: x\n# caf\xe9\n")
    with pytest.raises(InputError, match=r"voice\.yaml:2: cannot be read: not UTF-8 \(.*0xe9\)"):
        load_profile(tmp_path / "voice.yaml")


def test_a_missing_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"voice\.yaml: no such file; it says what makes the voice"):
        load_profile(tmp_path / "voice.yaml")


def test_a_short_profile_has_defaults(tmp_path: Path) -> None:
    path = tmp_path / "voice.yaml"
    path.write_text("groups: [{name: a, patterns: [x]}]", encoding="utf-8")
    found = load_profile(path)
    assert (found.avoid_penalty, found.avoid, found.distinctions) == (0.15, (), ())
    assert (found.groups[0].weight, found.groups[0].expected, found.name) == (1.0, 1, tmp_path.name)
