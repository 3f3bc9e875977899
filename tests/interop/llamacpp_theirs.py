"""llama.cpp's side of `make interop-gguf`: loads a case's files, and counts what differs from the engine's.

llamacpp_theirs.py CASE    prints one JSON row for each file; the interpreter has xllamacpp
"""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import xllamacpp
from answers import agrees


def serve(model: Path, adapter: Path | None = None) -> Any:
    """Starts llama.cpp's server in this process: greedy, on the CPU, with keys and values in f32."""
    settings = xllamacpp.CommonParams()
    settings.model.path = str(model)
    settings.n_ctx, settings.n_parallel, settings.port, settings.verbosity = 1024, 1, 0, -1
    settings.warmup, settings.use_jinja, settings.cpuparams.n_threads = False, True, 2
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if adapter is not None:
        settings.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    return xllamacpp.Server(settings)


def ask(server: Any, path: str, **body: Any) -> dict[str, Any]:
    """Returns the server's answer to a request."""
    data, kind = json.dumps(body).encode(), {"content-type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(server.listening_address + path, data, kind), timeout=300
    ) as got:
        found: dict[str, Any] = json.load(got)
        return found


def tokenized(server: Any, text: str) -> list[int]:
    """Returns the token ids of a text, with those that llama.cpp puts before it."""
    found: list[int] = ask(server, "/tokenize", content=text, add_special=True, parse_special=True)["tokens"]
    return found


def answered(server: Any, rows: list[dict[str, Any]]) -> int:
    """Returns how many greedy answers are the engine's."""
    same = 0
    for row in rows:
        form = {"temperature": 0, "top_k": 1, "repeat_penalty": 1.0, "return_tokens": True}
        said = ask(server, "/completion", prompt=row["prompt"], n_predict=len(row["answer"]), **form)["tokens"]
        same += agrees(said, row["answer"], row["gaps"])
    return same


def compare(case: Path) -> list[dict[str, Any]]:
    """Returns a row for the fused model, and one for the adapter on its base if the case has it."""
    told = json.loads((case / "case.json").read_text())
    server = serve(next((case / "model").glob("*.gguf")))
    tokens = sum(tokenized(server, text) == ids for text, ids in told["texts"])
    prompts = sum(
        tokenized(server, ask(server, "/apply-template", messages=messages)["prompt"]) == ids
        for messages, ids in told["templates"]
    )
    of = {"texts": len(told["texts"]), "prompts": len(told["templates"]), "answers": len(told["answers"])}
    same = {"texts": tokens, "prompts": prompts, "answers": answered(server, told["answers"])}
    rows = [{"case": case.name, "where": "model", "same": same, "of": of}]
    if (case / "adapter").exists():
        beside = serve(next((case / "base").glob("*.gguf")), case / "adapter" / "adapter.gguf")
        same, of = {"answers": answered(beside, told["answers"])}, {"answers": len(told["answers"])}
        rows.append({"case": case.name, "where": "adapter on its base", "same": same, "of": of})
    return rows


if __name__ == "__main__":
    print("\n" + json.dumps(compare(Path(sys.argv[1]))))
