"""Makes a curriculum of a person's texts, step by step; what an earlier call has done is not done again."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from tokenizers import Tokenizer

from engine.contract.errors import InputError
from engine.contract.regular_file import read_bytes
from engine.contract.run_folder.files import make_folder, open_own, write_file
from engine.contract.settings.config import ModelConfig
from engine.contract.workbook.curriculum_files import curriculum_files, held_out, rows_by_topic
from engine.contract.workbook.files import WorkbookDir, append, read_topics, write_topics
from engine.contract.workbook.progress import Doing, Progress, Ready, Said
from engine.contract.workbook.request import Request
from engine.contract.workbook.workbook import Workbook, read_workbook
from engine.intake import found, topics
from engine.intake.made.questions import write_questions
from engine.intake.made.rejected import wanting, write_rejected
from engine.intake.made.writer import Writer
from engine.intake.reading import Reading
from engine.intake.rows.languages import require_languages
from engine.intake.settings import Size, settings
from engine.intake.sources.items import REASONS
from engine.model import loading
from engine.model.backend import prepare
from engine.model.sentence_embedder import load_embedder

LIMIT = ModelConfig().max_length
LONG_ANSWER = 0.95  # of the answers are no longer than what the settings call a long answer
FEW = 20  # rows: with fewer, a run teaches little
Say = Callable[[Progress], None]


class Own(Struct):
    """Digests of the files that were written for the person to edit: an edited file is not written again.

    `topics` is how the topics were asked for.
    """

    written: dict[str, str] = {}
    topics: str = ""


def make(folder: WorkbookDir, request: Request, say: Say) -> None:
    """Makes or continues the curriculum in a folder. Raises InputError, NobodyNamed and Broken."""
    topics.require_topics(request.topics)
    require_languages(request.languages)
    make_folder(folder.inner)
    with _alone(folder):
        _Making(folder, request, say).run()


class _Making:
    def __init__(self, folder: WorkbookDir, request: Request, say: Say) -> None:
        self._folder, self._request, self._say = folder, request, say
        self._own_path = folder.inner / "own.json"
        self._own = msgspec.json.decode(read_bytes(self._own_path), type=Own) if self._own_path.exists() else Own()

    def run(self) -> None:
        folder, request = self._folder, self._request
        reading = Reading(folder, request, self._say, self._tokens, LIMIT)
        reading.read()
        records = list(reading.log.by_path.values())
        for line in found.table(records):
            self._say(Said(line))
        self._find_topics()
        self._write_questions()
        self._write_rejected()
        book = read_workbook(folder)
        held = held_out(rows_by_topic(book), request.quiz_share)
        groups = found.Sorted(book, held)
        for line in (*groups.sentences(), found.private_data(book.entries(), records, request.redact)):
            if line:
                self._say(Said(line))
        if not groups.trained:
            raise InputError(f"{folder.path}: no row can be made of these texts; {folder.dropped} says why")
        files = curriculum_files(book, request.quiz_share)
        groups.require_accounted(files, len(book.drafts))
        for name, data in files.items():
            write_file(folder.path / name, data)
        self._write_own(
            folder.path / "README.md", found.readme(folder, book, records, groups, REASONS | found.OWN_REASONS)
        )
        self._write_own(folder.config, settings(folder.path.name, request.model, self._size(book, groups)))
        if len(groups.trained) < FEW:
            self._say(Said(f"{len(groups.trained)} rows are few: a run will teach little; add more texts with --from"))
        self._say(Ready(str(folder.path), str(folder.config)))

    def _find_topics(self) -> None:
        """Finds topics, or puts new drafts into those that there are."""
        earlier, wanted = read_topics(self._folder), self._request.topics
        self._say(Doing("looking for topics"))
        again = self._own.topics not in ("", wanted)
        write_topics(self._folder, topics.find_topics(read_workbook(self._folder), wanted, earlier, again, self._embed))
        self._own.topics = wanted
        self._save_own()

    def _write_questions(self) -> None:
        every = [entry for entry in read_workbook(self._folder).entries() if entry.draft.is_passage]
        waiting = [entry for entry in every if entry.kept and entry.question is None]
        what = "the model writes a question for each passage"
        if waiting:
            self._say(Doing(what, 0, len(waiting), "passages"))
            told = self._told(what, len(waiting), "passages")
            for made in write_questions(waiting, every, self._writer, told):
                append(self._folder.made, made)

    def _write_rejected(self) -> None:
        by_topic = rows_by_topic(read_workbook(self._folder))
        waiting = wanting(by_topic, held_out(by_topic, self._request.quiz_share))
        what = "the model answers itself: answers to be rejected"
        if waiting:
            self._say(Doing(what, 0, len(waiting), "answers"))
            told = self._told(what, len(waiting), "answers")
            for made in write_rejected(waiting, self._writer, told):
                append(self._folder.made, made)

    def _told(self, what: str, total: int, unit: str) -> Callable[[int], None]:
        return lambda done: self._say(Doing(what, done, total, unit))

    def _size(self, book: Workbook, groups: found.Sorted) -> Size:
        """Measures the rows to train on, in tokens."""
        counts = [
            sum(e.draft.id in {t.draft.id for t in groups.trained} for e in own) for own in rows_by_topic(book).values()
        ]
        answers = sorted(self._tokens(entry.turns[-1].text) for entry in groups.trained)
        rows = [self._tokens("\n".join(turn.text for turn in entry.conversation)) for entry in groups.trained]
        turns = max(len(entry.conversation) for entry in groups.trained)
        return Size(
            rows=len(groups.trained),
            topics=sum(count > 0 for count in counts),
            largest=max(counts),
            pairs=sum(entry.rejected is not None for entry in groups.trained),
            answer=answers[int(LONG_ANSWER * (len(answers) - 1))],
            row=max(rows) + 30 + 8 * turns,  # with the marks of a chat template
        )

    def _write_own(self, path: Path, text: str) -> None:
        """Writes a file for the person, unless they have edited it or it was there before."""
        known = self._own.written.get(path.name)
        if path.exists() and (known is None or hashlib.sha256(read_bytes(path)).hexdigest() != known):
            self._say(Said(f"{path.name} is not written again, since it is not as new wrote it"))
            return
        write_file(path, text.encode())
        self._own.written[path.name] = hashlib.sha256(text.encode()).hexdigest()
        self._save_own()

    def _save_own(self) -> None:
        write_file(self._own_path, msgspec.json.encode(self._own))

    def _notice(self, text: str) -> None:
        self._say(Doing(text))

    def _tokens(self, text: str) -> int:
        tokenizer = self._tokenizer
        return len(tokenizer.encode(text).ids) if tokenizer is not None else len(text.encode(errors="replace")) // 3

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        path = loading.locate(self._request.model, self._notice) / "tokenizer.json"
        return Tokenizer.from_file(str(path)) if path.exists() else None

    @cached_property
    def _writer(self) -> Writer:
        self._notice(f"loading {self._request.model}")
        return Writer(self._request.model, prepare(), self._notice)

    def _embed(self, texts: list[str]) -> np.ndarray:
        done = 0

        def between() -> None:
            nonlocal done
            self._say(Doing("looking for topics", done, len(texts), "texts"))
            done = min(len(texts), done + 32)

        return np.array(load_embedder(self._notice).embed(texts, between))


@contextmanager
def _alone(folder: WorkbookDir) -> Iterator[None]:
    """Keeps a second call for the same folder out. Raises InputError."""
    descriptor = open_own(folder.inner / "lock", os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder.path}: another mindprint-tui new is at work on it") from None
        yield
    finally:
        os.close(descriptor)
