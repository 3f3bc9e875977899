"""A run with a bad configuration is refused before MLX is loaded, which takes a second."""

import subprocess
import sys
from pathlib import Path

from engine.contract.exit_codes import BAD_INPUT
from engine.contract.run_folder.folder import create

CODE = "import sys; from engine.__main__ import main; print(main(), 'mlx.core' in sys.modules)"


def test_a_bad_configuration_is_refused_before_mlx_is_loaded(tmp_path: Path) -> None:
    run = create(tmp_path, "night")
    run.config.write_text("curriculum: {path: course}\nsft: {rank: eight}\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", CODE, str(run.path)], capture_output=True, text=True, timeout=280)
    assert (done.stdout.strip(), done.stderr.strip()) == (
        f"{BAD_INPUT} False",
        f"{run.config}:2: sft.rank: found 'eight', expected a whole number",
    )
