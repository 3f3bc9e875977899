"""voice.yaml: what is refused, with file and field, and what may be left out."""

from pathlib import Path

import pytest

from engine.contract.errors import InputError
from engine.data.voice_profile import load_profile


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
        ("groups: [{name: style, patterns: [x]}]", ["groups[0].name is 'style'"]),
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


@pytest.mark.parametrize("text", [None, "groups: []", "name: x"])
def test_a_voice_needs_no_markers(tmp_path: Path, text: str | None) -> None:
    """The style is learned: voice.yaml may say nothing of it, or not be there."""
    path = tmp_path / "voice.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    found = load_profile(path)
    assert (found.groups, found.avoid, found.distinctions) == ((), (), ())


def test_a_short_profile_has_defaults(tmp_path: Path) -> None:
    path = tmp_path / "voice.yaml"
    path.write_text("groups: [{name: a, patterns: [x]}]", encoding="utf-8")
    found = load_profile(path)
    assert (found.avoid_penalty, found.avoid, found.distinctions) == (0.15, (), ())
    assert (found.groups[0].weight, found.groups[0].expected, found.name) == (1.0, 1, tmp_path.name)
