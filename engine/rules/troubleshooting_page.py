"""Writes docs/TROUBLESHOOTING.md from the catalogue of rules.

Usage: `python -m engine.rules.troubleshooting_page FILE`.
"""

import sys
from pathlib import Path

from engine.rules.catalogue import ALL

ENDS = {
    "phase": "the phase is rolled back, the topic is an error, the next one goes on",
    "run": "the run ends with status 3",
    "start": "nothing is begun, status 2",
    "warning": "nothing: it is a warning",
}

ELSEWHERE = {  # what else a breach ends if it is found at another moment
    "ledger-declares": "found as a run is resumed, or as a model is made anew: the run, with status 3",
    "questions-held-out": "found before the run, as it usually is: nothing is begun, status 2",
}

HEAD = """# Troubleshooting

The engine checks itself while it runs. A rule that does not hold is shown as `RULE BROKEN: name` in the console, as
`ERROR failed … rule=name` in training.log, and as a `failed` event in the journal. Nothing of that phase is
committed.

A rule about configuration or data that is looked at before anything begins is a sentence with file, line and field, or
a warning, and has no such event.

This table is made from engine/rules/catalogue.py by `make docs`; the number is the row of the old failure that the rule
is for.

| Symptom on the screen | Rule | It ends | Likely cause | What to do |
|---|---|---|---|---|
"""

TAIL = """
## Where else to look

| Symptom | Likely cause | What to do |
|---|---|---|
| `✗ FAILED` and no rule | an exception in the engine | its traceback is in the `failed` event in journal.jsonl |
| `the disk is full` and status 3 | no space for the run folder | make room, then `mindprint-tui --resume RUN`: what was committed is whole |
| `the run folder is gone` and status 3 | somebody deleted or moved logs/RUN while it ran | put it back and resume, or start the run again |
| `a run goes on as it began` and status 2 | a setting that decides what is trained, or the rows of the topic that it names, changed while the run was stopped | put them back and resume, or start a new run |
| `‖ paused by run.pause_on` | a phase collapsed or failed, and run.pause_on asks for a pause then | look at the answers (enter), then `p` or `ctl RUN resume`, or `stop` |
| topic `collapsed` | SFT broke the answers (repeated, empty, special tokens), was rolled back, and what is kept does not pass | lower sft.learning_rate or sft.epochs |
| `rolled back` after DPO | DPO made the answers or the held-out pairs worse | lower dpo.learning_rate, raise dpo.beta |
| `the base model is …, the run began on …` from chat or export | the model folder was changed since, or `model.name` is found elsewhere now; or device or version of MLX are others | take the ones that the run began with: `model_loaded` and `run_started` in journal.jsonl |
| `mlx-lm makes another model of its fused folder` from export | an architecture or a packing that mlx-lm cannot write as it reads it | `--format adapter` |
| `the export died (signal 9)` | the system ended it, most likely for want of memory | close other programs, or `--format adapter` |
| warning `slow-blas` | MLX has no fast BLAS on this machine | the warning names the library |
| warning `number-type` | a quantized base with scales of another number type than model.dtype, so that MLX computes in float32 | set model.dtype to the type that it names |
"""  # noqa: E501


def table() -> str:
    """Returns docs/TROUBLESHOOTING.md as it must be."""
    lines = []
    for rule in ALL:
        named = f"{rule.number} `{rule.name}`: {rule.text}"
        ends = "; ".join(filter(None, (ENDS[rule.ends], ELSEWHERE.get(rule.name))))
        lines.append(f"| {rule.symptom} | {named} | {ends} | {rule.cause} | {rule.remedy} |\n")
    return HEAD + "".join(lines) + TAIL


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
