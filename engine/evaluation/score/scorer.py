"""Scorer: fits every part of the score on the curriculum's texts, and scores answers with all parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from engine.contract.vocabulary import COPY
from engine.evaluation.score.answer_score import AnswerScore, combine
from engine.evaluation.score.parts.closeness import ClosenessScale, Vectors, closeness, fit_closeness, misplaced
from engine.evaluation.score.parts.familiarity import Familiarity, fit_familiarity
from engine.evaluation.score.parts.health import FEWEST_WORDS, HealthLimits, fit_limits, measure_health
from engine.evaluation.score.parts.likelihood import (
    Likelihood,
    LikelihoodLimits,
    LogprobSource,
    fit_likelihood,
    measure_likelihood,
)
from engine.evaluation.score.parts.style import StyleModel, fit_style
from engine.evaluation.score.parts.void import CopyIndex, always_whole, echo_share, ends_whole, fit_echo, same_answers
from engine.evaluation.score.profile_claims import Claims, find_violations
from engine.evaluation.score.texts import ScoringTexts, Text, TextPair, words

Embed: TypeAlias = Callable[[Sequence[str]], Vectors]  # unit vectors (n, d)
MOST_READ = 16  # maximum of references that the base model reads to fit its limits
MOST_PAIRS = 48  # pairs embedded to fit the closeness scale, about at most
MOST_TEXTS = 1000  # of the person, and of others, that the parts are fitted on; more teach them nothing new
MOST_EMBEDDED = 28  # maximum of references embedded to fit the closeness scale


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to be scored. `training` marks a row of the curriculum, which does not count as a copy of itself."""

    topic: str
    question: str
    text: str
    reference: str | None = None
    training: bool = False


@dataclass(frozen=True, slots=True)
class Scorer:
    """All values learned from the curriculum. `closeness` and `likelihood` are None if they could not be measured."""

    style: StyleModel
    health: HealthLimits
    copies: CopyIndex
    familiarity: Familiarity | None
    echo: float
    whole: bool
    closeness: ClosenessScale | None
    likelihood: LikelihoodLimits | None


@dataclass(frozen=True, slots=True)
class Tools:
    """Further inputs of scoring: embedder, base model, and the profile's claims, each optional.

    Without `relevance`, the base model reads an answer once, not twice.
    """

    embed: Embed | None = None
    source: LogprobSource | None = None
    claims: Claims = field(default_factory=Claims)
    special_tokens: tuple[str, ...] = ()
    relevance: bool = True


def fit(texts: ScoringTexts, tools: Tools, find_copies: bool = True) -> Scorer:
    """Fits a scorer. Raises ValueError if there are no texts in the voice, or no other texts.

    Without `find_copies` it is for the curriculum's own texts, and finds no answer that is a training row.
    """
    own, rejected, references = (spread_out(side, MOST_TEXTS) for side in (texts.own, texts.rejected, texts.references))
    held_out = references or own
    every = [*own, *references]
    health, echo = fit_limits(text.text for text in every), fit_echo(every)
    return Scorer(
        style=fit_style(own, [*rejected, *_sound(texts.base, health, echo)], references),
        health=health,
        copies=CopyIndex.of(text.text for text in (texts.own if find_copies else ())),
        familiarity=fit_familiarity(*([text.text for text in side] for side in (own, references, rejected))),
        echo=echo,
        whole=always_whole(every),
        closeness=_fit_closeness(texts, tools.embed) if tools.embed else None,
        likelihood=_fit_likelihood(held_out, texts.chosen, tools.source) if tools.source else None,
    )


def _sound(base: Sequence[Text], health: HealthLimits, echo: float) -> list[Text]:
    """Leaves out base answers that other parts of the score reject: loops, echoes, and very short answers.

    They are not examples of another style. A small base model that does not know the language gives many of them.
    """
    return [
        text
        for text in base
        if len(words(text.text)) >= FEWEST_WORDS
        and measure_health(text.text, health).healthy
        and echo_share(text.question, text.text) <= echo
    ]


def score_answers(scorer: Scorer, answers: Sequence[Answer], tools: Tools) -> list[AnswerScore]:
    """Scores answers together. Answers of one topic are compared with each other and with the topic's references."""
    near, belongs = _subjects(scorer.closeness, answers, tools.embed)
    likelihoods: list[Likelihood | None] = [None] * len(answers)
    spoken = [place for place, answer in enumerate(answers) if answer.text.strip()]
    if tools.source and spoken:
        measured = measure_likelihood(
            tools.source,
            [answers[place].question for place in spoken],
            [answers[place].text for place in spoken],
            tools.relevance,
        )
        for place, found in zip(spoken, measured, strict=True):
            likelihoods[place] = found
    voids = _voids(scorer, answers, belongs)
    scores = []
    for answer, void, close, likelihood in zip(answers, voids, near, likelihoods, strict=True):
        unlikely = scorer.likelihood.unlikely(likelihood) if scorer.likelihood and likelihood else None
        scores.append(
            combine(
                scorer.style.score(answer.topic, answer.text),
                measure_health(answer.text, scorer.health, tools.special_tokens),
                void,
                unlikely,
                find_violations(tools.claims, answer.text),
                tools.claims.penalty,
                close,
                likelihood,
            )
        )
    return scores


