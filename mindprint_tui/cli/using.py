"""Commands that use the model of a run: chat, export, serve"""

from pathlib import Path

import click

from mindprint_tui import completion
from mindprint_tui.cli.common import LOGS, RUN, chosen
from mindprint_tui.process import programs, run_status


@click.command()
@RUN
@click.option(
    "--stage",
    metavar="before|TOPIC[:PHASE]",
    shell_complete=completion.run_topics,
    help="before: the base model. TOPIC: the model after the last commit of that topic. TOPIC:sft, TOPIC:dpo: the "
    "model after that phase, also if it was rolled back (the last five such phases are kept on the disk).",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    help="Longest answer in tokens; 512 by default, or evaluation.max_tokens if stdin is not a terminal.",
)
@LOGS
def chat(run: str | None, stage: str | None, max_tokens: int | None, logs: Path) -> int:
    """Talk to the model that RUN made.

    Without RUN, it takes the newest run. If stdin is not a terminal, each line is a separate question.
    """
    from mindprint_tui.process import chat

    folder = chosen(logs, run)
    if stage is not None:
        stage = run_status.find_stage(folder, stage)
    return chat.chat(folder, stage, max_tokens)


@click.command()
@RUN
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="The folder to make.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["mlx", "adapter", "peft", "gguf", "gguf-adapter"]),
    default="mlx",
    show_default=True,
    help="mlx: a fused model for mlx-lm and transformers; adapter: one adapter for mlx-lm; peft: one adapter for PEFT; "
    "gguf: a fused model for Ollama, LM Studio and llama.cpp; gguf-adapter: one adapter for llama.cpp.",
)
@click.option("--rank", type=click.IntRange(1), help="Reduce an adapter to this rank, and print the loss.")
@click.option(
    "--type",
    "numbers",
    metavar="TYPE",
    help="Number type of gguf: f16 (default), f32, bf16, q8_0, q5_1, q5_0, q4_1, q4_0.",
)
@click.option("--measure", is_flag=True, help="Measure how much the type changes the voice, on the held-out questions.")
@LOGS
def export(
    run: str | None, target: Path, form: str, rank: int | None, numbers: str | None, measure: bool, logs: Path
) -> int:
    """Write the model of RUN as a folder for other programs.

    Without RUN, it takes the newest run.
    """
    return programs.export(chosen(logs, run), target, form, rank, numbers, measure)


@click.command()
@RUN
@click.option(
    "--stage",
    metavar="before|TOPIC",
    shell_complete=completion.run_topics,
    help="before: the base model. TOPIC: the model after the last commit of that topic.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; another needs a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--max-tokens", type=click.IntRange(1), help="Longest answer in tokens; 512 by default.")
@LOGS
def serve(run: str | None, stage: str | None, host: str, port: int, max_tokens: int | None, logs: Path) -> int:
    """Serve the model of RUN to other programs, as OpenAI's API.

    Without RUN, it takes the newest run. Only this machine can connect. To allow others, set another --host and put a
    token into the environment variable MINDPRINT_TOKEN.
    """
    folder = chosen(logs, run)
    if stage is not None:
        stage = run_status.find_stage(folder, stage)
    return programs.serve(folder, stage, host, port, max_tokens)
