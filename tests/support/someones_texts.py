"""Makes texts of an invented person, Nell Okafor, who mends clocks: a WhatsApp export, posts, and a mailbox.

They come from a seed: the same call gives the same bytes. `SIXTY` is a file of short texts of hers, written by hand.
"""

import random
from datetime import datetime, timedelta
from pathlib import Path

SIXTY = Path(__file__).parent / "texts" / "sixty.txt"
PERSON = "Nell Okafor"
FRIENDS = ("Tomas", "Auntie Bee", "Priya")
THINGS = (
    "the mantel clock", "the cuckoo", "the tower clock", "that brass carriage clock", "the grandfather in the hall",
    "my kettle", "the shop window", "the blue bicycle", "the radio", "the cat's collar", "the pocket watch", "the van",
)  # fmt: skip
PARTS = (
    "the spring", "the escapement", "a tooth on wheel three", "the pendulum", "the hinge", "the strike", "the key",
)  # fmt: skip
PLACES = ("the shop", "the market", "the harbour", "chapel street", "your mum's", "the workshop", "the station")
DAYS = ("tomorrow", "on Saturday", "after lunch", "before six", "next week", "tonight", "when the rain stops")
ASKS = (
    "Did you fix {thing}?", "How is {thing} doing?", "Can you come to {place} {day}?", "What was wrong with {thing}?",
    "Are you still at {place}?", "Do you want to eat at {place} {day}?", "Is it true that you sold {thing}?",
    "Who broke {part} this time?", "Should I bring {thing} {day}?", "What do I owe you for {thing}?",
)  # fmt: skip
WHYS = (
    "Mum wants to know before the wedding.", "I walked past {place} and thought of it.",
    "The neighbours are asking about {part}.", "I have nothing else to do {day}.", "Don't laugh, I had a bet on it.",
    "My brother says {part} costs a fortune now.", "I could bring soup to {place}.", "It rained on {thing} all night.",
    "Somebody left {thing} at {place}.", "It's for school.", "The cat sat on {part} again.", "They say it snows {day}.",
    "I am writing a list for {day}.", "No rush, but {thing} stopped.",
)  # fmt: skip
OPENS = ("Mm.", "Well now.", "Patience.", "Listen.", "By my oath.", "Slow down.", "Tick tock.", "No hurry.")
CORES = (
    "{thing} is not broken, it only sulks", "I found {part} under the bench where truth lives",
    "{part} wanted a holiday and I gave it brass polish instead", "I will be at {place} {day}, hands black as a bishop",
    "whoever forced {part} should be made to count to a million", "{thing} ticks like an old dog snores, and I love it",
    "nothing in {place} keeps time but me and the gulls", "I charge for patience and throw {part} in for nothing",
    "bring {thing} {day} if it promises to behave", "{thing} told me the hour twice and lied both times",
    "ask at {place} what they did to {part}", "my eyes are no good for {part} after dark, so {day} it is",
    "I sold {thing} to a man with kind thumbs", "{place} smells of paraffin and gossip again",
    "somebody glued {part}, and glue is for people who never come back", "I dreamt of {part} and woke up cross",
    "{thing} can wait, it has waited since the war", "a drop of oil on {part} and a good talking-to did it",
    "Auntie says {thing} is haunted but it is only dusty", "I would rather walk to {place} than argue with {part}",
    "there was a spider living in {thing} and she had the low notes", "leave {part} alone once it is happy",
    "{day} I am shut, gone to {place} for a spring and a bun", "you owe me nothing for {thing} but a jar of plums",
)  # fmt: skip
CLOSES = (
    "There it is.",
    "Wind it and wait.",
    "That's the long and short hand of it.",
    "Bring biscuits.",
    "Tick on.",
    "",
)
NOTES = ("<Media omitted>", "This message was deleted", "Missed voice call")
SUBJECTS = (
    "Springs",
    "Wood",
    "Customers",
    "The harbour clock",
    "Winter in the shop",
    "Tools",
    "Apprentices",
    "Silence",
)


