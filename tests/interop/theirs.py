"""PyTorch's side of the comparison, in an environment of its own: tiny models of each kind, and logits of exports.

theirs.py make FOLDER       tiny random models as transformers writes them, one folder for each kind
theirs.py compare FOLDER    for each case in FOLDER the differences to the engine's logits, and greedy answers, as JSON
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy
import torch
from answers import agrees
from peft import AutoPeftModelForCausalLM, PeftModel
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


def compare(folder: Path) -> list[dict[str, Any]]:
    """A case is a folder with case.json (`base`, and of a trained one its answer), reference.npz and the exports."""
    rows = []
    for case in sorted(path.parent for path in folder.glob("*/case.json")):
        told = json.loads((case / "case.json").read_text())
        reference = {name: torch.from_numpy(array) for name, array in numpy.load(case / "reference.npz").items()}
        model, info = AutoModelForCausalLM.from_pretrained(case / "mlx", output_loading_info=True)
        assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
        assert model.dtype == torch.float32, model.dtype
        if "question" in told:
            same = agrees(answer(model, case / "mlx", told), told["answer"], told["gaps"])
            rows.append({"case": case.name, "where": "transformers, answer", "same_answer": same})
        programs = {"transformers": model}
        if (case / "peft").exists():
            programs["PEFT"] = AutoPeftModelForCausalLM.from_pretrained(case / "peft", dtype=torch.float32)
            base = AutoModelForCausalLM.from_pretrained(told["base"], dtype=torch.float32)
            programs["PEFT, merged"] = PeftModel.from_pretrained(base, case / "peft").merge_and_unload()
        for where, program in programs.items():
            found = differences(program, reference, case / f"{where}.npy")
            rows.append({"case": case.name, "where": where} | found)
    return rows


def differences(model: Any, reference: dict[str, torch.Tensor], kept: Path) -> dict[str, float]:
    """The largest ones to the engine's logits in each precision, and of fp32 to float64 here and in the engine.

    The fp32 logits go to the file `kept`.
    """
    ids = reference["ids"].long()
    fp32 = logits(model, ids)
    numpy.save(kept, fp32.numpy())
    rows = {"fp32": far(fp32, reference["fp32"])}
    if "float64" in reference:
        exact = logits(model.double(), ids)
        rows["float64"] = far(exact, reference["float64"])
        rows |= {"rounds": far(fp32, exact), "engine rounds": far(reference["fp32"], reference["float64"])}
    return rows


def answer(model: Any, folder: Path, told: dict[str, Any]) -> list[int]:
    """The greedy answer as token ids, without the end token."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": told["question"]}], add_generation_prompt=True, return_tensors="pt"
    )
    said = model.generate(**asked, max_new_tokens=told["max_tokens"], do_sample=False)
    text = tokenizer.decode(said[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    ids: list[int] = tokenizer.encode(text.strip(), add_special_tokens=False)
    return ids


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=ids).logits
        return found


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


if __name__ == "__main__":
    torch.set_num_threads(2)
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        print(json.dumps(compare(Path(sys.argv[2]))))
