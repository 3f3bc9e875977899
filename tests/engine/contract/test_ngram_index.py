"""What counts as the same text, looked up and counted out."""

import random
from typing import Any

import pytest

from engine.contract.workbook import ngram_index
from engine.contract.workbook.ngram_index import NEAR, Index


def grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


@pytest.mark.parametrize("running", [False, True])
def test_what_is_found_is_what_comparing_with_each_text_finds(running: bool) -> None:
    rng, found = random.Random(1), 0
    texts = [" ".join(rng.choices("abc", k=rng.randint(3, 14))) for _ in range(300)]
    index = Index()
    for place, text in enumerate(texts):
        (index.add_running if running else index.add)(str(place), text)
    for _ in range(400):
        asked, besides = " ".join(rng.choices("abc", k=rng.randint(3, 14))), {str(n) for n in range(0, 300, 3)}
        mine, near = grams(asked), {}
        for place, text in enumerate(texts):
            count, whole = len(mine & grams(text)), mine if running else mine | grams(text)
            if count / len(whole) >= NEAR and str(place) not in besides:
                near[str(place)] = count
        hit = index.find(asked, frozenset(besides))
        assert (hit is None) == (not near)
        assert hit is None or near[hit] == max(near.values())
        found += hit is not None
    assert 50 < found < 400


def test_a_common_phrase_is_not_looked_up_in_every_text_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 60,000 rows that was minutes, at every start."""
    index, looked = Index(), 0
    for place in range(500):
        index.add(str(place), f"what is the best of all a{place} b{place} c{place} d{place} e{place} f{place}")

    def counting(*arguments: Any, real: Any = ngram_index._holds) -> bool:
        nonlocal looked
        looked += 1
        return real(*arguments)

    monkeypatch.setattr(ngram_index, "_holds", counting)
    assert index.find("what is the best of all u v w x y z") is None
    assert index.find("what is the best of all a7 b7 c7 d7 e7 f7") == "7"
    assert looked < 500
