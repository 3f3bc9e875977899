"""The scorer of a run, fitted once on the rows and the base model's answers and saved with the run."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.contract.errors import InputError
from engine.contract.journal.events import Sample, ScorerFitted
from engine.contract.journal.store import read_journal
from engine.contract.run_folder.files import write_folder
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import BASE
from engine.data.batches import collate
from engine.data.curriculum import Curriculum
from engine.data.templates.chat_template import Example, Message, Renderer
from engine.data.topic import Topic
from engine.data.voice_profile import VoiceProfile
from engine.evaluation.score.answer_score import AnswerScore
from engine.evaluation.score.logprob_source import logprob_source
from engine.evaluation.score.parts.closeness import Vectors
from engine.evaluation.score.parts.likelihood import LogprobSource
from engine.evaluation.score.profile_claims import Claims
from engine.evaluation.score.scorer import Answer, Scorer, Tools, fit, score_answers
from engine.evaluation.score.storage import load_scorer, save_scorer
from engine.evaluation.score.texts import ScoringTexts, Text, TextPair
from engine.model import cpu_lanes, logprobs
from engine.model.arrays import numbers
from engine.model.sentence_embedder import Embedder
from engine.training.session import Session

FOR_GATES = 8  # number of topics for fitting a scorer for the gates only, unless the run has more
TELLING = 12  # number of the voice's most telling words in the journal


@dataclass(frozen=True, slots=True)
class Scoring:
    """A fitted scorer, with the tools that it uses for measuring."""

    scorer: Scorer
    tools: Tools

    def score(self, answers: Sequence[Answer], relevance: bool = True) -> list[AnswerScore]:
        """Scores answers together. All answers of a topic must be in the same call.

        Without `relevance`, the base model reads each answer once, not twice.
        """
        return score_answers(self.scorer, answers, replace(self.tools, relevance=relevance and self.tools.relevance))


class CachedVectors:
    """Embeds texts with a cache: questions and references are embedded once; of other texts, the last call is kept.

    The two groups are embedded separately, so that a text's vector does not depend on earlier calls.
    """

    def __init__(self, embedder: Embedder, curriculum: Curriculum, between: Callable[[], None]) -> None:
        """`between` is called before each batch."""
        self._embedder, self._between = embedder, between
        self._fixed = {
            text for topic in curriculum.asked for item in topic.questions for text in (item.question, item.reference)
        }
        self._known: dict[str, Vectors] = {}
        self._last: tuple[list[str], dict[str, Vectors]] = [], {}

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Returns unit vectors (n, d)."""
        missing = [text for text in dict.fromkeys(texts) if text in self._fixed and text not in self._known]
        self._known |= self._embedded(missing)
        others = [text for text in dict.fromkeys(texts) if text not in self._fixed]
        if others != self._last[0]:
            self._last = others, self._embedded(others)
        found = self._known | self._last[1]
        return np.array([found[text] for text in texts])

    def _embedded(self, texts: list[str]) -> dict[str, Vectors]:
        return dict(zip(texts, np.array(self._embedder.embed(texts, self._between)), strict=True)) if texts else {}


def scoring_of(session: Session, base: Sequence[Text] = ()) -> Scoring:
    """Returns the run's scorer. If the run has none yet, it is fitted and saved.

    `base` are answers of the base model that are not in the journal yet. Raises InputError if the scorer in the run
    folder is damaged, or if there are no texts to learn from.
    """
    if session.scoring is None:
        started, tools = time.monotonic(), tools_of(session)
        events = [record.event for record in read_journal(session.run.journal)]
        answers = {(text.topic, text.question): text for text in [*base_answers(events), *base]}
        texts = texts_of(session.curriculum, list(answers.values()))
        if session.run.scores.exists():
            scorer = load_scorer(session.run.scores)
        else:
            scorer = fit_texts(texts, tools)
            write_folder(session.run.scores, lambda folder: save_scorer(scorer, folder))
        if not any(isinstance(event, ScorerFitted) for event in events):  # an engine may have died before this
            _announce(session, scorer, texts, time.monotonic() - started)
        session.scoring = Scoring(scorer, tools)
    found: Scoring = session.scoring
    return found


def _announce(session: Session, scorer: Scorer, texts: ScoringTexts, seconds: float) -> None:
    style = scorer.style
    event = ScorerFitted(
        own=len(texts.own),
        others=len(texts.pairs) + len(texts.base),
        separable=style.separable,
        advice=style.advice,
        telling=style.telling_words[:TELLING],
        seconds=seconds,
    )
    session.recorder.say(event, durable=True)
    if style.advice:
        session.recorder.warn("voice", style.advice)


