"""The keeper's texts and a scorer fitted on them, once for all tests of the folder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from voices import keeper

from engine.evaluation.scorer import Tools, fit


@pytest.fixture(scope="session")
def texts():
    return keeper()


@pytest.fixture(scope="session")
def scorer(texts):
    """Without embedder and base model."""
    return fit(texts, Tools())
