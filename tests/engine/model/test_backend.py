"""The backend takes the fast BLAS, and says so when it did not; each case in a process that has not imported mlx."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine import __main__ as program
from engine.contract.journal.store import read_journal
from engine.contract.run_folder.folder import RunDir
from engine.model.backend import SLOW_GFLOPS, prepare

ROOT = Path(__file__).parents[3]
REPORT = "import dataclasses, json; print(json.dumps(dataclasses.asdict(backend.prepare())))"
needs_blas = pytest.mark.skipif(prepare().blas is None, reason="MLX has a fast BLAS of its own here")


def fresh(*lines: str) -> dict:
    """What `prepare` answers in a new process, after `lines`."""
    code = "\n".join(["from engine.model import backend", *lines, REPORT])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@functools.cache
def slow() -> float:
    """GFLOP/s of this machine, as busy as it is, with MLX's own reference BLAS."""
    return fresh("backend.BLAS_PACKAGE = 'not-installed'")["gflops"]


def test_a_product_that_is_slow_is_warned_of_and_no_other():
    backend = fresh()
    assert (backend["device"], backend["dtype"]) in {("cpu", "float32"), ("gpu", "bfloat16")}
    assert (backend["warning"] is None) == (backend["device"] == "gpu" or backend["gflops"] >= SLOW_GFLOPS)


@needs_blas
def test_the_product_is_many_times_as_fast_as_without_the_library():
    assert fresh()["gflops"] > 4 * slow()


def test_a_second_call_returns_the_first_answer():
    assert prepare() is prepare()


def test_mlx_is_not_imported_before_prepare():
    code = "import sys, engine.model.backend; sys.exit('mlx.core' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@needs_blas
def test_a_missing_library_is_warned_of():
    backend = fresh("backend.BLAS_PACKAGE = 'not-installed'")
    assert backend["blas"] is None
    assert backend["gflops"] < SLOW_GFLOPS
    assert "the package not-installed is not installed" in backend["warning"]


@needs_blas
def test_mlx_imported_too_early_is_warned_of():
    backend = fresh("import mlx.core")
    assert backend["blas"] is None
    assert "mlx was imported before libopenblas.so.0" in backend["warning"]


@needs_blas
def test_a_library_that_cannot_be_loaded_is_warned_of(tmp_path):
    library = tmp_path / "libopenblas.so.0"
    library.write_text("not a library")
    backend = fresh(f"from pathlib import Path; backend.find_blas = lambda: Path({str(library)!r})")
    assert backend["blas"] is None
    assert "libopenblas.so.0 cannot be loaded" in backend["warning"]


@needs_blas
def test_the_bundled_fortran_library_serves_where_the_system_has_none():
    backend = fresh("backend.supply_fortran()")
    assert backend["blas"] == "libopenblas.so.0"
    assert backend["gflops"] > 4 * slow()


def test_a_backend_that_cannot_be_had_is_in_the_journal(tmp_path, monkeypatch, capsys):
    def absent():
        raise RuntimeError("[metal::load_device] No Metal device available.")

    monkeypatch.setattr(program, "prepare", absent)
    monkeypatch.setattr(program.os, "umask", lambda mask: mask)
    monkeypatch.setattr(sys, "argv", ["engine", str(tmp_path)])
    (tmp_path / "config.yaml").write_text(f"curriculum: {{path: {tmp_path}}}\n")
    assert program.main() == 3 and "No Metal device" in capsys.readouterr().err
    (record,) = read_journal(RunDir(tmp_path).journal)
    assert record.event.message == "RuntimeError: [metal::load_device] No Metal device available."
    assert record.event.topic is None and "in absent" in record.event.traceback