def _voids(scorer: Scorer, answers: Sequence[Answer], belongs: Sequence[str | None]) -> list[str | None]:
    """Returns for each answer the reason why it is void (without original content), or None."""
    same = same_answers([Text(answer.topic, answer.question, answer.text) for answer in answers])
    voids: list[str | None] = []
    for answer, other, elsewhere in zip(answers, same, belongs, strict=True):
        share = echo_share(answer.question, answer.text)
        if not answer.training and scorer.copies.copied(answer.text) is not None:
            voids.append(COPY)
        elif other is not None:
            voids.append(f'the same as the answer to "{answers[other].question}"')
        elif share > scorer.echo:
            voids.append(f"an echo: {share:.0%} of its longer words are the question's; {scorer.echo:.0%} is the limit")
        elif scorer.familiarity and (foreign := scorer.familiarity.unfamiliar(answer.text)):
            voids.append(foreign)
        elif elsewhere is not None:
            voids.append(f'an answer to another question: "{elsewhere}"')
        elif scorer.whole and answer.text.strip() and not ends_whole(answer.text):
            voids.append("cut off: it does not end as a sentence does")
        else:
            voids.append(None)
    return voids


def _subjects(
    scale: ClosenessScale | None, answers: Sequence[Answer], embed: Embed | None
) -> tuple[list[float | None], list[str | None]]:
    """Returns each answer's closeness, and the other question of its topic to which it belongs, if there is one."""
    near: list[float | None] = [None] * len(answers)
    belongs: list[str | None] = [None] * len(answers)
    if scale is None or embed is None:
        return near, belongs
    for place, answer in enumerate(answers):
        near[place] = 0.0 if answer.reference and not answer.text.strip() else None
    rows = [place for place, answer in enumerate(answers) if answer.reference and answer.text.strip()]
    if not rows:
        return near, belongs
    texts = [text for place in rows for text in (answers[place].question, answers[place].reference or "")]
    known = dict.fromkeys([*texts, *(answers[place].text for place in rows)])
    vectors = dict(zip(known, np.asarray(embed(list(known))), strict=True))
    asked: dict[str, dict[str, str]] = {}
    for place in rows:
        asked.setdefault(answers[place].topic, {})[answers[place].question] = answers[place].reference or ""
    for place in rows:
        answer = answers[place]
        own = vectors[answer.reference or ""]
        near[place] = closeness(scale, vectors[answer.question], own, vectors[answer.text])
        others = [question for question, text in asked[answer.topic].items() if text != answer.reference]
        pool = np.array([vectors[asked[answer.topic][question]] for question in others])
        other = misplaced(scale, vectors[answer.text], own, pool)
        belongs[place] = None if other is None else others[other]
    return near, belongs


def _fit_closeness(texts: ScoringTexts, embed: Embed) -> ClosenessScale:
    """Embeds references and whole topics of pairs, so that each pair can be compared with the others of its topic."""
    pairs = whole_topics(texts.pairs, MOST_PAIRS)
    references = spread_out(texts.references, MOST_EMBEDDED)
    columns = [
        [text.question for text in references],
        [text.text for text in references],
        [pair.question for pair in pairs],
        [pair.chosen for pair in pairs],
        [pair.rejected for pair in pairs],
    ]
    vectors = np.asarray(embed([text for column in columns for text in column]))
    starts = np.cumsum([len(column) for column in columns])[:-1]
    questions, references, prompts, chosen, rejected = np.split(vectors, starts)
    return fit_closeness(questions, references, [pair.topic for pair in pairs], prompts, chosen, rejected)


def _fit_likelihood(
    references: Sequence[Text], chosen: Sequence[Text], source: LogprobSource
) -> LikelihoodLimits | None:
    """Measures references, evenly spread over the curriculum. If there are few, chosen answers are used, too."""
    pool = list(references) if len(references) >= MOST_READ // 2 else [*references, *chosen]
    read = spread_out(pool, MOST_READ)
    found = measure_likelihood(source, [text.question for text in read], [text.text for text in read], relevance=False)
    return fit_likelihood(found)


def spread_out(texts: Sequence[Text], most: int) -> list[Text]:
    """Returns at most `most` texts, evenly spread over the curriculum."""
    return list(texts[:: max(1, -(-len(texts) // most))])


def whole_topics(pairs: Sequence[TextPair], most: int) -> list[TextPair]:
    """Returns the pairs of the first topics until there are at least `most`. A topic is never divided."""
    kept: list[TextPair] = []
    for topic in dict.fromkeys(pair.topic for pair in pairs):
        if len(kept) >= most:
            break
        kept += [pair for pair in pairs if pair.topic == topic]
    return kept
