"""`python -m engine.serve RUN_DIR`: serves a run's model at a committed stage, in the form of OpenAI's API.

It prints one line with its address, and ends at SIGINT, SIGTERM or SIGHUP. The environment variable MINDPRINT_TOKEN
holds the token that requests must carry; it may be empty if only this machine can reach the endpoint.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, end_signals
from engine.contract.run_folder.folder import RunDir
from engine.model.backend import prepare
from engine.serving.access import TOKEN, require_token


def serve(run: RunDir, stage: str | None, host: str, port: int, max_tokens: int, token: str) -> None:
    """Serves until a signal ends it; prints the address when the model is loaded.

    `max_tokens` is the longest answer, in tokens. Raises InputError if the address cannot be had, if other machines
    could reach it without a token, or if the model cannot be loaded.
    """
    require_token(host, token)
    backend = prepare()  # before mlx
    from engine.adapters.committed_model import open_stage, renderer_of
    from engine.serving import endpoint

    with endpoint.Listener(host, port) as listener:  # before the model is loaded, which takes a while
        opened = open_stage(run, stage, backend, lambda line: print(line, file=sys.stderr))
        tokenizer, config = opened.loaded.tokenizer, opened.loaded.config
        template = renderer_of(opened).template_arguments
        longest = int(
            (config.get("text_config") or config).get("max_position_embeddings") or opened.config.model.max_length
        )
        for number in end_signals():
            signal.signal(number, lambda *_: endpoint.end_soon(listener))
        place = f"[{host}]" if ":" in host else host
        port = int(listener.server_address[1])
        print(f"{run.name}, model {opened.ledger.declared}: http://{place}:{port}/v1", flush=True)
        model, penalty = opened.ledger.model, opened.config.evaluation.repetition_penalty
        endpoint.run(listener, model, tokenizer, template, run.name, token, max_tokens, longest, penalty)


def main() -> int:
    """Returns exit status 0, or 2 after printing an error."""
    parser = argparse.ArgumentParser(prog="python -m engine.serve")
    parser.add_argument("run", type=Path)
    parser.add_argument("--stage")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--max-tokens", type=int, default=512)
    given = parser.parse_args()
    token = os.environ.get(TOKEN, "")
    try:
        serve(RunDir(given.run), given.stage, given.host, given.port, given.max_tokens, token)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
