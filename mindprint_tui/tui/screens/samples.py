"""The samples screen: answers to each question of one topic, before and after each phase."""

import asyncio

from engine.contract.errors import InputError
from engine.contract.journal.events import Sample, TopicStarted
from engine.contract.journal.judge_file import Judgement, read_judgement
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.feed import Samples
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.tui.screens.base import BaseScreen, bindings
from mindprint_tui.view.pages.samples import plain, questions, sample_lines
from mindprint_tui.view.text import Line, beside, line

PAUSE = (0.005, 0.5)  # seconds between two slices of the journal, and between two checks for new records


class SamplesScreen(BaseScreen):
    """The answers of one topic. It keeps reading the journal while it is open."""

    NAME = "samples"
    BINDINGS = bindings("samples")

    def __init__(self, topic: str) -> None:
        super().__init__()
        self.topic = topic
        self._told: list[Sample | TopicStarted] = []
        self._known: TopicState | None = None  # state of the topic at the last paint
        self.whole = False
        self.question = 0
        self.place = 0
        self._note = ""
        self._judged, self._judge_size = Judgement(), -1

    def on_mount(self) -> None:
        self.run_worker(self._read())

    async def _read(self) -> None:
        run = self.console.run_dir
        if run is None:
            return
        source = Samples(run, self.topic)
        while True:
            found, whole = source.read()
            self._told += found
            if (
                self._news_of_judge(run)
                or found
                or whole != self.whole
                or self.console.state.topics.get(self.topic) is not self._known
            ):
                self.whole = self.whole or whole
                self.paint()
            await asyncio.sleep(PAUSE[whole])

    def _news_of_judge(self, run: RunDir) -> bool:
        """Reads a judge's marks if there are new ones; a file that cannot be read is named in the header."""
        try:
            size = run.judge.stat().st_size
        except OSError:
            return False
        if size == self._judge_size:
            return False
        self._judge_size = size
        try:
            self._judged = read_judgement(run)
        except InputError as error:
            self._note = f"{error}  "
        return True

    def paint(self) -> None:
        topic = self._known = self.console.state.topics.get(self.topic)
        found = questions(self._told)
        self.question = max(0, min(self.question, len(found) - 1))
        title = topic.info.title if topic else self.topic
        count = f"question {self.question + 1} of {len(found)} " if found else ""
        head = line((" answers", "title"), (" · ", "dim"), (title, "bold"))
        right = line((self._note, "accent"), (count, "dim"))
        self.lines("head").show([beside(head, right, self.cells)])
        lines: list[Line]
        if found:
            lines = sample_lines(found[self.question], self.cells - 2, topic.undone if topic else {}, self._judged)
        else:
            text = "No answers yet." if self.whole else "Reading the journal for answers…"
            lines = [line((text, "dim"))]
        self.place = max(0, min(self.place, len(lines) - self.rows))
        end = self.place + self.rows
        shown = lines[self.place : end]
        if len(lines) > end:
            shown[-1] = line((f"↓ {len(lines) - end + 1} more lines", "dim"))
        self.lines("body").show([line(" ", *text) for text in shown])
        self.paint_footer({}, set() if len(found) > 1 else {"question(1)", "question(-1)"})

    def action_question(self, step: int) -> None:
        self.question, self.place, self._note = self.question + step, 0, ""
        self.paint()

    def action_move(self, down: int) -> None:
        self.place += down
        self.paint()

    def action_copy(self) -> None:
        found = questions(self._told)
        self._note = "no answers to copy yet  "
        if found:
            self.app.copy_to_clipboard(plain(found[self.question]))
            self._note = "✓ sent to the terminal's clipboard  "
        self.paint()
