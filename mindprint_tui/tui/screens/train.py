"""The train screen: five panes on one run, and the keys that control it."""

from dataclasses import replace
from typing import cast

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.python_child import python
from mindprint_tui.journal.run_state import Entry, RunState
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.tui.screens.base import BaseScreen, bindings
from mindprint_tui.tui.widgets.lines import Lines
from mindprint_tui.tui.widgets.pane import Pane
from mindprint_tui.view import focus as f
from mindprint_tui.view.footer import why_disabled
from mindprint_tui.view.header import header, second, timing
from mindprint_tui.view.notices import banner, notice
from mindprint_tui.view.panes.adapter import adapter_lines
from mindprint_tui.view.panes.log import lines_since, log_lines
from mindprint_tui.view.panes.loss import loss_lines, loss_title, position
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.panes.topics import topic_lines, window
from mindprint_tui.view.panes.voice import voice_lines, voice_title
from mindprint_tui.view.text import Line, width

WIDE, TALL = 100, 34  # size in cells from which the panes stand side by side
GREYED = ("pause", "skip", "reevaluate", "retry", "keep", "samples", "follow", "log_scale", "stop")
PANES = ("topics", "loss", "adapter", "voice", "log")


class TrainScreen(BaseScreen):
    """The screen of one run.

    `look` has the user's choices: cursor, pane, scroll. Everything else comes from the journal.
    """

    NAME = "train"
    BINDINGS = bindings("train")

    def __init__(self, look: f.Focus) -> None:
        super().__init__()
        self.look = look
        self._topics: dict[str, TopicState] = {}
        self._outline = outline({})
        self._newest: Entry | None = None  # the newest log entry at the last paint

    @property
    def known(self) -> RunState:
        """The state of the run as it should be shown."""
        return f.state_to_show(self.console.state, self.look)

    def compose(self) -> ComposeResult:
        with Container(id="top"):
            yield Lines("head")
            yield Lines("clock")
        yield Lines("second")
        yield Lines("banner")
        with Container(id="columns"):
            with Container(id="left"):
                yield Pane("topics", f.TOPICS)
                yield Pane("voice", f.VOICE)
            with Container(id="right"):
                yield Pane("loss", f.LOSS)
                yield Pane("adapter", f.ADAPTER)
                yield Pane("log", f.LOG)
        yield Lines("notice")
        yield Lines("foot")

    def paint(self) -> None:
        """Paints state, focus and time. A pane redraws only the cells that differ."""
        if not self.is_mounted or not self.size:
            return
        self._hold_log()
        state, live, look, now = self.known, self.console.live, self.look, self.console.now()
        cells = self.size.width
        if state.topics is not self._topics:
            self._topics, self._outline = state.topics, outline(state.topics)
        self._arrange(banner(state, live, look, now, cells))
        clock = timing(state, live, look, self._outline, now, cells >= WIDE)
        room = width(clock)
        if self.lines("clock").size.width != room:
            self.lines("clock").styles.width = room
        self.lines("clock").show([clock])
        self.lines("head").show([header(state, live, look, self._outline, now, cells - room - 1)])
        self.lines("second").show([second(state, look, self._outline, cells)])
        self._paint_topics()
        pane = self._pane("voice")
        self._scroll(pane, voice_lines(state, look, self._outline, pane.cells), voice_title(state, look))
        pane = self._pane("loss")
        pane.frame(loss_lines(state, look, pane.cells, pane.rows), loss_title(state, look))
        pane = self._pane("adapter")
        self._scroll(pane, adapter_lines(state, pane.cells), "Adapter")
        pane = self._pane("log")
        lines, older = log_lines(state, look, pane.cells, pane.rows)
        up, down = "↑ older" if older else "", f"↓ {look.scroll} below" if look.scroll else ""
        pane.frame(lines, "Log", f"{up} {down}".strip() if look.pane == f.LOG else "")
        self.lines("notice").show([notice(state, live, look, now, cells)])
        self._paint_keys()

    def _hold_log(self) -> None:
        """Keeps the visible log lines in place when new lines arrive below them."""
        state, look = self.console.state, self.look
        if look.pane == f.LOG and look.scroll and self._newest is not None:
            added = lines_since(state, self._newest, look, self._pane("log").cells)
            self.look = replace(look, scroll=look.scroll + added)
        self._newest = state.log[-1] if state.log else None

    def _paint_topics(self) -> None:
        state, look, pane = self.known, self.look, self._pane("topics")
        chosen = f.selected(state, look)
        lines = topic_lines(state, self._outline, chosen, pane.cells, pane.rows)
        place, count = self._outline.numbers.get(chosen or "", 0), len(self._outline.numbers)
        counts = f"{place} of {count} · {self._outline.finished} done" if count else ""
        pane.frame(lines, "Topics" if look.topic is None else "Topics · not following", counts)

    def _paint_keys(self) -> None:
        state, live = self.known, self.console.live
        off = {action for action in GREYED if why_disabled(action, state, live, self.look)}
        words = {"pause": "resume"} if state.paused is not None else {}
        self.paint_footer(words, off)

    def _scroll(self, pane: Pane, lines: list[Line], title: str) -> None:
        chosen = pane.number == self.look.pane
        first = pane.scroll_lines(lines, self.look.scroll if chosen else 0, title)
        if chosen and first != self.look.scroll:
            self.look = replace(self.look, scroll=first)

    def _arrange(self, loud: list[Line]) -> None:
        """Arranges the panes side by side, or only the topics and the chosen pane if the screen is small.

        Shows the banner if it has lines.
        """
        narrow = self.size.width < WIDE or self.size.height < TALL
        pane = self.look.pane
        side = "-left" if pane in (f.TOPICS, f.VOICE) else "-right"
        wanted = {"-narrow", f"-{PANES[pane - 1]}", side} if narrow else set()
        for name in ("-narrow", "-left", "-right", *(f"-{name}" for name in PANES)):
            self.set_class(name in wanted, name)
        for number, name in enumerate(PANES, 1):
            self._pane(name).active = number == pane
        broken = self.console.state.broken > 0
        self._pane("adapter").broken = broken
        self._pane("adapter").set_class(broken, "-broken")
        shout = self.lines("banner")
        shout.display = bool(loud)
        shout.styles.height = max(1, len(loud))
        shout.show(loud)

    def _pane(self, id: str) -> Pane:
        return cast(Pane, self.lines(id))

    def change(self, **changes: object) -> None:
        """Changes fields of `look` and paints at once."""
        self.look = replace(self.look, **changes)  # type: ignore[arg-type]  # fields of Look by name
        self.paint()

    def say(self, text: str) -> None:
        """Shows a message to the user for a few seconds."""
        self.change(note=text, note_t=self.console.now())

    async def on_key(self, event: events.Key) -> None:
        """Handles keys as text while a question is open or the filter is typed."""
        look = self.look
        if not look.asking and not look.typing:
            return
        event.stop()
        event.prevent_default()
        if look.asking:
            self.change(asking="", doubted=None)
            if event.key in ("y", "Y"):
                self.console.ask(look.asking, look.doubted)
            else:
                self.say("the run goes on")
        elif event.key in ("enter", "escape"):
            self.change(typing=False, filter=look.filter if event.key == "enter" else "")
        elif event.key == "backspace":
            self.change(filter=look.filter[:-1])
        elif event.character is not None and event.is_printable:
            self.change(filter=look.filter + event.character)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (self.look.asking or self.look.typing)

    def _may(self, action: str) -> bool:
        reason = why_disabled(action, self.known, self.console.live, self.look)
        if reason:
            self.say(f"{action.replace('reevaluate', 're-evaluate').replace('_', ' ')}: {reason}")
        return not reason

    def _ask(self, action: str, kind: str) -> None:
        if self._may(action):
            self.console.ask(kind, None if action == "pause" else f.selected(self.console.state, self.look))

    def action_pause(self) -> None:
        self._ask("pause", "resume" if self.known.paused is not None else "pause")

    def action_skip(self) -> None:
        """Asks the engine to skip the chosen topic.

        A skip of the running topic throws work away, so the user must confirm it first.
        """
        state = self.console.state
        chosen = f.selected(state, self.look)
        if chosen is None or chosen != state.current:
            self._ask("skip", "skip")
        elif self._may("skip"):
            self.change(asking="skip", doubted=chosen)

    def action_reevaluate(self) -> None:
        self._ask("reevaluate", "reevaluate")

    def action_retry(self) -> None:
        self._ask("retry", "retry")

    def action_keep(self) -> None:
        self._ask("keep", "keep")

    def action_stop(self) -> None:
        if self._may("stop"):
            self.change(asking="stop")

    def action_follow(self) -> None:
        if self._may("follow"):
            self.change(topic=None)

    def action_samples(self) -> None:
        topic = f.selected(self.console.state, self.look)
        if self._may("samples") and topic is not None:
            from mindprint_tui.tui.screens.samples import SamplesScreen

            self.app.push_screen(SamplesScreen(topic))

    def action_vote(self) -> None:
        run = self.console.run_dir
        if run is None or not self._may("vote"):
            return
        try:
            status = self.console.run_outside(python("mindprint_tui", "vote", run.name, "--logs", str(run.path.parent)))
        except OSError as error:
            self.say(f"vote could not be started: {error.strerror}")
            return
        if status:
            self.say(f"vote ended with status {status}; the reason: mindprint-tui vote {run.name}")

    def action_filter(self) -> None:
        self.change(typing=True, pane=f.LOG, scroll=0)

    def action_log_scale(self) -> None:
        if self._may("log_scale"):
            self.change(log_scale=not self.look.log_scale)

    def action_earlier(self) -> None:
        if self._may("earlier"):
            self._turn(-1)

    def action_later(self) -> None:
        if self._may("later"):
            self._turn(1)

    def _turn(self, step: int) -> None:
        """Shows the curve of another phase. At the latest phase the pane follows the run again."""
        phases = self.console.state.phases
        turned = max(0, position(self.console.state, self.look) + step)
        self.change(curve=phases[turned].number if turned < len(phases) - 1 else None)

    def action_pane(self, number: int) -> None:
        self.change(pane=number, scroll=0)

    def action_next_pane(self) -> None:
        self.change(pane=self.look.pane % len(PANES) + 1, scroll=0)

    def action_runs(self) -> None:
        self.console.show_runs()

    def action_back(self) -> None:
        self.change(seen=self.console.state.failed, filter="")

    def action_move(self, down: int) -> None:
        if self.look.pane == f.TOPICS:
            self._move_cursor(down)
        elif self.look.pane == f.LOG:
            self.change(scroll=min(max(0, self.look.scroll - down), self._log_length()))
        else:
            self.change(scroll=max(0, self.look.scroll + down))

    def action_page(self, direction: int) -> None:
        """Moves one page: the lines of the chosen pane minus one.

        Among the topics, rows of units and chapters count as lines too.
        """
        step = max(1, self._pane(PANES[self.look.pane - 1]).rows - 1)
        if self.look.pane == f.TOPICS:
            rows = self._outline.rows
            cursor = self._outline.places.get(f.selected(self.console.state, self.look) or "", 0)
            passed = rows[cursor + 1 : cursor + 1 + step] if direction > 0 else rows[max(0, cursor - step) : cursor]
            step = max(1, sum(row.kind == "topic" for row in passed))
        self.action_move(direction * step)

    def _log_length(self) -> int:
        pane = self._pane("log")
        everything = replace(self.look, scroll=10**6)
        lines, _ = log_lines(self.console.state, everything, pane.cells, 10**6)
        return max(0, len(lines) - pane.rows)

    def _move_cursor(self, down: int) -> None:
        topics = [row.id for row in self._outline.rows if row.kind == "topic"]
        if topics:
            place = self._outline.numbers.get(f.selected(self.console.state, self.look) or "", 1) - 1
            self.change(topic=topics[min(max(0, place + down), len(topics) - 1)])

    @on(Lines.Clicked)
    def choose(self, event: Lines.Clicked) -> None:
        if not isinstance(event.lines, Pane):
            return
        self.change(pane=event.lines.number, scroll=0 if event.lines.number != self.look.pane else self.look.scroll)
        if event.lines.number == f.TOPICS:
            rows = self._outline.rows
            cursor = self._outline.places.get(f.selected(self.console.state, self.look) or "", 0)
            place = window(len(rows), event.lines.rows, cursor) + event.y - 1
            if 0 <= place < len(rows) and rows[place].kind == "topic":
                self.change(topic=rows[place].id)
