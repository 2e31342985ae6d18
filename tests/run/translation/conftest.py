"""Two finished runs on the numbers, made once for all tests that only look at them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.translation.numbers import RECURRENT, TRANSFORMER, settings, train, write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, "train", 400, 1)
    write_corpus(folder, "valid", 60, 2)
    return folder


@pytest.fixture(scope="session")
def run(corpus: Path) -> Path:
    """A GRU with Bahdanau's attention that has learned the numbers."""
    out = corpus / "runs" / "numbers"
    assert train(corpus, out, "--steps", "200", *settings(RECURRENT)) == 0
    return out


@pytest.fixture(scope="session")
def transformer(corpus: Path) -> Path:
    """A Transformer that has hardly begun to learn: for shapes, equalities and resuming."""
    out = corpus / "runs" / "transformer"
    assert train(corpus, out, "--steps", "40", *settings(TRANSFORMER)) == 0
    return out
