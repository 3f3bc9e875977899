"""Generates greedy answers to many prompts in one batch, and checks them (rule 26)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import mlx.core as mx

from engine.contract.journal.events import Preparing
from engine.evaluation.decoding import Decoded, decode, processors
from engine.model.arrays import number
from engine.rules.enforce import CHECKS, require
from engine.training.session import Session

TOLD = 5.0  # seconds between two progress messages of a long evaluation


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated answer. `tokens` does not count the end token. `stop` tells why the answer ended."""

    text: str
    tokens: int
    stop: Literal["eos", "length"]


def generate(
    session: Session,
    prompts: Sequence[Sequence[int]],
    limit: int | None = None,
    ticks: list[float] | None = None,
    doing: str = "",
) -> list[Answer]:
    """Generates greedy answers to prompts of token ids, in one batch.

    `limit` is the maximum of tokens per answer; the default is evaluation.max_tokens. The time of each decoding step is
    appended to `ticks`, from a clock that stops during pauses. `doing` is journaled with the number of answers and
    tokens every TOLD seconds. Commands from the user are handled between tokens.
    """
    settings, clock = session.config.evaluation, session.control.clock
    limit = limit or settings.max_tokens
    told = clock()

    def between(found: list[Decoded]) -> None:
        nonlocal told
        if ticks is not None:
            ticks.append(clock())
        stopped = sum(answer.stop != "" for answer in found)
        if doing and clock() - told >= TOLD and stopped < len(prompts):
            told, said = clock(), sum(len(answer.tokens) for answer in found)
            progress = f"{stopped} of {len(prompts)} answers complete, {said} tokens so far"
            session.recorder.say(Preparing(f"{doing}, {progress}", progress=True))
        session.control.poll()

    found = decode(
        session.model,
        prompts,
        [limit] * len(prompts),
        session.renderer.end_ids,
        settings,
        between,
        batch=max(1, settings.batch // session.pieces),
    )
    answers = [Answer(session.renderer.decode(each.tokens), len(each.tokens), each.stop or "length") for each in found]
    check_answers(session, prompts, [each.first for each in found], answers, limit)
    return answers


NEAR = {mx.float32: 0.05, mx.float16: 0.5, mx.bfloat16: 1.0}  # rounding may swap two logits that are this close


@CHECKS.timed()
def check_answers(
    session: Session, prompts: Sequence[Sequence[int]], firsts: Sequence[int], answers: Sequence["Answer"], limit: int
) -> None:
    """Checks rule 26: answers are greedy, and `stop` is `length` exactly if the answer has `limit` tokens.

    Greedy decoding is checked on the first token of the answer to the shortest prompt, against the logits of a plain
    forward pass, with the repetition penalty of the settings.
    """
    for answer in answers:
        as_counted = (answer.stop == "length") == (answer.tokens == limit) and answer.tokens <= limit
        found = f"an answer of {answer.tokens} tokens says stop: {answer.stop}; the limit is {limit}"
        require("stop-as-counted", as_counted, found)
    prompt, first = min(zip(prompts, firsts, strict=True), key=lambda asked: len(asked[0]))
    logits = session.scorer.next_logits(mx.array([list(prompt)]))
    for process in processors(session.config.evaluation):
        logits = process(mx.array(list(prompt)), logits)
    logits = logits[0]
    short = number(logits.max() - logits[first])
    near = NEAR.get(session.ledger.dtype, 1.0)
    message = f"the first token is {short:.2f} less likely (logits) than the likeliest"
    require("stop-as-counted", short <= near, message, found=short, limit=near)