def chat(messages: int, seed: int = 0) -> str:
    """Returns a WhatsApp export (Android, English) with this number of messages and one line of the program."""
    chance, now = random.Random(seed), datetime(2025, 1, 6, 8, 0)
    lines = [f"{_stamp(now)} - Messages and calls are end-to-end encrypted."]
    friend = FRIENDS[0]
    while len(lines) <= messages:
        now += timedelta(hours=chance.choice((7, 9, 26, 31)))
        friend = chance.choice(FRIENDS)
        for _ in range(chance.randint(1, 4)):
            now += timedelta(minutes=chance.randint(1, 20))
            lines.append(f"{_stamp(now)} - {friend}: {_asks(chance)}")
            if chance.random() < 0.04:
                lines.append(f"{_stamp(now)} - {friend}: {chance.choice(NOTES)}")
            now += timedelta(minutes=chance.randint(0, 9))
            if chance.random() < 0.9:
                lines.append(f"{_stamp(now)} - {PERSON}: {_says(chance)}")
                if chance.random() < 0.3:
                    lines.append(f"{_stamp(now)} - {PERSON}: {_says(chance)}")
    return "\n".join(lines[: messages + 1]) + "\n"


def posts(folder: Path, count: int = 40, seed: int = 0) -> None:
    """Writes this number of Markdown posts into a folder."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        subject = SUBJECTS[number % len(SUBJECTS)]
        paragraphs = [" ".join(_says(chance) for _ in range(chance.randint(3, 5))) for _ in range(chance.randint(2, 3))]
        text = f"---\ntitle: {subject} {number}\ndate: 2025-03-{number % 28 + 1:02d}\n---\n\n# {subject}\n\n"
        (folder / f"post-{number:02d}.md").write_text(text + "\n\n".join(paragraphs) + "\n", encoding="utf-8")


def mailbox(path: Path, size: int, seed: int = 0) -> None:
    """Writes an mbox of at least `size` bytes: Nell's answers among long mails, with quotations and an attachment."""
    chance, now = random.Random(seed), datetime(2020, 1, 6, 8, 0)
    padding = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==\n" * 400
    number = 0
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < size:
            now, friend = now + timedelta(hours=3), chance.choice(FRIENDS)
            number += 1
            ask, ids = _asks(chance), (f"<a{number}@x.example>", f"<b{number}@x.example>")
            file.write(_mail(friend, PERSON, now, ids[0], "", f"{ask}\n\n-- \n{friend}\n", padding))
            now += timedelta(minutes=50)
            own = " ".join(_says(chance) for _ in range(3))
            quoted = f"{own}\n\nOn Monday {friend} wrote:\n> {ask}\n"
            file.write(_mail(PERSON, friend, now, ids[1], ids[0], quoted, ""))


def _mail(writer: str, reader: str, when: datetime, id: str, answers: str, text: str, attached: str) -> str:
    head = (
        f"From {_address(writer)} {when:%a %b %d %H:%M:%S %Y}\nFrom: {writer} <{_address(writer)}>\n"
        f"To: {reader} <{_address(reader)}>\nDate: {when:%a, %d %b %Y %H:%M:%S} +0000\nMessage-ID: {id}\n"
        f"Subject: {'Re: ' if answers else ''}clock {id[2:-11]}\nMIME-Version: 1.0\n"
    )
    head += f"In-Reply-To: {answers}\nReferences: {answers}\n" if answers else ""
    if not attached:
        return f"{head}Content-Type: text/plain; charset=utf-8\n\n{text}\n"
    return (
        f'{head}Content-Type: multipart/mixed; boundary="part"\n\n--part\nContent-Type: text/plain; charset=utf-8\n\n'
        f"{text}\n--part\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n{attached}\n--part--\n\n"
    )


def _address(name: str) -> str:
    return f"{name.casefold().replace(' ', '.')}@x.example"


def _stamp(when: datetime) -> str:
    return f"{when:%d/%m/%Y, %H:%M}"


def _asks(chance: random.Random) -> str:
    return _fill(chance, f"{chance.choice(ASKS)} {chance.choice(WHYS)}")


def _says(chance: random.Random) -> str:
    said = [_fill(chance, core) for core in chance.sample(CORES, chance.randint(1, 2))]
    cores = ". ".join(core[0].upper() + core[1:] for core in said) + "."
    return " ".join(filter(None, (chance.choice(OPENS), cores, chance.choice(CLOSES))))


def _fill(chance: random.Random, form: str) -> str:
    return form.format(
        thing=chance.choice(THINGS), part=chance.choice(PARTS), place=chance.choice(PLACES), day=chance.choice(DAYS)
    )
