"""A second retraining prepares and counts only what is new; its features are those of a first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial.stores.snapshots.kept_counts import COUNTS
from perennial.stores.snapshots.store import SnapshotStore
from perennial.text.normalizer import TextNormalizer
from tasks.data.ingest import ingest
from tasks.data.prepare import Dataset, prepare

Documents = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def normalised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts were normalised at a time."""
    found: list[int] = []
    transform = TextNormalizer.transform

    def noted(self: TextNormalizer, texts: Any) -> Any:
        found.append(len(texts))
        return transform(self, texts)

    monkeypatch.setattr(TextNormalizer, "transform", noted)
    return found


def _require_same(one: Dataset, other: Dataset) -> None:
    assert one.ids.equals(other.ids)
    assert one.counts.keys() == other.counts.keys()
    for shared, expected in other.counts.items():
        found = one.counts[shared]
        assert not isinstance(found, ValueError)
        assert not isinstance(expected, ValueError)
        names = [each.counter.get_feature_names_out().tolist() for each in (found, expected)]
        assert names[0] == names[1]
        assert (found.matrix != expected.matrix).nnz == 0
        assert found.matrix.dtype == expected.matrix.dtype


def test_only_new_and_changed_documents_are_prepared(
    collection: Any,
    documents: Documents,
    write_problem: Any,
    store: SnapshotStore,
    run_task: Any,
    normalised: list[int],
) -> None:
    """Also where labels were corrected, documents deleted, and several candidates count alike."""
    candidates = {
        "words": {
            "preparation": "plain",
            "estimator": "multinomial_naive_bayes",
            "features": {"bigrams": False},
        },
        "once": {
            "preparation": "plain",
            "estimator": "multinomial_naive_bayes",
            "features": {"bigrams": True, "binary": True, "min_documents": 2},
        },
        "pairs": {
            "preparation": "plain",
            "estimator": "logistic_regression",
            "features": {"bigrams": True},
        },
    }
    problem = write_problem(candidates=candidates)
    made = documents(80)
    collection.insert_many(made[:60])
    first = run_task(prepare, problem, run_task(ingest, problem).snapshot)
    assert normalised == [len(first.ids)]

    text = "An edited text is another text, which nobody has counted until now."
    for place in (0, 1, 2, 3):
        collection.update_one({"_id": made[place]["_id"]}, {"$set": {"text": f"{text} {place}"}})
    collection.delete_one({"_id": made[4]["_id"]})
    collection.insert_many(made[60:])
    normalised.clear()
    second = run_task(prepare, problem, run_task(ingest, problem).snapshot)

    assert 0 < max(normalised) <= 24
    shutil.rmtree(Path(store.uri) / COUNTS)
    _require_same(second, run_task(prepare, problem, second.snapshot))


def test_characters_are_counted_of_all_documents(
    collection: Any, documents: Documents, write_problem: Any, run_task: Any
) -> None:
    """What is counted of them is not kept, beside words that are."""
    candidates = {
        "words": {
            "preparation": "plain",
            "estimator": "multinomial_naive_bayes",
            "features": {"bigrams": True},
        },
        "characters": {
            "preparation": "plain",
            "estimator": "multinomial_naive_bayes",
            "features": {"analyzer": "characters"},
        },
    }
    problem = write_problem(candidates=candidates)
    collection.insert_many(documents(40))
    snapshot = run_task(ingest, problem).snapshot

    _require_same(run_task(prepare, problem, snapshot), run_task(prepare, problem, snapshot))
