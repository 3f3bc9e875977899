"""Writes the model card of an export: base model, data, settings, scores, and how to load it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.vocabulary import PHASES, PREFERENCE, SCORED_STAGES, STAGES, StageRow
from engine.contract.wording import several
from engine.formats.low_rank import Loss
from engine.runtime.history import commits
from engine.runtime.summary import last_kept_phase, summarize

ROWS = 200  # the largest number of topics in the table
SHOWN = [STAGES[stage] for stage in SCORED_STAGES]
KINDS = {
    "mlx": "the base model with every committed change fused into its weights",
    "adapter": "one mlx-lm adapter that holds every committed change",
    "peft": "one PEFT adapter that holds every committed change",
    "gguf": "the base model with every committed change fused into its weights, as a GGUF file",
    "gguf-adapter": "one adapter of llama.cpp that holds every committed change",
}
LOADING = {
    "mlx": "mlx_lm.generate --model FOLDER --prompt 'A question.'",
    "adapter": "mlx_lm.generate --model BASE --adapter-path FOLDER --prompt 'A question.'",
    "peft": "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n"
    "model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained('BASE'), 'FOLDER')",
    "gguf": "ollama create NAME -f FOLDER/Modelfile && ollama run NAME\nllama-cli -m FOLDER/FILE.gguf --temp 0",
    "gguf-adapter": "llama-cli -m BASE.gguf --lora FOLDER/adapter.gguf --temp 0",
}
LIBRARY = {"mlx": "mlx", "adapter": "mlx", "peft": "peft", "gguf": "gguf", "gguf-adapter": "gguf"}


def card(
    records: Sequence[Record], form: str, base: str, deltas: int, fingerprint: str, loss: Loss | None, note: str | None
) -> str:
    """Returns the text of README.md.

    `deltas` is the number of committed changes in the model. `note` is a sentence about limits of the folder.
    """
    events = [record.event for record in records]
    started = next(event for event in events if isinstance(event, e.RunStarted))
    times = [record.t for record in records if not isinstance(record.event, e.Unknown)]
    seconds = times[-1] - times[0]
    summary = summarize(records, 0, fingerprint, seconds)
    loaded = [event.topics for event in events if isinstance(event, e.CurriculumLoaded)]  # one for each engine process
    infos = loaded[-1] if loaded else ()
    name = Path(base).name if "/" not in base or base.startswith("/") else base
    head: dict[str, Any] = {"library_name": LIBRARY[form], "pipeline_tag": "text-generation"}
    head |= {"base_model": base} if name == base and "/" in base else {}
    head |= {"tags": ["mindprint", "lora", *PHASES]}
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {plain(started.run)}",
        f"A voice taught to {plain(name)} topic by topic with mindprint-tui: {KINDS[form]}."
        + (f" {note[0].upper()}{note[1:]}." if note else ""),
        f"```\n{LOADING[form]}\n```",
        "## Scores",
        _scores(summary, _ended(events)),
        "## Data",
        f"{several(len(infos), 'topic')} of {plain(started.config)}: "
        f"{several(sum(info.sft_rows for info in infos), 'row')} of supervised fine-tuning, "
        f"{several(sum(info.pairs for info in infos), 'preference pair')}, "
        f"{several(sum(info.questions for info in infos), 'held-out question')}, never trained on."
        + _left_out(summary["rows"]),
        "## What was committed",
        _committed(events, deltas, fingerprint, loss),
        "## Settings",
        f"```yaml\n{_fenced(yaml.safe_dump(_shared(started.settings), sort_keys=False))}```",
        "## Versions",
        "\n".join(f"- {plain(name)} {plain(version)}" for name, version in started.versions.items()) or "Not known.",
    ]
    return "\n\n".join(parts) + "\n"


def _left_out(rows: dict[str, int] | None) -> str:
    """Returns a sentence about rows that were left out; an empty string if there are none."""
    unusable, marked = (rows or {}).get("unusable", 0), (rows or {}).get("not_trained", 0)
    told = [f"{several(unusable, 'row')} could not be used"] if unusable else []
    told += [f"{several(marked, 'row')} were marked not to be trained on"] if marked else []
    return f" {' and '.join(told)}: left out." if told else ""


def plain(text: str) -> str:
    """Escapes text so that Markdown shows it unchanged, on one line; data and names are not trusted."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return re.sub(r"([\\`*_\[\]<>|#~!&])", r"\\\1", line)


def _fenced(text: str) -> str:
    """Changes code fences in the text, so that it cannot close the fence around it."""
    return text.replace("```", "` ` `").replace("~~~", "~ ~ ~")


def _ended(events: Sequence[e.Event]) -> bool:
    """Returns whether the run had finished, either normally or because the user stopped it."""
    marks = [event for event in events if isinstance(event, e.RunStarted | e.EngineRestarted | e.RunFinished)]
    return isinstance(marks[-1], e.RunFinished)


def _scores(summary: dict[str, Any], ended: bool) -> str:
    rows = summary["topics"]
    lines = [
        ("" if ended else "The run had not come to its end when this was written. ")
        + f"{summary['passed']} of {summary['of']} topics passed. Voice and accuracy are means over held-out "
        "questions, from 0 to 1; a dash is a stage that was not run, in brackets is a phase that is not in this model.",
        "",
        "| topic | verdict | " + " | ".join(f"voice {row.short} | accuracy {row.short}" for row in SHOWN) + " |",
        "|---|---|" + "--:|" * (2 * len(SHOWN)),
    ]
    for row in rows[:ROWS]:
        figures = [_number(row, stage, name) for stage in SHOWN for name in ("voice", "accuracy")]
        title, topic = plain(row["title"]), plain(row["topic"])
        lines.append(f"| {title} ({topic}) | {row['verdict']} | {' | '.join(figures)} |")
    if len(rows) > ROWS:
        lines.append(f"\nThe first {ROWS} of {len(rows)} topics; summary.json of the run has all of them.")
    return "\n".join(lines)


def _number(row: dict[str, Any], stage: StageRow, name: str) -> str:
    """Returns a score as text, in brackets if its phase is not in the model.

    If the model kept a preference phase, that includes SFT, since DPO trains a shared adapter further.
    """
    scores = row[stage.summary]
    if not scores or scores[name] is None:
        return "–"
    text = f"{scores[name]:.2f}"
    last = last_kept_phase(row)
    return f"({text})" if stage.phase and last != stage.phase and last not in PREFERENCE else text


def _committed(events: Sequence[e.Event], deltas: int, fingerprint: str, loss: Loss | None) -> str:
    loaded = next((event for event in events if isinstance(event, e.ModelLoaded)), None)
    fused = [event for event in commits(events).values() if event.state == "fused"]  # deltas kept separately are exact
    cosines = [event.fuse_cosine for event in fused if event.fuse_cosine is not None]
    lines = [f"- committed changes: {deltas}; model fingerprint {plain(fingerprint)}"]
    if cosines:
        lines.append(f"- lowest cosine between an intended and an applied change: {min(cosines):.6f}")
    if loaded is not None:
        dtype, base = plain(loaded.dtype), plain(loaded.fingerprint)
        lines.append(f"- {loaded.parameters:,} parameters, {dtype}; base fingerprint {base}")
    if loss is not None:
        lines.append(f"- cut to a smaller rank: {loss}")
    return "\n".join(lines)


def _shared(value: Any) -> Any:
    """Returns the settings in a form that may be published: every absolute path is cut to its last part."""
    if isinstance(value, dict):
        return {key: _shared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shared(item) for item in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value
