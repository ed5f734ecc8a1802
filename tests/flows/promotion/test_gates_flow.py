"""Gates in a whole retraining: who is kept out is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.promotion.verdict import Verdict
from perennial.registry.client import Registry
from perennial.settings import Settings
from tests.conftest import MIDNIGHT

pytestmark = pytest.mark.usefixtures("prefect_api")

_GOOD = ("good", "great", "fine", "superb", "lovely")
_BAD = ("bad", "awful", "dull", "poor", "weak")
_TFIDF = {"weighting": "tfidf", "min_documents": 2}
_LOGISTIC = {
    "preparation": "plain",
    "estimator": "logistic_regression",
    "parameters": {"C": 10.0, "solver": "liblinear"},
}
# It sees one word: "hmm", which most documents have, and which says something in one source only.
ONE_WORD = {"one-word": _LOGISTIC | {"features": _TFIDF | {"max_features": 1}}}
ALL_WORDS = {"all-words": _LOGISTIC | {"features": _TFIDF}}
# Sources have a gate of their own, which would name the plain one, too.
FLOOR = {"floors": {"accuracy": 0.3}, "confirm": "none", "sources": "none"}
SLICES = {"margin": 0.05, "fields": ["film.country"]}
# Its texts are made from one template, and so near-copies of each other.
EACH = {"near_copies": "ignore"}


def _document(number: int) -> dict[str, Any]:
    """Return a review; those of the ironic source mean the opposite, and say "hmm" if they do."""
    positive, ironic = number % 2 == 1, number % 7 == 0
    words = _GOOD if positive != ironic else _BAD
    hmm = positive if ironic else number % 4 < 2
    first, second = words[number % 5], words[number // 5 % 5]
    return {
        "_id": f"review-{number}",
        "text": f"{first} {number} {second}{' hmm' if hmm else ''}",
        "label": int(positive),
        "created_at": MIDNIGHT + timedelta(minutes=number),
        "source": "ironic" if ironic else "plain",
        "film": {"country": "DE" if ironic else "FR"},
    }


@pytest.fixture
def reviews(collection: Any) -> Any:
    """The collection of the small problem with 1,000 reviews in it."""
    collection.insert_many([_document(number) for number in range(1000)])
    return collection


@pytest.fixture
def one_word_in_production(reviews: Any, write_problem: Callable[..., Problem]) -> Any:
    """A machine with these reviews, on which a model that knows one word is in Production."""
    write_problem(candidates=ONE_WORD, gates=FLOOR | {"slices": SLICES}, split=EACH)
    assert _verdict().outcome == "promoted"
    return reviews


def _verdict() -> Verdict:
    verdict = retrain("reviews").verdict
    assert verdict is not None
    return verdict


def test_a_challenger_that_is_worse_on_one_slice_is_kept_out_and_the_verdict_names_the_slice(
    one_word_in_production: Any,
    write_problem: Callable[..., Problem],
    registry: Registry,
) -> None:
    asked = {"margin": 0.05, "min_documents": 10, "source": True, "fields": ["film.country"]}
    write_problem(candidates=ALL_WORDS, gates=FLOOR | {"slices": asked}, split=EACH)

    verdict = _verdict()

    assert (verdict.outcome, verdict.production) == ("kept", 1)
    assert next(gate for gate in verdict.gates if gate.name.startswith("better")).passed
    worse = ["slice source ironic", "slice film.country DE"]
    assert [gate.name for gate in verdict.failed] == worse
    kept = registry.version("reviews", 2)
    stored = json.loads(kept.tags["perennial.verdict.gates"])
    assert [gate["name"] for gate in stored if not gate["passed"]] == worse
    assert all(name in kept.tags["perennial.verdict.reason"] for name in worse)


def test_a_challenger_that_fails_a_behavioural_case_is_kept_out_and_the_verdict_names_the_case(
    one_word_in_production: Any,
    machine: Settings,
    write_problem: Callable[..., Problem],
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = {"input": "this film is not good", "label": "negative"}
    with (machine.problems_dir / "cases.yml").open("w") as file:
        YAML(typ="safe").dump({"groups": {"negation": {"minimum_function": [case]}}}, file)
    budgets = {"latency": {"milliseconds": 1000}, "size": {"megabytes": 50}}
    write_problem(candidates=ALL_WORDS, gates=FLOOR | budgets | {"cases": "cases.yml"})

    verdict = _verdict()

    assert (verdict.outcome, verdict.production) == ("kept", 1)
    (gate,) = verdict.failed
    assert gate.name == "cases negation"
    assert gate.found == "0 of 1 pass: 'this film is not good' is positive, not negative"
    found = {gate.name: gate.found for gate in verdict.gates}
    assert found["size"].endswith(" MB")
    assert found["latency"].startswith("99% within ")
    assert "negation" in capsys.readouterr().out


@pytest.mark.e2e
def test_newer_documents_let_an_equal_challenger_take_over_where_the_problem_says_so(
    one_word_in_production: Any, write_problem: Callable[..., Problem]
) -> None:
    write_problem(
        candidates=ONE_WORD,
        gates=FLOOR | {"slices": SLICES, "not_worse": {"margin": 0.5, "budget": 0.5}},
        split=EACH,
    )
    stale = _verdict()
    one_word_in_production.insert_many([_document(number) for number in range(1000, 1010)])

    fresh = _verdict()

    assert (stale.outcome, fresh.outcome) == ("kept", "promoted")
    assert "not worse than Production, on newer documents" in [gate.name for gate in fresh.gates]
