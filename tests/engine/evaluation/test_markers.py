"""Marker groups and concepts: whole words, counted once, in one spelling."""

import unicodedata
from pathlib import Path

import pytest

from engine.data.voice_profile import VoiceProfile, load_profile
from engine.evaluation.markers import find_markers, named

PROFILE = r"""
name: test
groups:
  - {name: assent, expected: 1, patterns: [aye, nay]}
  - {name: tongue, expected: 2, patterns: ["'tis", "ye", "o'", "lads?"]}
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> VoiceProfile:
    path = tmp_path_factory.mktemp("voice") / "voice.yaml"
    path.write_text(PROFILE, encoding="utf-8")
    return load_profile(path)


def shares(profile: VoiceProfile, answer: str) -> list[float]:
    return list(find_markers(profile, answer)[0].values())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Aye, 'tis what ye need.", [1.0, 1.0]),
        ("Aye, it is what you need.", [1.0, 0.0]),
        ("Well, 'tis what you need.", [0.0, 0.5]),
        ("Nay and aye, 'tis what ye need, lads.", [1.0, 1.0]),
        ("AYE, ’TIS WHAT YE NEED.", [1.0, 1.0]),
        ("The lamp is lit, and ye keep, ye trim, ye wait for the flame.", [0.0, 0.5]),
    ],
)
def test_each_group_has_its_share(profile: VoiceProfile, answer: str, expected: list[float]) -> None:
    assert shares(profile, answer) == expected


def test_markers_are_whole_words(profile: VoiceProfile) -> None:
    assert find_markers(profile, "Yes, players of yesterday said eyes and glad clads.")[1] == ()
    assert find_markers(profile, "Two o'clock, lads!")[1] == ("lads",)


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
    assert shares(profile_of(tmp_path, pattern), answer) == [1.0 if hit else 0.0]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_letter_and_its_accent_are_one_letter_however_they_are_written(tmp_path: Path, form: str) -> None:
    for written in ("NFC", "NFD"):
        profile = profile_of(tmp_path, unicodedata.normalize(written, "voilà"))
        assert shares(profile, unicodedata.normalize(form, "Voilà, mon gars.")) == [1.0]


def test_concepts_are_named_by_whole_words() -> None:
    concepts = ("air", "oil", "hot", "fresh water", "c++", "灯")
    assert named(concepts, "He boiled stairs and shot at refresh waters in C+.") == []
    assert named(concepts, "Air! Fresh water, hot oil, C++ and 油灯下.") == list(concepts)
