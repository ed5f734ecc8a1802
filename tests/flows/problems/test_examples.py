"""The further examples, each by the commands of its page: from nothing to a first version."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from flows.retrain import retrain
from flows.seed import seed
from perennial.settings import PROJECT, Settings
from tasks.scoring.classify import Classification, classify

pytestmark = pytest.mark.usefixtures("prefect_api")

PAGES = {
    "intents": "many-labels",
    "passengers": "text-and-table",
    "chinese-reviews": "another-language",
}


@pytest.fixture
def collections(machine: Settings, mongodb_server: str) -> Iterator[None]:
    """Collections of the examples, which are gone afterwards."""
    from pymongo import MongoClient

    yield
    with MongoClient(mongodb_server) as client:
        for name in PAGES:
            client["perennial"].drop_collection(name.replace("-", "_"))


def commands(name: str) -> list[str]:
    page = (PROJECT / "docs" / "tutorial" / f"{PAGES[name]}.md").read_text()
    return re.findall(r"^perennial (.+)$", page, re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_of_an_example_has_the_two_commands(name: str) -> None:
    assert [shlex.split(each) for each in commands(name)] == [["seed", name], ["retrain", name]]


@pytest.mark.parametrize(
    ("name", "documents", "accuracy"),
    [
        ("passengers", 1_309, 0.77),
        ("chinese-reviews", 4_000, 0.78),
        pytest.param(
            "intents", 10_003, 0.80, marks=[pytest.mark.thorough, pytest.mark.timeout(1200)]
        ),
    ],
)
@pytest.mark.usefixtures("collections")
def test_an_example_becomes_a_first_version(name: str, documents: int, accuracy: float) -> None:
    seeded = seed(name)
    retraining = retrain(name)

    assert (seeded.documents, seeded.quarantined) == (documents, 0)
    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted", retraining.verdict.reason
    assert retraining.evaluation is not None
    assert retraining.evaluation.metrics["accuracy"].value >= accuracy
    assert retraining.diagnosis is not None
    first = [each.field for each in retraining.diagnosis.fields[:2]]
    assert not first or {*first} <= {"name", "sex", "pclass"}
    assert bool(first) == (name == "passengers")
    assert seed(name).added == 0
    _ask(name)


def _ask(name: str) -> None:
    """Ask what the pages ask."""
    if name == "chinese-reviews":
        labels = _labels(
            name, ["房间很干净 服务也很好 下次还会来", "质量太差了 非常失望 再也不买了"]
        )
        assert labels == ["positive", "negative"]
    elif name == "intents":
        assert _labels(name, ["I am still waiting on my card"]) == ["card_arrival"]
    else:
        known: dict[str, Any] = {"name": "Brown, Miss. Ada", "sex": "female", "pclass": "1"}
        lady = known | {"age": 30, "sibsp": 0, "parch": 0, "fare": 80, "embarked": "S"}
        assert _labels(name, [lady | {"home.dest": "New York, NY"}, known]) == ["survived"] * 2


def _labels(name: str, inputs: list[Any]) -> list[str]:
    answers: list[Classification] = classify(name, inputs)
    return [each.label for each in answers]