def saved_scorer(run: RunDir, curriculum: Curriculum, tools: Tools) -> Scorer:
    """Returns a run's scorer without writing anything.

    It is the saved scorer, or, for a run of an older engine, a new one fitted on its base answers. Raises InputError if
    the run has neither.
    """
    if run.scores.exists():
        return load_scorer(run.scores)
    base = base_answers(record.event for record in read_journal(run.journal))
    if not base:
        raise InputError(
            f"{run.path}: the base model has not answered yet, so that there is no scorer; try again later"
        )
    return fit_texts(texts_of(curriculum, base), tools)


def base_answers(events: Iterable[object]) -> list[Text]:
    """Returns the base model's answers from a journal."""
    samples = (event for event in events if isinstance(event, Sample) and event.stage == BASE)
    return [Text(sample.topic, sample.question, sample.answer) for sample in samples]


def fit_texts(texts: ScoringTexts, tools: Tools, find_copies: bool = True) -> Scorer:
    """Fits a scorer. Raises InputError if there are no texts in the voice, or no other texts to compare with."""
    try:
        return fit(texts, tools, find_copies)
    except ValueError as error:
        raise InputError(f"the voice cannot be scored: {error}; add preferences.jsonl with rejected answers") from error


def texts_of(curriculum: Curriculum, base: Sequence[Text], topics: int | None = None) -> ScoringTexts:
    """Returns the texts of the whole curriculum, since topics that this run does not train show the voice, too.

    If `topics` is given, topics outside the run are added only up to this total.
    """
    further = curriculum.further if topics is None else curriculum.further[: max(0, topics - len(curriculum.topics))]
    every: list[Topic] = [*curriculum.topics, *further]
    return ScoringTexts(
        sft=[Text(topic.id, _asked(row.messages), row.answer) for topic in every for row in topic.sft],
        pairs=[
            TextPair(topic.id, _asked(pair.messages), pair.chosen, pair.rejected)
            for topic in every
            for pair in (*topic.pairs, *topic.heldout)
        ],
        references=[Text(topic.id, item.question, item.reference) for topic in every for item in topic.questions],
        base=base,
    )


def _asked(messages: Sequence[Message]) -> str:
    """Returns the last message of the user, or an empty text for plain text."""
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def claims_of(profile: VoiceProfile) -> Claims:
    """Returns the phrases and distinctions of voice.yaml that count against an answer."""
    distinctions = [(item.name, item.patterns) for item in profile.distinctions]
    return Claims(profile.avoid, profile.avoid_penalty, distinctions)


def tools_of(session: Session) -> Tools:
    """Returns the session's embedder, base model and profile as tools."""
    return make_tools(
        session.curriculum,
        session.embedder,
        session.renderer,
        session.base,
        session.config.model.max_length,
        session.control.poll,
    )


def make_tools(
    curriculum: Curriculum,
    embedder: Embedder,
    renderer: Renderer,
    base: logprobs.Scorer,
    max_length: int,
    between: Callable[[], None] = lambda: None,
) -> Tools:
    """Returns all tools that scoring needs. `between` is called between batches of texts."""
    return Tools(
        embed=CachedVectors(embedder, curriculum, between),
        source=base_source(renderer, base, max_length),
        claims=claims_of(curriculum.profile),
        special_tokens=renderer.special_tokens,
    )


def base_source(renderer: Renderer, base: logprobs.Scorer, max_length: int) -> LogprobSource:
    """Returns a source for the base model's log-probabilities of answers."""

    def render(prompt: str, answer: str) -> Example:
        for mark in renderer.special_tokens:  # a row must not contain one; such an answer scores 0 anyway
            answer = answer.replace(mark, " ")
        return renderer.example([Message("user", prompt)], answer, max_length)

    def token_logps(rows: Sequence[Example]) -> list[list[float]]:
        parts = cpu_lanes.split(list(rows))
        found = cpu_lanes.run(base.logps, [(collate(part, renderer.end_id),) for part in parts])
        return [row for part, values in zip(parts, found, strict=True) for row in _by_row(part, numbers(values))]

    return logprob_source(render, token_logps)


def _by_row(rows: Sequence[Example], values: Sequence[float]) -> list[list[float]]:
    found, start = [], 0
    for row in rows:
        found.append(list(values[start : start + row.supervised]))
        start += row.supervised
    return found
