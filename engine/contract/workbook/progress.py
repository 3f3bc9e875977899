"""What `python -m engine.new` prints while it works, one JSON object a line."""

from msgspec import Struct, json


class Doing(Struct, tag="doing"):
    """Work in progress: `done` of `total`, in `unit`s; a total of 0 is unknown."""

    what: str
    done: int = 0
    total: int = 0
    unit: str = ""


class Said(Struct, tag="said"):
    """A line that stays on the screen."""

    text: str


class People(Struct, tag="people"):
    """The people who wrote, with the number of their messages, most first: somebody has to say who the person is."""

    found: list[tuple[str, int]]


class Ready(Struct, tag="ready"):
    """The end: the files are written."""

    folder: str
    config: str


Progress = Doing | Said | People | Ready
encode = json.Encoder().encode
decode = json.Decoder(Progress).decode
