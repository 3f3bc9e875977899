"""mlx-lm's side of the comparison, as it is installed: none of the engine's code, and MLX's own BLAS.

mlxlm.py FOLDER    for each case in FOLDER the differences to the engine's logits, and greedy answers, as JSON
"""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import mlx.core as mx
from answers import agrees
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model, load_tokenizer
from precise import differences

FENCE = "=" * 10  # mlx_lm.generate prints the answer between two of these


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def generated(told: dict[str, Any], *options: str) -> str:
    """What mlx_lm.generate answers."""
    command = [program("mlx_lm.generate"), *options, "--prompt", told["question"], "--temp", "0"]
    command += ["--max-tokens", str(told["max_tokens"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split(FENCE)[1]


def served(told: dict[str, Any], model: Path) -> str:
    """What mlx_lm.server answers over HTTP."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    options = ["--model", str(model), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([program("mlx_lm.server"), *options])
    asked = {
        "messages": [{"role": "user", "content": told["question"]}],
        "max_tokens": told["max_tokens"],
        "temperature": 0.0,
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    try:
        while True:
            assert server.poll() is None, "mlx_lm.server ended"
            try:
                with urllib.request.urlopen(request) as answer:
                    return str(json.load(answer)["choices"][0]["message"]["content"])
            except urllib.error.URLError:
                time.sleep(0.5)  # it is not listening yet
    finally:
        server.terminate()
        server.wait()


def answers(case: Path, told: dict[str, Any]) -> list[dict[str, Any]]:
    """The trained run's greedy answer, from the command line and over HTTP."""
    tokenizer = load_tokenizer(case / "mlx")
    said = {
        "mlx_lm.generate": generated(told, "--model", str(case / "mlx")),
        "mlx_lm.generate, adapter": generated(told, "--model", told["base"], "--adapter-path", str(case / "adapter")),
        "mlx_lm.server": served(told, case / "mlx"),
    }
    ids = {where: tokenizer.encode(text.strip(), add_special_tokens=False) for where, text in said.items()}
    return [
        {"case": case.name, "where": where, "same_answer": agrees(each, told["answer"], told["gaps"])}
        for where, each in ids.items()
    ]


def compare(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for case in sorted(path.parent for path in folder.glob("*/case.json")):
        told, reference = json.loads((case / "case.json").read_text()), mx.load(str(case / "reference.npz"))
        fused = load_model(case / "mlx")[0]
        adapted = load_adapters(load_model(Path(told["base"]))[0], str(case / "adapter"))
        for where, model in (("mlx-lm, fused", fused), ("mlx-lm, one adapter", adapted)):
            found = differences(model, reference, case / f"{where}.npy")
            rows.append({"case": case.name, "where": where} | found)
        if "question" in told:
            rows += answers(case, told)
    return rows


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]))))
