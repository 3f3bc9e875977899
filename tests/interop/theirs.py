"""PyTorch's side of the comparison, in an environment of its own: tiny models of each kind, and logits of exports.

theirs.py make FOLDER            tiny random models as transformers writes them, one folder for each kind
theirs.py compare FOLDER LIMIT   for each case in FOLDER the largest difference to the engine's logits, as JSON
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

SIZES: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1024, "max_position_embeddings": 256,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": False},
    "llama-tied": {"model_type": "llama", "tie_word_embeddings": True},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {},
    "gemma2": {"sliding_window": 64, "query_pre_attn_scalar": 16},
    "gemma3_text": {"sliding_window": 64, "query_pre_attn_scalar": 16, "num_hidden_layers": 6},
    "mistral": {"sliding_window": None},
    "phi3": {},
    "qwen3_moe": MIXTURE,
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
}


def make(folder: Path) -> None:
    """Weights wide enough that a wrong one shows in every logit."""
    for kind, more in KINDS.items():
        torch.manual_seed(len(kind))
        settings = SIZES | more
        config = AutoConfig.for_model(settings.pop("model_type", kind), **settings, initializer_range=0.1)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(folder / kind)
        file = folder / kind / "config.json"
        file.write_text(json.dumps(as_published(json.loads(file.read_text())), indent=1))


def as_published(config: dict[str, Any]) -> dict[str, Any]:
    """With the keys that published models carry, and mlx-lm reads, where transformers 5 writes others by now."""
    rope = config["rope_parameters"]
    config["rope_theta"] = rope.get("full_attention", rope)["rope_theta"]
    if "sliding_attention" in rope:
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    if config["model_type"] == "qwen3_moe":
        config["num_experts"] = config["num_local_experts"]
    return config


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits.float()


def compare(folder: Path, limit: float) -> list[dict[str, Any]]:
    """A case is a folder with case.json (`base`, `question`, `answer`), reference.safetensors and the exports."""
    rows = []
    for case in sorted(path.parent for path in folder.glob("*/case.json")):
        told = json.loads((case / "case.json").read_text())
        reference = load_file(case / "reference.safetensors")
        ids, wanted = reference["ids"].long(), reference["logits"]
        model, info = AutoModelForCausalLM.from_pretrained(case / "mlx", output_loading_info=True)
        assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
        assert model.dtype == torch.float32, model.dtype
        rows.append({"case": case.name, "where": "transformers", "difference": far(logits(model, ids), wanted)})
        if told["answer"]:
            tokenizer = AutoTokenizer.from_pretrained(case / "mlx")
            asked = tokenizer.apply_chat_template(
                [{"role": "user", "content": told["question"]}], add_generation_prompt=True, return_tensors="pt"
            )
            said = model.generate(**asked, max_new_tokens=told["tokens"], do_sample=False)
            text = tokenizer.decode(said[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
            rows[-1]["same_answer"] = text.strip() == told["answer"].strip()
        if not (case / "peft").exists():
            continue
        adapted = AutoPeftModelForCausalLM.from_pretrained(case / "peft", dtype=torch.float32)
        rows.append({"case": case.name, "where": "PEFT", "difference": far(logits(adapted, ids), wanted)})
        base = AutoModelForCausalLM.from_pretrained(told["base"], dtype=torch.float32)
        rows[-1]["base_difference"] = far(logits(base, ids), wanted)
        merged = PeftModel.from_pretrained(base, case / "peft").merge_and_unload()
        rows.append({"case": case.name, "where": "PEFT, merged", "difference": far(logits(merged, ids), wanted)})
    return [row | {"holds": row["difference"] <= limit} for row in rows]


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


if __name__ == "__main__":
    torch.set_num_threads(2)
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        print(json.dumps(compare(Path(sys.argv[2]), float(sys.argv[3]))))
