"""Answers and scores a few held-out questions while a phase trains, to find its best step."""

import math

import mlx.core as mx

from engine.data.topic import Topic
from engine.evaluation import generation
from engine.evaluation.score.scorer import Answer
from engine.evaluation.scoring import scoring_of
from engine.training.phases.validation import few
from engine.training.session import FewScores, Session

QUESTIONS = 8  # answered at a time


def few_scores(session: Session, topic: Topic) -> FewScores:
    """Returns the mean of voice and closeness over the answers to a few questions, and the answers."""
    asked = few([(part.id, item) for part in topic.parts or (topic,) for item in part.questions], QUESTIONS)
    prompts = [session.renderer.prompt_ids(item.messages) for _, item in asked]
    found = [answer.text for answer in generation.generate(session, prompts)]
    answers = [
        Answer(owner, item.question, text, item.reference) for (owner, item), text in zip(asked, found, strict=True)
    ]
    scores = scoring_of(session).score(answers, relevance=False)
    mx.clear_cache()
    each = [score.voice if score.closeness is None else (score.voice + score.closeness) / 2 for score in scores]
    return math.fsum(each) / len(each), tuple(found)
