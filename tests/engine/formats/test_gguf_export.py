"""A GGUF export: the engine's model again when our reader converts the file back, and refusals in one sentence."""

from pathlib import Path

import mlx.core as mx
import pytest
import tiny
from committed import commit_random
from mlx_lm.utils import load_model

from engine.adapters.committed_model import open_stage
from engine.adapters.lora import AdapterSpec
from engine.contract.run_folder.folder import RunDir
from engine.export import export
from engine.model import gguf
from engine.model.backend import prepare

SPECS = (AdapterSpec(4, 2.0, ("q_proj", "v_proj"), 0), AdapterSpec(2, 1.0, ("k_proj", "o_proj", "down_proj"), 1))
IDS = mx.array([[1, 40, 300, 7, 512, 90, 3]])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    base = tiny.make_model(tmp_path_factory.mktemp("models") / "base")
    return commit_random(tmp_path_factory.mktemp("logs") / "My run", base, SPECS)


def read_back(file: Path, folder: Path) -> mx.array:
    folder.mkdir()
    gguf.convert(file, folder)
    return load_model(folder)[0](IDS)


def test_our_reader_finds_the_engine_s_model(run: RunDir, tmp_path: Path) -> None:
    said = export(run, tmp_path / "out", "gguf", numbers="f32")
    print(said)
    wanted = open_stage(run, None, prepare(), print).ledger.model(IDS)
    found = read_back(tmp_path / "out" / "my-run-f32.gguf", tmp_path / "back")
    assert mx.abs(found - wanted).max().item() < 1e-5
