"""`python -m engine.export RUN_DIR FOLDER`: the model as a run left it, fused, as a folder that mlx-lm loads."""

import shutil
import sys
from pathlib import Path

from engine.backend import prepare
from engine.contract.config import load_config
from engine.contract.errors import InputError
from engine.contract.rundir import RunDir

BESIDES = ("config.json", "tokenizer*", "special_tokens_map.json", "chat_template*", "generation_config.json")
VOCABULARIES = ("vocab.*", "merges.txt")


def export(run: RunDir, target: Path) -> str:
    """Writes base and committed deltas as one model; returns its fingerprint. Raises InputError.

    Deltas that were kept beside the weights are put into them, in float32.
    """
    backend = prepare()  # before mlx: the ledger replays to the same bits only with the BLAS that committed it
    import mlx.core as mx
    from mlx.utils import tree_unflatten
    from mlx_lm.utils import save_model

    from engine import models
    from engine.files import write_folder
    from engine.ledger import KeptLinear, Ledger, dense, plain_linear

    if target.exists():
        raise InputError(f"{target}: exists already; name a folder that does not")
    if not (run.adapters / "ledger.json").exists():
        raise InputError(f"{run.path}: nothing has been committed in this run, so there is nothing to export")
    config = load_config(run.config)
    dtype = backend.dtype if config.model.dtype == "auto" else config.model.dtype
    path = models.locate(config.model.name, print)
    loaded = models.load(path, dtype)
    ledger = Ledger(loaded.model, path, getattr(mx, dtype))
    ledger.replay(run.adapters)
    kept = [(name, module) for name, module in ledger.model.named_modules() if isinstance(module, KeptLinear)]
    ledger.model.update_modules(tree_unflatten([(name, plain_linear(m, dense(m))) for name, m in kept]))

    def fill(folder: Path) -> None:
        save_model(folder, ledger.model)
        for pattern in (*BESIDES, *VOCABULARIES):
            for file in path.glob(pattern):
                shutil.copy(file, folder / file.name)

    target.parent.mkdir(parents=True, exist_ok=True)
    write_folder(target, fill)
    return ledger.declared


def main() -> int:
    """Exit status 0, or 2 with a sentence."""
    if len(sys.argv) != 3:
        print("usage: python -m engine.export RUN_DIR FOLDER", file=sys.stderr)
        return 2
    try:
        fingerprint = export(RunDir(Path(sys.argv[1])), Path(sys.argv[2]))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{sys.argv[2]}: model {fingerprint}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
