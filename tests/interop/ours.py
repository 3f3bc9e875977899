"""The engine's side of the comparison: runs on models of each kind, their exports, and the logits that must come out.

ours.py RUN MODELS FOLDER    cases in FOLDER: the trained run RUN, and random deltas on each model in MODELS

Prints which exports were refused.
"""

import json
import shutil
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

from engine.model.backend import prepare  # noqa: E402

BACKEND = prepare()

import mlx.core as mx  # noqa: E402
from committed import commit_random  # noqa: E402
from precise import precise  # noqa: E402

from engine.adapters.committed_model import open_stage  # noqa: E402
from engine.adapters.lora import AdapterSpec  # noqa: E402
from engine.contract.errors import InputError  # noqa: E402
from engine.contract.journal.events import AdapterChanged, Sample  # noqa: E402
from engine.contract.journal.store import read_journal  # noqa: E402
from engine.contract.run_folder.folder import RunDir  # noqa: E402
from engine.data.templates.chat_template import Message, Renderer  # noqa: E402
from engine.export import export  # noqa: E402
from engine.model import loading  # noqa: E402

SPECS = (AdapterSpec(4, 2.0, ("q_proj", "v_proj"), 0), AdapterSpec(2, 1.0, ("o_proj", "down_proj"), 2))
PHI = (AdapterSpec(4, 2.0, ("qkv_proj", "o_proj"), 0), AdapterSpec(2, 1.0, ("gate_up_proj", "down_proj"), 2))
TOKENS = 32


def case(folder: Path, run: RunDir, sample: Sample | None) -> list[dict[str, object]]:
    """Exports a run in every form, and writes the engine's logits of a sample, or of random tokens."""
    opened = open_stage(run, None, BACKEND, print)
    folder.mkdir(parents=True)
    told: dict[str, object] = {"base": str(opened.ledger.base)}
    if sample is None:
        ids = mx.random.randint(3, 1000, (1, TOKENS), key=mx.random.key(0))
    else:
        prompt = Renderer(opened.loaded.tokenizer, opened.started).prompt_ids([Message("user", sample.question)])
        answer = opened.loaded.tokenizer.encode(sample.answer.strip(), add_special_tokens=False)
        ids = mx.array([[*prompt, *answer]])
        told |= {"question": sample.question, "max_tokens": sample.tokens, "answer": list(answer)}
    logits = precise(opened.ledger.model, ids)
    if sample is not None:
        best = mx.sort(mx.topk(logits["fp32"][0, len(prompt) - 1 :], 2))
        told["gaps"] = (best[:, 1] - best[:, 0]).tolist()
    mx.savez(str(folder / "reference.npz"), ids=ids.astype(mx.int32), **logits)
    (folder / "case.json").write_text(json.dumps(told))
    export(run, folder / "mlx")
    export(run, folder / "adapter", "adapter")
    try:
        export(run, folder / "peft", "peft")
    except InputError as error:
        base = opened.ledger.base
        return [{"case": folder.name, "where": "PEFT", "refused": str(error).replace(str(base), base.name)}]
    return []


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
    rows = case(folder / "trained", run, last_kept(run))
    tokenizer = loading.locate("smollm2-135m-instruct", print)
    for model in sorted(tiny.iterdir()):
        for file in tokenizer.glob("tokenizer*"):
            shutil.copy(file, model)
        specs = PHI if model.name == "phi3" else SPECS
        rows += case(folder / model.name, commit_random(folder / "runs" / model.name, model, specs), None)
    return rows


if __name__ == "__main__":
    print(json.dumps(main(RunDir(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))))
