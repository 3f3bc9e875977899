"""`python -m engine.chat RUN_DIR`: chat with a run's model at a committed stage, over JSON lines.

Input, one line per question: {"question": text, "fresh": true to start a new conversation}.
Output first: {"ready": description of the model}. Then for each question {"text": piece} as it is generated, and
{"end": "eos", "length" or "stopped"} at the end; or {"refused": a sentence}. SIGINT ends an answer.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from engine.contract.errors import InputError
from engine.contract.run_folder.folder import RunDir
from engine.model.backend import prepare


class Conversation:
    """One conversation with one model. Answers are decoded greedily, as in evaluation."""

    def __init__(self, run: RunDir, stage: str | None, max_tokens: int, out: TextIO) -> None:
        """Loads the model. Raises InputError if that stage was never committed.

        If `max_tokens` is 0, the limit of the configuration is used.
        """
        backend = prepare()  # before mlx
        from engine.adapters.committed_model import open_stage, renderer_of
        from engine.data.templates.chat_template import Message
        from engine.evaluation.decoding import processors

        opened = open_stage(run, stage, backend, lambda line: print(line, file=sys.stderr))
        self._model, self._tokenizer = opened.ledger.model, opened.loaded.tokenizer
        self._renderer, self._message = renderer_of(opened), Message
        self._processors = processors(opened.config.evaluation)
        self._limit = opened.config.model.max_length
        self._max_tokens = max_tokens or opened.config.evaluation.max_tokens
        self._turns: list[Message] = []
        self._stopped = False
        self._out = out
        deltas = opened.ledger.deltas
        after = f" after {deltas[-1].topic} {deltas[-1].phase}" if deltas else ", the base"
        if (lost := opened.rolled_back) is not None:
            after += f", with the rolled-back {lost.phase} of {lost.topic}"
        self._say(ready=f"{opened.config.model.name}{after}, model {opened.ledger.declared}")

    def follow(self, questions: TextIO) -> None:
        """Answers questions until the input ends."""
        signal.signal(signal.SIGINT, self._stop)
        for line in iter(questions.readline, ""):
            asked = json.loads(line)
            if asked["fresh"]:
                self._turns.clear()
            self.answer(asked["question"])

    def answer(self, question: str) -> None:
        """Writes an answer piece by piece. The text of a stopped answer stays in the conversation."""
        from mlx_lm.generate import stream_generate

        self._stopped = False
        self._turns.append(self._message("user", question))
        while len(prompt := self._renderer.prompt_ids(self._turns)) > self._limit and len(self._turns) > 1:
            del self._turns[:2]  # the oldest question and its answer
        if len(prompt) > self._limit:
            self._turns.clear()
            return self._say(refused=f"the question has {len(prompt)} tokens; model.max_length is {self._limit}")
        said, end = "", "stopped"
        pieces = stream_generate(
            self._model, self._tokenizer, prompt, max_tokens=self._max_tokens, logits_processors=self._processors
        )
        for piece in pieces:
            said += piece.text
            self._say(text=piece.text)
            if piece.finish_reason is not None:
                end = "eos" if piece.finish_reason == "stop" else "length"
            if self._stopped:
                break
        self._turns.append(self._message("assistant", said.strip()))
        self._say(end=end)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True

    def _say(self, **fields: Any) -> None:
        print(json.dumps(fields), file=self._out, flush=True)


def main() -> int:
    """Returns exit status 0, or 2 after printing an error."""
    parser = argparse.ArgumentParser(prog="python -m engine.chat")
    parser.add_argument("run", type=Path)
    parser.add_argument("--stage")
    parser.add_argument("--max-tokens", type=int, default=0)
    given = parser.parse_args()
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output that a library prints goes to stderr
    try:
        Conversation(RunDir(given.run), given.stage, given.max_tokens, out).follow(sys.stdin)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
