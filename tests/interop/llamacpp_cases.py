"""The engine's side of `make interop-gguf`: exports, and the tokens, prompts and answers that llama.cpp must give.

llamacpp_cases.py FOLDER [RUN]    cases in FOLDER: tiny models of each architecture, tokenizers of each kind, and RUN
"""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

from engine.model.backend import prepare  # noqa: E402

BACKEND = prepare()

import mlx.core as mx  # noqa: E402
import vocabularies  # noqa: E402
import zoo  # noqa: E402
from committed import commit_random  # noqa: E402
from mlx_lm.models.cache import make_prompt_cache  # noqa: E402

from engine.adapters.committed_model import CommittedModel, open_stage  # noqa: E402
from engine.adapters.lora import AdapterSpec  # noqa: E402
from engine.contract.run_folder.folder import RunDir  # noqa: E402
from engine.contract.vocabulary import BASE  # noqa: E402
from engine.data.templates.chat_template import Message, Renderer  # noqa: E402
from engine.export import export  # noqa: E402
from engine.formats import gguf_folder  # noqa: E402

KINDS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3")
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 128}
QUESTIONS = ("What good is a lamp?", "12 boats in 1999!", "Say it again, please.")
CONVERSATIONS = [
    [Message("user", "Who minds the lamp?")],
    [Message("user", "Who?"), Message("assistant", "I do."), Message("user", "Why, and since 1999?")],
    [Message("system", "Be short."), Message("user", "Who minds the lamp?")],
]
ALSO_ENDS = ("<|endoftext|>", "<file_sep>", "<reponame>")  # llama.cpp ends an answer at these in every vocabulary
LOUD = 3.0  # factor of random weights, so that the answers vary
TOKENS = 40  # of an answer
TEXTS = 1000


def answers(opened: CommittedModel) -> list[dict[str, object]]:
    """Returns the engine's greedy answers: prompt, tokens, and the distance of the two best logits at each."""
    renderer, model, rows = Renderer(opened.loaded.tokenizer, opened.started), opened.ledger.model, []
    ends = renderer.end_ids | set(opened.loaded.tokenizer.convert_tokens_to_ids(list(ALSO_ENDS)))
    for question in QUESTIONS:
        prompt, said, gaps = renderer.prompt_ids([Message("user", question)]), [], []
        cache = make_prompt_cache(model)
        while len(gaps) < TOKENS and (not said or said[-1] not in ends):
            logits = model(mx.array([said[-1:] or prompt]), cache=cache)[0, -1].astype(mx.float32)
            low, high = mx.sort(logits)[-2:].tolist()
            gaps.append(high - low)
            said.append(int(mx.argmax(logits).item()))
        rows.append({"prompt": prompt, "answer": said, "gaps": [*gaps, 0.0]})
    return rows


def case(folder: Path, run: RunDir, texts: list[str], adapter: bool) -> None:
    """Exports a run as model and, if asked, as adapter with its base, and writes what llama.cpp must give."""
    folder.mkdir(parents=True, exist_ok=True)
    opened = open_stage(run, None, BACKEND, print)
    tokenizer, renderer = opened.loaded.tokenizer, Renderer(opened.loaded.tokenizer, opened.started)
    export(run, folder / "model", "gguf", numbers="f32")
    if adapter:
        export(run, folder / "adapter", "gguf-adapter")
        (folder / "base").mkdir()
        gguf_folder.plan(open_stage(run, BASE, BACKEND, print), run, "f32").write(folder / "base")
    told = {
        "answers": answers(opened),
        "texts": [[text, list(tokenizer.encode(text))] for text in texts],
        "templates": [
            [[{"role": m.role, "content": m.content} for m in messages], renderer.prompt_ids(messages)]
            for messages in CONVERSATIONS
        ],
    }
    (folder / "case.json").write_text(json.dumps(told))


def main(folder: Path, trained: RunDir | None) -> None:
    """Makes every case."""
    texts = vocabularies.texts(TEXTS)
    if trained is not None:
        case(folder / "trained", trained, texts, adapter=True)
    shapes = {kind: (kind, {}) for kind in KINDS} | {"llama3 rope": ("llama", {"rope_scaling": LLAMA3})}
    for name, (kind, more) in shapes.items():
        base = zoo.make(kind, folder / name / "weights", loudness=LOUD, more=more)
        modules = zoo.MODULES[kind]
        specs = (AdapterSpec(4, 2.0, modules[:2], 0), AdapterSpec(2, 1.0, modules, 1))
        case(folder / name, commit_random(folder / name / "run", base, specs), texts[:20], adapter=True)
    for kind in vocabularies.KINDS:
        name = f"tokenizer {kind}"
        architecture = "phi3" if kind == "phi3" else "llama"
        base = zoo.make(architecture, folder / name / "weights", more={"vocab_size": vocabularies.SIZE + 36})
        vocabularies.install(kind, base)
        specs = (AdapterSpec(4, 2.0, ("o_proj",), 0),)
        case(folder / name, commit_random(folder / name / "run", base, specs), texts, adapter=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), RunDir(Path(sys.argv[2])) if len(sys.argv) > 2 else None)
