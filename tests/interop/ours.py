"""The engine's side of the comparison: runs on models of each kind, their exports, and the logits that must come out.

ours.py RUN MODELS FOLDER    cases in FOLDER: the trained run RUN, and random deltas on each model in MODELS
"""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "engine")]

from engine.backend import prepare  # noqa: E402

BACKEND = prepare()

import mlx.core as mx  # noqa: E402
from committed import commit_random  # noqa: E402
from mlx_lm.tuner.utils import load_adapters  # noqa: E402
from mlx_lm.utils import load_model  # noqa: E402

from engine import models  # noqa: E402
from engine.adapters import AdapterSpec  # noqa: E402
from engine.chat import Message, Renderer  # noqa: E402
from engine.contract.errors import InputError  # noqa: E402
from engine.contract.events import AdapterChanged, Sample  # noqa: E402
from engine.contract.journal import read_journal  # noqa: E402
from engine.contract.rundir import RunDir  # noqa: E402
from engine.export import export  # noqa: E402
from engine.stages import open_stage  # noqa: E402

SPECS = (AdapterSpec(4, 2.0, ("q_proj", "v_proj"), 0), AdapterSpec(2, 1.0, ("o_proj", "down_proj"), 2))
PHI = (AdapterSpec(4, 2.0, ("qkv_proj", "o_proj"), 0), AdapterSpec(2, 1.0, ("gate_up_proj", "down_proj"), 2))
TOKENS = 32


def case(folder: Path, run: RunDir, sample: Sample | None) -> list[dict[str, object]]:
    """Exports a run in every form, writes the engine's logits, and compares what mlx-lm makes of the exports."""
    opened = open_stage(run, None, BACKEND, print)
    base = opened.ledger.base
    if sample is None:
        ids = mx.random.randint(3, 1000, (1, TOKENS), key=mx.random.key(0))
    else:
        prompt = Renderer(opened.loaded.tokenizer).prompt_ids([Message("user", sample.question)])
        ids = mx.array([[*prompt, *opened.loaded.tokenizer.encode(sample.answer, add_special_tokens=False)]])
    wanted = opened.ledger.model(ids).astype(mx.float32)
    folder.mkdir(parents=True)
    mx.save_safetensors(str(folder / "reference.safetensors"), {"ids": ids.astype(mx.int32), "logits": wanted})
    told = {"base": str(base), "question": sample.question if sample else "", "answer": sample.answer if sample else ""}
    (folder / "case.json").write_text(json.dumps(told | {"tokens": sample.tokens if sample else 0}))
    export(run, folder / "mlx")
    export(run, folder / "adapter", "adapter")
    fused, adapted = load_model(folder / "mlx")[0], load_adapters(load_model(base)[0], str(folder / "adapter"))
    rows = [
        {"case": folder.name, "where": where, "difference": mx.abs(model(ids) - wanted).max().item()}
        for where, model in (("mlx-lm, fused", fused), ("mlx-lm, one adapter", adapted))
    ]
    try:
        export(run, folder / "peft", "peft")
    except InputError as error:
        rows.append({"case": folder.name, "where": "PEFT", "refused": str(error).replace(str(base), base.name)})
    return rows


SERVE = "from engine.backend import prepare; prepare(); from mlx_lm.server import main; main()"


def served(model: Path, sample: Sample) -> str:
    """What mlx_lm.server answers to the sample's question over HTTP."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    options = ["--model", str(model), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([sys.executable, "-c", SERVE, *options], cwd=Path(__file__).parents[2])
    asked = {
        "messages": [{"role": "user", "content": sample.question}],
        "max_tokens": sample.tokens,
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


def last_kept(run: RunDir) -> Sample:
    """An answer of the model as the run left it: the last one before the last commit."""
    kept, found = None, {}
    for record in read_journal(run.journal):
        if isinstance(record.event, Sample):
            found[record.event.topic, record.event.stage] = record.event
        elif isinstance(record.event, AdapterChanged) and record.event.state in ("fused", "kept_attached"):
            kept = found.get((record.event.topic, record.event.phase))
    assert kept is not None, "nothing was committed"
    return kept


def main(run: RunDir, tiny: Path, folder: Path) -> list[dict[str, object]]:
    """All cases; the tokenizer of the embedded model serves the tiny ones, which read no text."""
    sample = last_kept(run)
    rows = case(folder / "trained", run, sample)
    same = served(folder / "trained" / "mlx", sample).strip() == sample.answer.strip()
    rows.append({"case": "trained", "where": "mlx_lm.server", "same_answer": same})
    tokenizer = models.locate("smollm2-135m-instruct", print)
    for model in sorted(tiny.iterdir()):
        for file in tokenizer.glob("tokenizer*"):
            shutil.copy(file, model)
        specs = PHI if model.name == "phi3" else SPECS
        rows += case(folder / model.name, commit_random(folder / "runs" / model.name, model, specs), None)
    return rows


if __name__ == "__main__":
    print(json.dumps(main(RunDir(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))))
