"""`PYTHONPATH=. python tests/interop/sweep.py [ARCHITECTURE…]`: what this engine makes of every architecture of mlx-lm.

A tiny random model of each is built from guessed sizes, float and 4-bit, loaded as a run loads it, given adapters on
every kind of linear module that its layers have, taken one step, fused, and asked for answers in a batch. Prints a line
for each: `whole`, or the first thing that did not work. What cannot be built from these guesses says nothing.
"""

import dataclasses
import importlib
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from engine.model.backend import prepare

prepare()  # before mlx

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
import mlx_lm.models  # noqa: E402
import tiny  # noqa: E402
import zoo  # noqa: E402
from mlx.utils import tree_flatten, tree_map  # noqa: E402
from mlx_lm.generate import batch_generate  # noqa: E402

from engine.adapters import ledger, lora  # noqa: E402
from engine.adapters.lora import AdapterSpec  # noqa: E402
from engine.data.batches import collate  # noqa: E402
from engine.data.templates.chat_template import Message, Renderer  # noqa: E402
from engine.model import loading  # noqa: E402
from engine.model.logprobs import Scorer  # noqa: E402
from engine.training.losses import sft_loss  # noqa: E402

LAYERS = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
ROPE = {"rope_theta": 10000.0, "rope_type": "default"}
GUESSES: dict[str, Any] = {
    **zoo.HEADS,
    **dict.fromkeys("num_hidden_layers n_layer n_layers num_experts num_local_experts n_routed_experts".split(), 4),
    **dict.fromkeys("moe_num_experts num_attention_heads n_head n_heads num_heads".split(), 4),
    **dict.fromkeys("linear_num_value_heads conv_kernel mamba_d_conv linear_conv_kernel_dim".split(), 4),
    **dict.fromkeys(
        "num_key_value_heads num_experts_per_tok num_experts_per_token moe_k expand mamba_expand".split(), 2
    ),
    **dict.fromkeys("linear_num_key_heads full_attention_interval sliding_window_pattern attn_layer_period".split(), 2),
    **dict.fromkeys(
        "expert_layer_period n_activated_experts mlp_ratio layer_group_size group_norm_size top_k".split(), 2
    ),
    **dict.fromkeys(
        "n_shared_experts num_shared_experts first_k_dense_replace moe_layer_freq n_group topk_group".split(), 1
    ),
    **dict.fromkeys("decoder_sparse_step attn_layer_offset expert_layer_offset n_groups mamba_n_groups".split(), 1),
    **dict.fromkeys("num_dense_layers interleave_moe_layer_step moe_layer_interval moe_layer_start_index".split(), 1),
    **dict.fromkeys("hidden_size n_embd d_model block_dim dim_model_base".split(), 64),
    **dict.fromkeys("intermediate_size n_inner ffn_hidden_size mlp_hidden_size block_ff_dim mamba_d_ssm".split(), 128),
    **dict.fromkeys("moe_intermediate_size shared_expert_intermediate_size sliding_window".split(), 32),
    **dict.fromkeys("moe_shared_expert_intermediate_size".split(), 32),
    **dict.fromkeys(
        "head_dim kv_lora_rank q_lora_rank qk_nope_head_dim v_head_dim state_size ssm_state_size".split(), 16
    ),
    **dict.fromkeys("linear_key_head_dim linear_value_head_dim mamba_d_state mamba_d_head mamba_head_dim".split(), 16),
    **dict.fromkeys("query_pre_attn_scalar chunk_size mamba_chunk_size".split(), 16),
    **dict.fromkeys(
        "qk_rope_head_dim rotary_dim mamba_dt_rank time_step_rank mamba_n_heads mamba_num_heads".split(), 8
    ),
    **dict.fromkeys("n_positions n_ctx max_seq_len model_max_length original_max_position_embeddings".split(), 512),
    **dict.fromkeys("layer_norm_eps layer_norm_epsilon norm_eps norm_epsilon block_norm_eps".split(), 1e-5),
    **dict.fromkeys("rope_local_base_freq rope_global_base_freq rotary_emb_base".split(), 10000.0),
    **dict.fromkeys("partial_rotary_factor rotary_pct residual_multiplier".split(), 0.5),
    **{"embedding_size": tiny.VOCABULARY, "num_kv_shared_layers": 0, "moe_layer_end_index": 3, "conv_L_cache": 3},
    **{"layer_types": LAYERS, "rope_parameters": ROPE, "mlp_only_layers": [], "full_attn_idxs": [1, 3]},
    **{"no_rope_layers": [1] * 4, "time_step_limit": [0.0, 1.0], "hybrid_override_pattern": ["M", "*", "M", "-"]},
    **{"scoring_func": "sigmoid", "score_function": "sigmoid", "topk_method": "noaux_tc", "block_multiple_of": 8},
    **{"logit_scale": 0.1, "attention_multiplier": 0.25, "clip_qkv": 8.0, "attn_logit_softcapping": 50.0},
    **{"attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0}, "rope_scaling": None},
    **{"ffn_config": {"ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2}},
}
YARN = ROPE | {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256, "mscale": 1.0}
YARN |= {"mscale_all_dim": 1.0, "beta_fast": 32, "beta_slow": 1, "llama_4_scaling_beta": 0.1}
BLOCK = {
    "attention": {"n_heads_in_group": 2, "no_op": False, "replace_with_linear": False},
    "ffn": {"ffn_mult": 1.0, "no_op": False, "replace_with_linear": False},
}
KINDS: dict[str, dict[str, Any]] = {  # what the guesses get wrong
    "deepseek_v2": {"rope_scaling": YARN, "scoring_func": "softmax", "topk_method": "greedy"},
    "hunyuan": {"rope_scaling": YARN | {"type": "dynamic", "alpha": 1000.0}},
    "minicpm3": {"rope_scaling": YARN | {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.0] * 4}},
    "ministral3": {"rope_parameters": YARN},
    "mellum": {"rope_parameters": {"sliding_attention": ROPE, "full_attention": ROPE}},
    "mimo_v2_flash": {"hybrid_layer_pattern": [0, 1, 0, 1], "moe_layer_freq": [0, 1, 1, 1]},
    "exaone_moe": {"is_moe_layer": [False, True, True, True]},
    "nemotron-nas": {"block_configs": [BLOCK] * 4},
    "kimi_linear": {
        "linear_attn_config": {"kda_layers": [1, 3], "full_attn_layers": [2, 4], "num_heads": 4, "head_dim": 16}
        | {"short_conv_kernel_size": 4}
    },
}
ASKED = [Message("user", "Who minds the lamp?")]


def guess(kind: str, arguments: Any) -> dict[str, Any]:
    """A configuration with a value for every field that has a guess, and one by type for what else has no default."""
    config: dict[str, Any] = {"model_type": kind}
    for field in dataclasses.fields(arguments):
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if field.name in GUESSES:
            config[field.name] = GUESSES[field.name]
        elif field.name == "text_config":
            config[field.name] = GUESSES | {"model_type": "llama"}
        elif needed and field.name != "model_type":
            words = {"bool": False, "int": 4, "float": 1.0, "str": "silu", "ist": [4] * 4, "ict": {}}
            config[field.name] = next((value for word, value in words.items() if word in str(field.type)), None)
    return config | KINDS.get(kind, {})


def build(kind: str, folder: Path, bits: int) -> loading.LoadedModel:
    """A model as a run loads it; raises whatever the architecture raises on these sizes."""
    module = importlib.import_module(f"mlx_lm.models.{kind}")
    config = guess(kind, module.ModelArgs)
    mx.random.seed(1)
    model = module.Model(module.ModelArgs.from_dict(config))
    if model(mx.array([[1, 5, 9, 7]])).shape[-1] != tiny.VOCABULARY:
        raise ValueError("not a decoder of tokens")
    return loading.load(zoo.write(folder, model, config, bits), "float32")


def engine(loaded: loading.LoadedModel) -> str:
    """One step of a run by hand; says what was seen, raises what the engine or mlx-lm raises."""
    model, renderer = loaded.model, Renderer(loaded.tokenizer)
    probe = mx.array([renderer.prompt_ids([Message("user", "The lamp is lit at dusk until morning.")])])
    scorer, book = Scorer(model, probe), ledger.Ledger(model, loaded.path, mx.float32)
    kinds = {
        path.rpartition(".")[2]
        for layer in model.layers
        for path, module in layer.named_modules()
        if isinstance(module, lora.LINEARS)
    }
    spec = AdapterSpec(4, 2.0, tuple(sorted(kinds)), 0)
    made = lora.attach(model, spec, seed=3)
    rows = [renderer.example(ASKED, answer, 128) for answer in ("Aye, I mind it.", "Nay, not I, lad, not tonight.")]
    batch = collate(rows, renderer.end_id)
    _, slopes = nn.value_and_grad(model, lambda: sft_loss(scorer.logps(batch)))()
    moved = tree_map(lambda p, g: p - 0.01 * g / (mx.abs(g).max() + 1e-9), model.trainable_parameters(), slopes)
    model.update(moved)
    alone = scorer.row_logps(collate(rows[:1], renderer.end_id, extra_padding=16))
    padded = bool(mx.allclose(alone, scorer.row_logps(batch)[:1], rtol=1e-4, atol=1e-3).item())
    delta = ledger.Delta("001-x", "x", "sft", spec, dict(lora.adapter_weights(model)))
    _, survival = book.fuse(delta, probe, 0.999, 1e-3)
    batch_generate(
        model, loaded.tokenizer, [renderer.prompt_ids(ASKED), renderer.prompt_ids([*ASKED, *ASKED])], max_tokens=3
    )
    still = sum(not mx.any(g).item() for name, g in tree_flatten(slopes) if name.endswith("lora_b"))
    odd = ("" if padded else ", padding shows") + (f", no gradient in {still} modules" if still else "")
    return f"whole: {len(made)} modules, cosine {survival.cosine:.5f}{odd}"


def survey(kind: str) -> None:
    for bits in (0, 4):
        with tempfile.TemporaryDirectory() as place:
            step = "not built"
            try:
                loaded = build(kind, Path(place) / "model", bits)
                step = "fails"
                said = engine(loaded)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a survey; olmo exits where its package is missing
                said = f"{step}: {type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
            print(f"{kind} {'4-bit' if bits else 'float'} {said}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        survey(sys.argv[1])
    else:  # each in a process of its own: one that MLX takes down does not end the survey
        for name in sys.argv[1:] or [item.name for item in pkgutil.iter_modules(mlx_lm.models.__path__)]:
            subprocess.run([sys.executable, __file__, name], check=False)
