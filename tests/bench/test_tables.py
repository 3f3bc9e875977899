"""The benchmark's pure parts: the workload never changes; ratios and verdicts are computed as they are described."""

import hashlib
import json

import tables
import workload

ROWS = "9b2757650d80311acebdbb3264f0cc81a4a0e7368c628f8a51758663bd4c8e0b"


def results(ours: float) -> dict:
    row = {"array_bytes": 10**9, "rss_bytes": 10**9}
    seconds = {
        "ours-sft": [ours, ours, 9.0],
        "mlx-lm-sft": [2.0, 2.0, 18.0],
        "trl-sft": [4.0, 4.0, 4.0],
        "ours-dpo": [1.0, 1.0, 1.0],
        "mlx-lm-lora-dpo": [3.0, 3.0, 3.0],
        "trl-dpo-precomputed": [2.0, 2.0, 2.0],
    }
    steps = {name: {"seconds": values, **row} for name, values in seconds.items()}
    steps["mlx-lm-lora-dpo"]["array_bytes"] = 2 * 10**9
    return {"versions": {"mlx": "1"}, "cores": 2, "steps": steps}


def test_the_rows_are_the_ones_that_every_number_was_measured_on() -> None:
    assert hashlib.sha256(json.dumps(workload.rows()).encode()).hexdigest() == ROWS


def test_a_ratio_is_of_medians_and_says_whether_it_is_met() -> None:
    text = tables.render(results(1.0))
    assert "| SFT | mlx-lm with OpenBLAS | 1.00 | 2.00 | 2.00x | 2.00-2.00 | 1.3x | yes |" in text
    assert "0.50 of mlx-lm-lora's, wanted at most 0.6: yes" in text
    slow = tables.render(results(1.9))
    assert "| SFT | mlx-lm with OpenBLAS | 1.90 | 2.00 | 1.05x | 1.05-2.00 | 1.3x | NO |" in slow


def test_the_page_keeps_what_is_outside_the_marks() -> None:
    page = f"above\n{tables.BEGIN}\nold\n{tables.END}\nbelow\n"
    once = tables.into(page, "new")
    assert once == f"above\n{tables.BEGIN}\nnew\n{tables.END}\nbelow\n"
    assert tables.into(once, "new") == once
