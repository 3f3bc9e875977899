"""Counts rows and tokens of each topic, rendered with the real chat template and tokenizer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.contract.errors import InputError
from engine.contract.journal.events import Audited
from engine.contract.settings.config import RunConfig
from engine.contract.vocabulary import FOUNDATION
from engine.data.chat_template import Example, Message, Renderer
from engine.data.curriculum import Curriculum, Topic, length_ratio
from engine.data.rows import Pair
from engine.preflight.forecast import TopicWork

Row = tuple[str, Sequence[Message], str]  # file:line, the conversation, the answer


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


def audit(curriculum: Curriculum, renderer: Renderer, config: RunConfig) -> list[TopicAudit]:
    """Renders every row. Raises InputError with file and line if a prompt leaves no room for an answer."""
    return [_topic(topic, renderer, config) for topic in curriculum.topics]


def works(
    curriculum: Curriculum, topics: Sequence[TopicAudit], renderer: Renderer, config: RunConfig
) -> dict[str, TopicWork]:
    """Returns the work of the audited topics by id, in the order of training: that of the foundation comes first."""
    found = {topic.topic: topic.work for topic in topics}
    if curriculum.foundation is None:
        return found
    first = _topic(curriculum.foundation, renderer, replace(config, sft=config.foundation))
    return {FOUNDATION: first.work} | found


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
    )


def _topic(topic: Topic, renderer: Renderer, config: RunConfig) -> TopicAudit:
    def render(rows: Sequence[Row]) -> list[tuple[str, Example]]:
        return [(row[0], _example(renderer, row, config.model.max_length)) for row in rows]

    rows = render([(row.where, row.messages, row.answer) for row in topic.sft])
    trained, held = (
        render([side for pair in pairs for side in _sides(pair)]) for pairs in (topic.pairs, topic.heldout)
    )
    asked = render([(item.where, [Message("user", item.question)], item.reference) for item in topic.questions])
    every = [*rows, *trained, *held]
    preferred = _dpo_tokens(config, len(topic.pairs), _tokens(trained))
    return TopicAudit(
        topic=topic.id,
        title=topic.title,
        sft_rows=len(topic.sft),
        pairs=len(topic.pairs),
        heldout=len(topic.heldout),
        questions=len(topic.questions),
        supervised=sum(example.supervised for _, example in rows),
        total=_tokens(rows),
        longest=max(len(example.ids) for _, example in every),
        cut=tuple(dict.fromkeys(where for where, example in every if example.cut)),
        length_ratio=length_ratio(topic),
        work=TopicWork(
            sft=config.sft.epochs * _tokens(rows),
            dpo=preferred,
            reference=min(preferred, _tokens(trained)),
            read=_tokens(held) + sum(example.prompt for _, example in asked),
            answers=_decode_steps(config, [example.answer_tokens + 1 for _, example in asked]),
        ),
        rendered=_digest(
            [[(example.prompt, example.ids) for _, example in each] for each in (rows, trained, held, asked)]
        ),
    )


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _example(renderer: Renderer, row: Row, limit: int) -> Example:
    where, messages, answer = row
    try:
        return renderer.example(messages, answer, limit)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _sides(pair: Pair) -> list[Row]:
    return [(pair.where, pair.messages, pair.chosen), (pair.where, pair.messages, pair.rejected)]


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
    return max(max(capped), -(-sum(capped) // config.evaluation.batch))
