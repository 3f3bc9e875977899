"""Finds private data in a text by kind: mail addresses, phone, card and account numbers, keys, links with keys."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from stdnum import iban, luhn

Span = tuple[int, int, str]  # start, end, kind
MAIL, PHONE, IBAN, CARD, KEY, LINK = (
    "mail address",
    "phone number",
    "account number",
    "card number",
    "key or password",
    "link with a key",
)
KINDS = (MAIL, PHONE, IBAN, CARD, KEY, LINK)
ADDRESS = re.compile(r"[\w.+%-]+@(?:[\w-]+\.)+[^\W\d_]{2,}")
ACCOUNT = re.compile(r"\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{2,4}){3,8}\b")
DIGITS = re.compile(r"(?<![\w.,])\d(?:[ -]?\d){12,18}(?![\w]|[.,]\d)")
URL = re.compile(r"\bhttps?://\S+", re.IGNORECASE)
URL_KEY = re.compile(
    r"[?&#/](?:[\w-]*(?:token|key|secret|passw|pwd|auth|sig|session|invite|code)[\w-]*)=[^&\s]{6,}", re.IGNORECASE
)
RUN = re.compile(r"[A-Za-z0-9_+/=.~-]{16,}")
SAID = re.compile(
    r"\b(?:password|passwort|passcode|pin|kennwort|contraseña|mot de passe)\b(?: is|:| ist| es| est| =|=) ?"
    r"((?=\S*\d)[^\s\[]\S{3,})",
    re.IGNORECASE,
)
ENTROPY = 3.5  # bits a character: above it, a long run of letters and digits is no word
LEAST_RUN = 20
SEVEN_DIGITS = re.compile(r"(?:\d\D{0,3}){7}")
REGIONS = {  # where people with this language mostly live, for phone numbers without the code of a country
    "ar": "EG SA", "cs": "CZ", "da": "DK", "de": "DE AT CH", "el": "GR", "en": "US GB", "es": "ES MX AR",
    "fa": "IR", "fr": "FR BE CH", "he": "IL", "hi": "IN", "hu": "HU", "it": "IT", "ja": "JP", "ko": "KR", "nb": "NO",
    "nl": "NL BE", "no": "NO", "pl": "PL", "pt": "BR PT", "ro": "RO", "ru": "RU", "sv": "SE", "tr": "TR", "uk": "UA",
    "zh": "CN TW",
}  # fmt: skip


def find(text: str, languages: Sequence[str] = ()) -> list[Span]:
    """Returns what is private in a text, in its order, without overlaps. `languages` tell the form of phone numbers."""
    found: list[Span] = []
    for span in sorted(_all(text, languages), key=lambda span: (KINDS.index(span[2]), span[0])):
        if all(span[1] <= start or end <= span[0] for start, end, _ in found):
            found.append(span)
    return sorted(found)


def redacted(text: str, languages: Sequence[str] = ()) -> tuple[str, Counter[str]]:
    """Returns the text with `[mail address]` and the like instead of what is private, and how often of each kind."""
    kinds: Counter[str] = Counter()
    for start, end, kind in reversed(find(text, languages)):
        text = f"{text[:start]}[{kind}]{text[end:]}"
        kinds[kind] += 1
    return text, kinds


def _all(text: str, languages: Sequence[str]) -> Iterator[Span]:
    if "@" in text:
        yield from ((*match.span(), MAIL) for match in ADDRESS.finditer(text))
    for match in URL.finditer(text):
        if URL_KEY.search(match[0]) or any(_random(run) for run in RUN.findall(match[0].partition("?")[2])):
            yield (*match.span(), LINK)
    if any(letter.isdigit() for letter in text):
        yield from _numbers(text, languages)
    yield from ((*match.span(1), KEY) for match in SAID.finditer(text))
    if RUN.search(text):
        yield from _keys(text)


def _numbers(text: str, languages: Sequence[str]) -> Iterator[Span]:
    for match in ACCOUNT.finditer(text):
        if iban.is_valid(match[0]):
            yield (*match.span(), IBAN)
    for match in DIGITS.finditer(text):
        if luhn.is_valid(re.sub(r"\D", "", match[0])):
            yield (*match.span(), CARD)
    if SEVEN_DIGITS.search(text):
        import phonenumbers

        for region in dict.fromkeys(" ".join(REGIONS.get(code, "") for code in languages).split()) or ["ZZ"]:
            for number in phonenumbers.PhoneNumberMatcher(text, region):
                yield number.start, number.end, PHONE


def _keys(text: str) -> Iterator[Span]:
    for plugin in _plugins():
        for secret in plugin.analyze_string(text):
            start = text.find(secret)
            if secret and start >= 0:
                yield start, start + len(secret), KEY
    links = [match.span() for match in URL.finditer(text)]
    for match in RUN.finditer(text):
        if _random(match[0]) and not any(start <= match.start() < end for start, end in links):
            yield (*match.span(), KEY)


def _random(run: str) -> bool:
    """Tells whether a run of characters looks drawn by chance: long, mixed, and with much information."""
    kinds = sum(any(map(test, run)) for test in (str.isdigit, str.islower, str.isupper))
    if len(run) < LEAST_RUN or kinds < 2 or not any(map(str.isdigit, run)):
        return False
    counts = Counter(run)
    return -sum(n / len(run) * math.log2(n / len(run)) for n in counts.values()) >= ENTROPY


@cache
def _plugins() -> list[Any]:
    """Returns detect-secrets' detectors of keys with a known form."""
    from detect_secrets.plugins import (
        aws,
        basic_auth,
        github_token,
        gitlab_token,
        jwt,
        openai,
        private_key,
        slack,
        stripe,
    )

    return [
        aws.AWSKeyDetector(),
        basic_auth.BasicAuthDetector(),
        github_token.GitHubTokenDetector(),
        gitlab_token.GitLabTokenDetector(),
        jwt.JwtTokenDetector(),
        openai.OpenAIDetector(),
        private_key.PrivateKeyDetector(),
        slack.SlackDetector(),
        stripe.StripeDetector(),
    ]
