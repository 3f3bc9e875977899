"""Scores answers with the scorer that a finished run has saved: of a file, or of a model to its held-out questions."""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.generate import batch_generate

from engine.adapters.committed_model import open_stage, renderer_of
from engine.contract.intervals import Estimate, mean_estimate, pooled_spread
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig
from engine.contract.vocabulary import BASE
from engine.data.curriculum import Curriculum
from engine.data.templates.chat_template import Renderer
from engine.data.topic import Topic
from engine.evaluation.decoding import processors
from engine.evaluation.score.scorer import Answer
from engine.evaluation.scoring import Scoring, make_tools, saved_scorer
from engine.model.backend import Backend
from engine.model.logprobs import Scorer
from engine.model.sentence_embedder import load_embedder
from engine.pipeline.setup import PROBE


def saved_scoring(
    run: RunDir, backend: Backend, config: RunConfig, curriculum: Curriculum, say: Callable[[str], None]
) -> Scoring:
    """Loads the scorer of a run, and the base model that the run started with. Raises InputError if it has none."""
    opened = open_stage(run, BASE, backend, say)
    renderer = renderer_of(opened)
    base = Scorer(opened.loaded.model, mx.array([renderer.text_ids(PROBE)]))
    tools = make_tools(curriculum, load_embedder(say), renderer, base, config.model.max_length)
    return Scoring(saved_scorer(run, curriculum, tools), tools)


def mean_voice(
    model: Any, tokenizer: Any, renderer: Renderer, topics: Sequence[Topic], scoring: Scoring, config: RunConfig
) -> Estimate:
    """Returns the mean voice of a model's greedy answers to the held-out questions of these topics."""
    asked = [(topic.id, item) for topic in topics for item in topic.questions]
    prompts = [renderer.prompt_ids(item.messages) for _, item in asked]
    settings = config.evaluation
    texts = batch_generate(
        model,
        tokenizer,
        prompts,
        max_tokens=settings.max_tokens,
        completion_batch_size=settings.batch,
        logits_processors=processors(settings),
    ).texts
    answers = [
        Answer(topic, item.question, text.strip(), item.reference)
        for (topic, item), text in zip(asked, texts, strict=True)
    ]
    voices = [score.voice for score in scoring.score(answers)]
    groups: dict[str, list[float]] = {}
    for answer, voice in zip(answers, voices, strict=True):
        groups.setdefault(answer.topic, []).append(voice)
    return mean_estimate(voices, pooled_spread(list(groups.values())))
