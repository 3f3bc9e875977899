"""Counts rows and tokens of each topic, rendered with the real chat template and tokenizer."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from engine.contract.errors import InputError
from engine.contract.journal.events import Audited
from engine.contract.settings.config import RunConfig, SupervisedConfig
from engine.contract.vocabulary import FOUNDATION
from engine.data.batches import plan_epochs
from engine.data.curriculum import Curriculum
from engine.data.data_warnings import length_ratio
from engine.data.forms.row_types import Conversation
from engine.data.templates.chat_template import Example, Renderer
from engine.data.topic import Topic
from engine.data.unusable import UnusableRow, unusable
from engine.evaluation.spot_check import QUESTIONS
from engine.preflight.forecast import TopicWork
from engine.training.phases.validation import TEXTS, few


@dataclass(frozen=True, slots=True)
class TopicAudit:
    """Audit of one topic: number of rows, tokens of its SFT rows, rows that are cut, and lengths.

    `length_ratio` is the characters of rejected answers divided by those of chosen answers. `cut` has file and line of
    each cut row. `rendered` is a digest of the tokens of all rows and questions.
    """

    topic: str
    title: str
    sft_rows: int
    pairs: int
    heldout: int
    questions: int
    supervised: int
    total: int
    longest: int
    cut: tuple[str, ...]
    length_ratio: float | None
    work: TopicWork
    rendered: str
    longest_question: int  # tokens of the longest prompt of a question


Rendered = list[tuple[str, Example]]  # places and examples
Render = Callable[[Iterable[tuple[Conversation, ...]]], Rendered]


def audit(curriculum: Curriculum, renderer: Renderer, config: RunConfig) -> tuple[list[TopicAudit], list[UnusableRow]]:
    """Renders every row. Returns the audits of all topics, and the rows that cannot be rendered, which these leave out.

    A row cannot be rendered if its prompt leaves no room for an answer, if a message holds a special token, or if the
    chat template refuses its turns.
    """
    left_out: list[UnusableRow] = []
    render = _rendering(renderer, config, left_out)
    for topic in curriculum.asked[len(curriculum.topics) :]:  # the foundation has rows of theirs
        _topic(topic, render, config, config.sft)
    audits = [_topic(topic, render, config, config.sft) for topic in curriculum.topics]
    if curriculum.foundation is not None and config.foundation.answers != config.sft.answers:
        _topic(curriculum.foundation, render, config, config.foundation)  # the same rows, other answers of them
    return audits, list(dict.fromkeys(left_out))


def _rendering(renderer: Renderer, config: RunConfig, left_out: list[UnusableRow]) -> Render:
    """Returns a function that renders rows of one or two sides, and notes in `left_out` those that it cannot render."""

    def render(rows: Iterable[tuple[Conversation, ...]]) -> Rendered:
        found: Rendered = []
        for row in rows:
            try:
                found += [
                    (side.where, renderer.example(side.messages, side.answer, config.model.max_length, side.since))
                    for side in row
                ]
            except InputError as error:
                left_out.append(unusable(row[0].where, error))
        return found

    return render


def works(
    curriculum: Curriculum, topics: Sequence[TopicAudit], renderer: Renderer, config: RunConfig
) -> dict[str, TopicWork]:
    """Returns the work of the audited topics by id, in the order of training: that of the foundation comes first."""
    found = {topic.topic: topic.work for topic in topics}
    if curriculum.foundation is None:
        return found
    return {FOUNDATION: _foundation_work(curriculum.foundation, renderer, config)} | found


def _foundation_work(topic: Topic, renderer: Renderer, config: RunConfig) -> TopicWork:
    """Returns the work of the foundation. The audit rendered its rows, so their lengths are known."""
    settings, longest = config.foundation, config.model.max_length
    rows = (row.conversation(settings.answers) for row in topic.sft)
    asked = [renderer.example(item.messages, item.reference, longest) for item in topic.questions]
    return TopicWork(
        sft=settings.epochs * sum(renderer.length(row.messages, row.answer, longest, row.since) for row in rows),
        dpo=0,
        reference=0,
        read=sum(example.prompt for example in asked),
        answers=_decode_steps(config, [example.answer_tokens + 1 for example in asked]),
    )


def summed(curriculum: Curriculum, topics: Sequence[TopicAudit]) -> Audited:
    """Returns the audit of the whole curriculum as a journal event."""
    return Audited(
        rows_read=curriculum.rows_read,
        rows_used=curriculum.rows_used,
        orphans=curriculum.orphans,
        duplicates=curriculum.duplicates,
        supervised_tokens=sum(topic.supervised for topic in topics),
        total_tokens=sum(topic.total for topic in topics),
        longest=max(topic.longest for topic in topics),
        cut=sum(len(topic.cut) for topic in topics),
        rendered=_digest([topic.rendered for topic in topics]),
        unusable=len(curriculum.unusable),
        not_trained=curriculum.not_trained,
    )


def _topic(topic: Topic, render: Render, config: RunConfig, settings: SupervisedConfig) -> TopicAudit:
    rows = render((row.conversation(settings.answers),) for row in topic.sft)
    trained, held = (render(pair.sides for pair in pairs) for pairs in (topic.pairs, topic.heldout))
    asked = render((Conversation(item.where, item.messages, item.reference),) for item in topic.questions)
    every = [*rows, *trained, *held]
    texts = few(asked or held[::2], TEXTS)
    steps = plan_epochs(len(rows), settings.batch, settings.accumulation, settings.epochs).steps
    spots = validations(steps, settings.score_every, settings.keep == "score")
    dpo_spots = validations(config.dpo.steps, config.dpo.score_every, config.dpo.keep == "score")
    spot = _decode_steps(config, [example.answer_tokens + 1 for _, example in few(asked, QUESTIONS)])
    preferred = _dpo_tokens(config, len(trained) // 2, _tokens(trained))
    return TopicAudit(
        topic=topic.id,
        title=topic.title,
        sft_rows=len(rows),
        pairs=len(trained) // 2,
        heldout=len(held) // 2,
        questions=len(asked),
        supervised=sum(example.supervised for _, example in rows),
        total=_tokens(rows),
        longest=max((len(example.ids) for _, example in every), default=0),
        cut=tuple(dict.fromkeys(where for where, example in every if example.cut)),
        length_ratio=length_ratio(topic),
        work=TopicWork(
            sft=settings.epochs * _tokens(rows),
            dpo=preferred,
            reference=min(preferred, _tokens(trained)),
            read=_tokens(held) + sum(example.prompt for _, example in asked),
            answers=_decode_steps(config, [example.answer_tokens + 1 for _, example in asked]),
            validated=validations(steps, settings.validate_every, settings.keep == "loss") * _tokens(texts),
            dpo_validated=(1 + validations(config.dpo.steps, config.dpo.validate_every, config.dpo.keep == "loss"))
            * _tokens(few(held, 2 * TEXTS)),
            spots=spots * spot,
            dpo_spots=dpo_spots * spot,
        ),
        longest_question=max((example.prompt for _, example in asked), default=0),
        rendered=_digest(
            [[(example.ranges, example.ids) for _, example in each] for each in (rows, trained, held, asked)]
        ),
    )


def validations(steps: int, every: int, at_end: bool) -> int:
    """Returns how often a phase of so many steps is validated, if its patience is never used up."""
    return steps // every + (at_end and steps % every > 0) if every else 0


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _tokens(rows: Sequence[tuple[str, Example]]) -> int:
    return sum(len(example.ids) for _, example in rows)


def _dpo_tokens(config: RunConfig, pairs: int, tokens: int) -> int:
    """Returns the tokens of all DPO steps. Their micro-batches go through the pairs repeatedly."""
    if not pairs:
        return 0
    settings = config.dpo
    micro = settings.steps * settings.accumulation
    return round(micro * tokens / -(-pairs // settings.batch))


def _decode_steps(config: RunConfig, lengths: Sequence[int]) -> int:
    """Estimates the decoding steps for answers of these lengths.

    At least the longest answer needs one step per token. More answers than a batch holds need more steps.
    """
    capped = [min(length, config.evaluation.max_tokens) for length in lengths]
    return max(max(capped, default=0), -(-sum(capped) // config.evaluation.batch))
