"""Generates greedy answers to many prompts in one batch, and checks them (rule 26)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import mlx.core as mx
from mlx_lm.generate import BatchGenerator

from engine.contract.journal.events import Preparing
from engine.evaluation.decoding import processors
from engine.model import cpu_lanes
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
    batch = max(1, settings.batch // session.pieces)
    generator = BatchGenerator(
        session.model,
        stop_tokens=[[token] for token in session.renderer.end_ids],
        completion_batch_size=batch,
        prefill_batch_size=min(8, batch),
        logits_processors=processors(settings),
    )
    try:
        numbers = generator.insert([list(prompt) for prompt in prompts], [limit] * len(prompts))
        tokens: dict[int, list[int]] = {number: [] for number in numbers}
        stops: dict[int, Literal["eos", "length"]] = {}
        firsts: dict[int, int] = {}
        told = clock()
        with cpu_lanes.ThreadChoice() as pace:
            while responses := pace.step(generator.next_generated):
                if ticks is not None:
                    ticks.append(clock())
                for response in responses:
                    firsts.setdefault(response.uid, int(response.token))
                    if response.finish_reason is not None:
                        stops[response.uid] = "eos" if response.finish_reason == "stop" else "length"
                    if response.finish_reason != "stop":
                        tokens[response.uid].append(response.token)
                if doing and clock() - told >= TOLD and len(stops) < len(prompts):
                    told, said = clock(), sum(map(len, tokens.values()))
                    progress = f"{len(stops)} of {len(prompts)} answers complete, {said} tokens so far"
                    session.recorder.say(Preparing(f"{doing}, {progress}", progress=True))
                session.control.poll()
    finally:
        generator.close()
    answers = [Answer(session.renderer.decode(tokens[n]), len(tokens[n]), stops[n]) for n in numbers]
    check_answers(session, prompts, [firsts[n] for n in numbers], answers, limit)
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
