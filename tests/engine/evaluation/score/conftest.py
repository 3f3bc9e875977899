"""The keeper's texts and a scorer fitted on them, once for all tests of the folder."""

import pytest
from scored_voices import keeper

from engine.evaluation.score.scorer import Tools, fit


@pytest.fixture(scope="session")
def texts():
    return keeper()


@pytest.fixture(scope="session")
def scorer(texts):
    """Without embedder and base model."""
    return fit(texts, Tools())
