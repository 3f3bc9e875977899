"""Dates and times as chat programs of many countries write them; a whole file tells the order of day and month."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

WORD = r"[^\W\d_]"
MERIDIEM = (
    rf"(?:[AaPp]\.?\s?[Mm]\.?|午前|午後|上午|下午|凌晨|早上|中午|晚上|오전|오후|[صم]|[πμ]\.?μ\.?|ÖÖ|ÖS|"
    rf"SA|CH|de\.?|du\.?|a\.\s?m\.|p\.\s?m\.|पूर्वाह्न|अपराह्न|{WORD}{{1,2}}\.{WORD}{{1,2}}\.)"
)
MONTH = rf"{WORD}{{3,12}}\.?"
NUMBERS = r"\d{1,4}\s?[./\-年년]\s?\d{1,2}\s?[./\-月월]\s?\d{1,4}(?:\s?[日일]|\.)?"
ORDINAL = r"(?:\.|st|nd|rd|th)?"
NAMED = (
    rf"\d{{1,2}}{ORDINAL}[\s\-/](?:de\s)?{MONTH}[\s\-/,]{{1,2}}(?:de\s)?\d{{2,4}}"
    rf"|{MONTH}\s\d{{1,2}}{ORDINAL},?\s\d{{4}}"
)
WEEKDAY = rf"(?:{WORD}{{1,12}}\.?,?\s)?"
DATE = rf"{WEEKDAY}(?:{NUMBERS}|{NAMED})(?:\s?\({WORD}{{1,3}}\)|,?\s[월화수목금토일]요일)?"
ZONE = r"(?:\s?(?:Z|UTC|GMT)?\s?(?:[+-]\d{2}:?\d{2})?)"
TIME = rf"(?:{MERIDIEM}\s?)?\d{{1,2}}[:.h]\d{{2}}(?:[:.]\d{{2}})?(?:[.,]\d{{1,6}})?(?:\s?{MERIDIEM})?{ZONE}"
BETWEEN = rf"(?:T|,?\s{{1,3}}(?:{WORD}{{1,4}}\s)?(?:[-–|]\s)?)"
MONTHS = {  # the first letters of the months, without accents
    1: "jan ene gen янв led sty tam oca styc", 2: "feb fev fév fevr фев úno uno lut hel sub şub",
    3: "mar mär maerz mrz мар bre mac mars",
    4: "apr abr avr апр dub kwi huh nis", 5: "may mai mag maj мая май kve tou mei",
    6: "jun giu juin июн cze kes haz", 7: "jul lug juil июл lip hei tem", 8: "aug ago aou août авг srp sie elo agu",
    9: "sep set сен zar wrz syy eyl", 10: "oct okt ott out окт rij paz lok eki", 11: "nov ноя lis mar kas",
    12: "dec dez dic déc des дек pro gru jou ara",
}  # fmt: skip
BY_MONTH = {word: number for number, words in MONTHS.items() for word in words.split()}
AFTERNOON = re.compile(r"p|午後|下午|晚上|오후|م|μ\.?μ|ös|ch|du|अप", re.I)
FORENOON = re.compile(r"a|午前|上午|凌晨|早上|오전|ص|π|öö|sa|de|पू", re.I)
CLOCK = re.compile(r"(\d{1,2})[:.h](\d{2})(?:[:.](\d{2}))?")
OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})\s*$")
ORDERS = {"dmy": (2, 1, 0), "mdy": (2, 0, 1), "ymd": (0, 1, 2), "ydm": (0, 2, 1)}  # where year, month and day stand
Day = tuple[int, int, int]


@dataclass(slots=True)
class Order:
    """Finds the order of day, month and year from all dates of a file: the one in which they are valid and ascend."""

    seen: int = 0
    valid: Counter[str] = field(default_factory=Counter)
    back: Counter[str] = field(default_factory=Counter)
    twelve_hours: bool = False
    dots: int = 0
    _last: dict[str, datetime] = field(default_factory=dict)
    _date: str = ""

    def note(self, date: str, time: str) -> None:
        """Notes a date of the file, in the file's order."""
        self.twelve_hours |= bool(re.search(r"[ap]\.?\s?m", time, re.I))
        if date == self._date:
            return
        self._date = date
        if (numbers := _numbers(date)) is None:
            return
        self.seen += 1
        self.dots += "." in date
        for order in ORDERS:
            if (day := _day(numbers, order)) is not None:
                self.valid[order] += 1
                self.back[order] += order in self._last and day < self._last[order]
                self._last[order] = day

    @property
    def best(self) -> str:
        """The order: the most valid dates, then the fewest steps back, then the custom of the form."""
        usual = "mdy" if self.twelve_hours and not self.dots else "dmy"
        liked = [usual, "dmy", "mdy", "ymd", "ydm"]
        return min(ORDERS, key=lambda order: (-self.valid[order], self.back[order], liked.index(order)))


def seconds(date: str, time: str, order: str) -> float | None:
    """Returns the seconds since 1970 of a date and a time; None if they are no date."""
    day = _day_of(date, order)
    clock = CLOCK.search(_ascii(time))
    if day is None or clock is None:
        return None
    hour, minute, second = (int(part or 0) for part in clock.groups())
    mark = time[: clock.start()] + " " + time[clock.end() :]
    mark = re.sub(r"\b(?:UTC|GMT|Z)\b", "", mark)
    if hour <= 12 and AFTERNOON.search(mark):
        hour = hour % 12 + 12
    elif hour == 12 and FORENOON.search(mark):
        hour = 0
    if hour > 24 or minute > 59 or second > 60:
        return None
    zone = OFFSET.search(time)
    shift = int(zone[1] + "1") * timedelta(hours=int(zone[2]), minutes=int(zone[3])) if zone else timedelta()
    return (day + timedelta(hours=hour, minutes=minute, seconds=second) - shift).replace(tzinfo=UTC).timestamp()


@lru_cache(256)  # many messages are of one day
def _day_of(date: str, order: str) -> datetime | None:
    """Returns the day that a date names."""
    named = _named(date)
    numbers = None if named else _numbers(date)
    return _day(numbers, order) if numbers else _whole(*named) if named else None


def _ascii(text: str) -> str:
    """Returns a text with the digits of every script as 0 to 9."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


def _numbers(date: str) -> Day | None:
    found = re.findall(r"\d+", _ascii(date))
    return (int(found[0]), int(found[1]), int(found[2])) if len(found) == 3 else None


def _named(date: str) -> Day | None:
    """Returns year, month and day of a date whose month is a word."""
    found = [int(number) for number in re.findall(r"\d+", _ascii(date))]
    month = next((number for word in re.findall(rf"{WORD}+", date) if (number := _month(word))), None)
    if len(found) != 2 or month is None:
        return None
    day, year = found if found[1] > 31 or found[0] <= 31 else reversed(found)
    return year, month, day


def _month(word: str) -> int | None:
    low = word.casefold()
    return next((BY_MONTH[low[:size]] for size in (4, 3) if low[:size] in BY_MONTH), None)


def _day(numbers: Day, order: str) -> datetime | None:
    year, month, day = (numbers[place] for place in ORDERS[order])
    return _whole(year, month, day)


def _whole(year: int, month: int, day: int) -> datetime | None:
    """Returns a day; two digits are of this century, and years of the Thai calendar are counted as ours."""
    year += 2000 if year < 100 else -543 if 2400 < year < 2700 else 0
    if not 1300 <= year <= 2200:
        return None
    try:
        return datetime(year, month, day)
    except ValueError:
        return None
