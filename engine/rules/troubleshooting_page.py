"""Writes docs/TROUBLESHOOTING.md from the catalogue of rules.

Usage: `python -m engine.rules.troubleshooting_page FILE`.
"""

import sys
from pathlib import Path

from engine.rules.catalogue import ALL

ENDS = {
    "phase": "the phase is rolled back, the topic is an error, the run continues with the next topic",
    "run": "the run ends with status 3",
    "start": "nothing is started, status 2",
    "warning": "nothing: it is a warning",
}

ELSEWHERE = {  # what else a breach ends if it is found at another moment
    "ledger-declares": "if found while a run is resumed or a model is rebuilt: the run ends with status 3",
    "questions-held-out": "if found before the run, as is usual: nothing is started, status 2",
}

HEAD = """# Troubleshooting

The engine checks itself while it runs. A broken rule is shown as `RULE BROKEN: name` in the console, as
`ERROR failed … rule=name` in training.log, and as a `failed` event in the journal. Nothing of that phase is
committed.

Rules about configuration and data are checked before the run starts. A breach prints one sentence with file, line and
field, or a warning. It has no event in the journal.

`make docs` makes this table from engine/rules/catalogue.py. The number is the row of the old failure that the rule
prevents.

| Symptom on the screen | Rule | It ends | Likely cause | What to do |
|---|---|---|---|---|
"""

TAIL = """
## Where else to look

| Symptom | Likely cause | What to do |
|---|---|---|
| `✗ FAILED` and no rule | an exception in the engine | its traceback is in the `failed` event in journal.jsonl |
| `the disk is full` and status 3 | no space for the run folder | free some space, then `mindprint-tui --resume RUN`: all commits are whole |
| `the run folder is gone` and status 3 | logs/RUN was deleted or moved during the run | move it back and resume, or start the run again |
| `a run goes on as it began` and status 2 | a setting of the training, or the rows of the named topic, changed while the run was stopped | restore them and resume, or start a new run |
| `‖ paused by run.pause_on` | a phase collapsed or failed, and run.pause_on asks for a pause then | read the answers (enter), then `p` or `ctl RUN resume`, or `stop` |
| topic `collapsed` | SFT broke the answers (repeated, empty, special tokens) and was rolled back, and the kept model does not pass | lower sft.learning_rate or sft.epochs |
| `rolled back` after DPO | DPO made the answers or the held-out pairs worse | lower dpo.learning_rate, raise dpo.beta |
| `the base model is …, the run began on …` from chat or export | the model folder changed, or `model.name` now means another folder; or the device or the version of MLX changed | use those of the run's start: `model_loaded` and `run_started` in journal.jsonl |
| `mlx-lm makes another model of its fused folder` from export | mlx-lm cannot read this architecture or packing as it writes it | `--format adapter` |
| `the export died (signal 9)` | the system killed it, most likely because memory ran out | close other programs, or `--format adapter` |
| warning `slow-blas` | MLX has no fast BLAS on this machine | the warning names the library |
| warning `number-type` | the scales of the quantized base have another number type than model.dtype, so MLX computes in float32 | set model.dtype to the type in the warning |
"""  # noqa: E501


def table() -> str:
    """Returns the text of docs/TROUBLESHOOTING.md."""
    lines = []
    for rule in ALL:
        named = f"{rule.number} `{rule.name}`: {rule.text}"
        ends = "; ".join(filter(None, (ENDS[rule.ends], ELSEWHERE.get(rule.name))))
        lines.append(f"| {rule.symptom} | {named} | {ends} | {rule.cause} | {rule.remedy} |\n")
    return HEAD + "".join(lines) + TAIL


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
