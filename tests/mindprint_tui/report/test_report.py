"""The report: one page, nothing loaded, nothing obeyed, true numbers, and bounded however long the run was."""

import math
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import make
import pytest
from click.testing import CliRunner
from golden import put
from msgspec.structs import replace

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from mindprint_tui.cli import cli
from mindprint_tui.journal.loss_curve import Series
from mindprint_tui.report import head, page
from mindprint_tui.report.checks import Check, RunFacts, checks
from mindprint_tui.report.figures import COLUMNS, curve
from mindprint_tui.report.gather import DETAILED, ReportContents, gather
from mindprint_tui.votes.vote_file import Side, Vote, append

Story = Callable[[str], RunDir]
TAGS = set(
    """html head meta title style body header main section h1 h2 h3 h4 p span b a dl dt dd div table thead tbody tr th
    td svg line circle path text figure figcaption details summary ul ol li code pre mark""".split()
)
HTML = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='x' {{ 7*7 }} &amp;"


class Page(HTMLParser):
    """What a browser would see: tags, attributes, the text outside of styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def seen(run: RunDir) -> Page:
    text = page.render(gather(run))
    found = Page(text)
    assert found.open == []
    assert found.tags <= TAGS, found.tags - TAGS
    for name, value in found.attributes:
        assert not name.startswith("on") and name not in ("src", "style", "action"), name
        assert name != "href" or (value or "").startswith("#t-"), value
    assert "url(" not in text and "@import" not in text
    assert "default-src 'none'" in text
    return found


def ending(records: list[Record], *events: e.Event) -> list[Record]:
    return [*records, *(Record(len(records) + place, records[-1].t, event) for place, event in enumerate(events))]


def written(tmp_path: Path, records: list[Record]) -> RunDir:
    return put(tmp_path / "made", records)


@pytest.mark.parametrize("name", ["happy", "finished", "not-a-number", "rolled-back", "restarted", "hostile"])
def test_every_story_is_a_page_that_loads_nothing(story: Story, name: str) -> None:
    found = seen(story(name))
    assert name in found.text


def test_scores_decisions_answers_settings_and_versions_are_there(story: Story) -> None:
    text = seen(story("happy")).text
    for words in (
        "2 of 6", "0.08 → 0.71 → 0.78", "accuracy 0.55, voice 0.78; needed 0.5 and 0.6", "12 of 12", "14 of 24",
        "keep voice 0.71 -> 0.78, held-out margin +0.31", "run dpo accuracy 0.52 >= 0.5 and voice 0.71 < 0.75",
        "What is done at dusk?", "Light it, lass.", "Reference", "Before", "After SFT", "After DPO",
        "min_fuse_cosine 0.99", "dpo_trigger 0.75", "mlx 0.32.2", "smollm2-135m-instruct, 134,515,008 parameters",
        "737,280, expected 737,280", "90: q, v, o in 30 layers", "cosine 0.999900, KL 2.0e-9", "needs 0.60",
    ):  # fmt: skip
        assert words in text, words
    assert "running" in text and "its engine is gone" in text


def test_markers_are_marked_where_they_stand_as_words(story: Story) -> None:
    found = page.render(gather(story("happy")))
    assert '<mark class="good">Aye</mark>, the lamp is lit, sft. <mark class="good">&#39;Tis</mark> the way.' in found


def test_html_in_the_data_is_text(tmp_path: Path) -> None:
    story = make.Story(HTML, 2)
    story.open(lambda number: HTML)
    story.base(answers=False)
    topic = make.topic_id(0)
    story.say(e.TopicStarted(topic, 1, 2))
    story.phase(0, "sft", 3)
    story.say(e.Sample(topic, "sft", HTML, HTML, HTML + "Aye", 9, "eos", (HTML, "aye"), (HTML,), {HTML: 1.0}))
    story.say(e.Evaluated(topic, "sft", 0.5, 0.3, 0.4, {HTML: 0.5}, None, "ok", 1.0))
    story.decide(0, "keep", HTML)
    story.say(e.Warned(HTML, HTML, 1))
    story.say(e.Failed(HTML, HTML, HTML, topic, "sft", HTML))
    story.say(e.TopicFinished(topic, "error", HTML, 1.0))
    run = written(tmp_path, story.records)
    assert seen(run).text.count("{{ 7*7 }} &amp;") >= 14


def test_nothing_in_the_page_could_be_obeyed_by_a_terminal(story: Story) -> None:
    text = page.render(gather(story("hostile")))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    text.encode()


def test_a_curve_has_a_point_a_step_and_no_void_ones(story: Story) -> None:
    found = gather(story("restarted"))
    loss = found.details[make.topic_id(1)].phases["sft"].loss
    assert sorted(loss.buckets) == list(range(14))  # steps 1 to 10 from before, 11 to 14 from after
    assert curve(loss).line.count("L") == 13
    assert found.tally.optimizer_steps == 12 + 14


def test_a_long_curve_keeps_its_spike_and_its_nan() -> None:
    points = [(seq, seq + 1, 1.0) for seq in range(50_000)]
    points[30_000] = (30_000, 30_001, 80.0)
    points[40_000] = (40_000, 40_001, math.nan)
    drawn = curve(Series(50_000).add(points))
    assert drawn.line.count("L") < COLUMNS
    heights = [float(y) for _, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", drawn.band)]
    assert min(heights) < 30 and max(heights) > 120 and len(drawn.bad) == 1


def test_what_was_not_finite_is_marked(story: Story) -> None:
    found = seen(story("not-a-number"))
    assert "×" in found.text and "finite-loss" in found.text and "not finite 1 of 28" in found.text


def test_what_was_rolled_back_is_struck_out(story: Story) -> None:
    text = page.render(gather(story("rolled-back")))
    assert '<span class="value preference back">0.02</span>' in text
    assert "⟲ DPO" in text and "repetitive" in text and "cut at the token limit" in text


def check_of(records: list[Record], rule: str) -> Check:
    tally = RunFacts()
    tally.take(records)
    return next(check for check in checks(tally) if rule in check.rule)


def test_the_engine_s_word_on_a_rule_is_shown_with_its_last_number() -> None:
    records = make.finished()
    fuse = check_of(records, "The sentence of no-stacked-adapter")
    assert fuse.holds is True and fuse.found == "held 10 of 10 times"
    assert check_of(records, "fuse-moves-weights").found == "held 5 of 5 times, last 2.0e-9 of at most 0.001"
    assert check_of(records, "dpo-starts-at-ln2").found == "held 4 of 4 times, last 2.0e-7 of at most 0.001"


@pytest.mark.parametrize(
    "said",
    [
        e.RulesChecked({}, {"fuse-moves-weights": 1}, {"fuse-moves-weights": (0.5, 1e-3)}),
        e.Failed("x", "y", "", None, None, "fuse-moves-weights"),  # and the engine died before it counted that
    ],
)
def test_a_rule_that_the_engine_says_is_broken_is_a_cross(said: e.Event) -> None:
    assert check_of(ending(make.finished(), said), "fuse-moves-weights").holds is False
    alone = check_of([Record(0, 0.0, e.Failed("x", "y", "", None, None, "a-new-rule"))], "a-new-rule")
    assert alone == Check("a-new-rule", "broken 1 times", False)


def test_numbers_are_not_judged_again_and_an_old_journal_has_no_tick() -> None:
    """Whatever an adapter's numbers are: whether they are good is for the engine's rules to say."""
    old = [record for record in make.finished() if not isinstance(record.event, e.RulesChecked)]
    for records in (old, [replace(r, event=_odd(r.event)) for r in old]):
        tally = RunFacts()
        tally.take(records)
        assert {check.holds for check in checks(tally)} == {None}
        assert check_of(records, "checked and held").found == "not stated by the engine of this run"


def _odd(event: Any) -> Any:
    return replace(event, trainable=3, fuse_kl=0.5) if isinstance(event, e.AdapterChanged) else event


def test_nothing_was_looked_at_in_an_empty_run(tmp_path: Path) -> None:
    run = written(tmp_path, [])
    text = seen(run).text
    assert "not stated by the engine of this run" in text and "The curriculum has not been read." in text


def test_a_run_of_ten_thousand_topics_is_a_small_page_of_what_matters(story: Story) -> None:
    found: ReportContents = gather(story("many"))
    assert len(found.details) == DETAILED
    verdicts = [found.state.topics[id].verdict for id in found.details]
    assert verdicts.count("below_threshold") == 40  # all that did not pass
    text = page.render(found)
    assert len(text) < 300_000
    assert "10,000 topics by unit; 327 more units" in text


def test_a_run_at_work_says_so(story: Story) -> None:
    run = story("happy")
    lock = Lock(run)
    try:
        assert head.status(gather(run)) == ("running", "accent")
    finally:
        lock.release()


def test_the_command(story: Story, tmp_path: Path) -> None:
    run = story("finished")
    runner = CliRunner()
    done = runner.invoke(cli, ["report", "finished"], standalone_mode=False)
    assert done.output.strip() == str(run.path / "report.html")
    assert (run.path / "report.html").stat().st_mode & 0o777 == 0o600
    again = runner.invoke(cli, ["report", "logs/finished/", "--to", "here.html"], standalone_mode=False)  # by its path
    assert again.exception is None and Path("here.html").read_text() == (run.path / "report.html").read_text()
    for target, why in (("nowhere/here.html", "No such file"), (".", "it is a folder")):
        refused = runner.invoke(cli, ["report", "finished", "--to", target], standalone_mode=False)
        assert "cannot be written" in str(refused.exception) and why in str(refused.exception)
    assert sorted(path.name for path in Path().iterdir()) == ["here.html", "logs"]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("logs/finished/journal.jsonl", "a place for the run's own files"),
        ("logs/finished/commands.jsonl", "a place for the run's own files"),  # which is not there yet
        ("logs/finished/adapters/page.html", "a place for the run's own files"),
        ("notes.txt", "it exists and is no report"),
        ("empty.html", "it exists and is no report"),
        ("pipe", "it exists and is no file"),
        ("link.html", "it exists and is no file"),
        ("dangling.html", "it exists and is no file"),
        ("/dev/null", "it exists and is no file"),
    ],
)
def test_a_report_replaces_nothing_but_a_report(story: Story, tmp_path: Path, target: str, why: str) -> None:
    story("finished")
    Path("notes.txt").write_text("<!doctype html> mine")
    Path("empty.html").touch()
    os.mkfifo("pipe")
    Path("link.html").symlink_to("notes.txt")
    Path("dangling.html").symlink_to("nowhere")
    before = {path: path.lstat().st_ino for path in Path().rglob("*")}
    refused = CliRunner().invoke(cli, ["report", "finished", "--to", target], standalone_mode=False)
    assert why in str(refused.exception)
    assert {path: path.lstat().st_ino for path in Path().rglob("*")} == before
    assert Path("notes.txt").read_text() == "<!doctype html> mine"


def test_a_report_replaces_a_report(story: Story) -> None:
    run = story("finished")
    for _ in range(2):
        done = CliRunner().invoke(cli, ["report", "finished"], standalone_mode=False)
        assert done.exception is None
    assert (run.path / "report.html").read_text().lstrip().startswith("<!doctype html>")


def test_votes_are_shown_with_their_agreement_and_damage(tmp_path: Path) -> None:
    run = make.write("learned", tmp_path)
    assert "votes" not in Page(page.render(gather(run))).text
    good, bad = Side("night", "sft", HTML, 0.9), Side("night", "before", "It is.", 0.1)
    for number, choice in enumerate(("1", "1", "2", "=", "0")):
        append(run, Vote(f"{number:016x}", 1.0, 0, "a/b/c", HTML, good, bad, choice))
    with open(run.votes, "ab") as file:
        file.write(b"torn")
    text = Page(page.render(gather(run))).text
    assert "votes that agree with the score 2 of 3 2 of 3, 0.67 (90 % interval 0.25 to 0.92)" in text
    assert "5 votes: 3 decided, 1 alike, 1 for neither" in text and "1 line of votes.jsonl cannot be read" in text
