"""Times one rival on the fixed workload and prints one JSON line; run with the Python of the rivals' environment.

    rival.py {mlx-lm-sft,mlx-lm-lora-dpo,trl-sft,trl-dpo,trl-dpo-precomputed} MODEL_DIR STEPS [OPENBLAS_LIBRARY]

With OPENBLAS_LIBRARY, MLX takes its matrix products from that library and not from the reference BLAS in its wheel for
Linux. The trl rivals are run without: PyTorch brings its own, and two thread pools in one process slow it down.
mlx-lm-lora stops on a machine without Metal (KeyError 'max_recommended_working_set_size'), so the two calls that need
Metal are answered here; nothing else of it is touched.
"""

import contextlib
import io
import json
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import workload

from engine.model.backend import load_blas

FAR = 10**6  # steps: never
MAX_LENGTH = 512


def run_mlx_lm_sft(model: str, steps: int, work: Path) -> tuple[list[float], int]:
    import mlx.core as mx
    from mlx_lm import lora
    from mlx_lm.tuner.callbacks import TrainingCallback

    seconds: list[float] = []

    class Clock(TrainingCallback):  # type: ignore[misc]
        def on_train_loss_report(self, info: dict[str, Any]) -> None:
            seconds.append(1 / info["iterations_per_second"])

    original = lora.train_model
    lora.train_model = lambda args, model, train, valid, callback=None: original(args, model, train, valid, Clock())
    extra = dict(fine_tune_type="lora", mask_prompt=True)
    sys.argv = ["lora", "-c", mlx_config(model, steps, work, "sft", workload.SFT, extra)]
    lora.main()
    return seconds, mx.get_peak_memory()


def run_mlx_lm_lora_dpo(model: str, steps: int, work: Path) -> tuple[list[float], int]:
    import mlx.core as mx

    mx.device_info = lambda *_: {"max_recommended_working_set_size": 8 << 30}
    mx.set_wired_limit = lambda *_: None
    from mlx_lm_lora import train

    extra = dict(train_mode="dpo", train_type="lora", beta=workload.DPO["beta"], reference_model_path=model)
    sys.argv = ["train", "-c", mlx_config(model, steps, work, "dpo", workload.DPO, extra)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        train.main()
    seconds = [1 / float(rate) for rate in re.findall(r"it/s ([0-9.]+), tok/s", said.getvalue())]
    return seconds, mx.get_peak_memory()


def mlx_config(model: str, steps: int, work: Path, kind: str, spec: dict[str, Any], extra: dict[str, Any]) -> str:
    """A configuration file as mlx-lm and mlx-lm-lora read it."""
    import yaml

    keys = [f"{workload.KEYS[name]}.{name}" for name in spec["modules"]]
    config = dict(
        model=model,
        train=True,
        data=str(work / kind),
        num_layers=-1,
        batch_size=spec["batch"],
        iters=steps,
        steps_per_report=1,
        steps_per_eval=FAR,
        val_batches=1,
        learning_rate=spec["lr"],
        adapter_path=str(work / "out"),
        max_seq_length=MAX_LENGTH,
        lora_parameters=dict(keys=keys, rank=spec["rank"], scale=spec["scale"], dropout=0.0),
        **extra,
    )
    path = work / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def run_trl(model_dir: str, steps: int, work: Path, kind: str, precompute: bool = False) -> tuple[list[float], None]:
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    seconds: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.start = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds.append(time.perf_counter() - self.start)

    spec: dict[str, Any] = workload.SFT if kind == "sft" else workload.DPO
    torch.set_num_threads(os.cpu_count())
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    rows = load_dataset("json", data_files=str(work / kind / "train.jsonl"), cache_dir=str(work / "cache"))["train"]
    common = dict(
        output_dir=str(work / "out"),
        per_device_train_batch_size=spec["batch"],
        max_steps=steps,
        learning_rate=spec["lr"],
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=FAR,
        save_strategy="no",
        max_length=MAX_LENGTH,
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )
    peft = LoraConfig(r=spec["rank"], lora_alpha=spec["rank"] * spec["scale"], target_modules=list(spec["modules"]))
    if kind == "sft":
        rows = rows.map(
            lambda row: {"prompt": row["messages"][:1], "completion": row["messages"][1:]}, remove_columns=["messages"]
        )
        args, trainer = SFTConfig(completion_only_loss=True, **common), SFTTrainer
    else:
        rows = rows.map(
            lambda row: {
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "chosen": [{"role": "assistant", "content": row["chosen"]}],
                "rejected": [{"role": "assistant", "content": row["rejected"]}],
            }
        )
        args, trainer = DPOConfig(beta=spec["beta"], precompute_ref_log_probs=precompute, **common), DPOTrainer
    trainer(
        model=model, args=args, train_dataset=rows, processing_class=tokenizer, peft_config=peft, callbacks=[Clock()]
    ).train()
    return seconds, None


RIVALS = {
    "mlx-lm-sft": run_mlx_lm_sft,
    "mlx-lm-lora-dpo": run_mlx_lm_lora_dpo,
    "trl-sft": lambda *args: run_trl(*args, kind="sft"),
    "trl-dpo": lambda *args: run_trl(*args, kind="dpo"),
    "trl-dpo-precomputed": lambda *args: run_trl(*args, kind="dpo", precompute=True),
}


def main() -> None:
    name, model, steps = sys.argv[1], str(Path(sys.argv[2]).resolve()), int(sys.argv[3])
    if sys.argv[4:]:
        load_blas(Path(sys.argv[4]))
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        workload.write(Path(scratch))
        seconds, array_bytes = RIVALS[name](model, steps, Path(scratch))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "array_bytes": array_bytes, "rss_bytes": peak}))


if __name__ == "__main__":
    main()
