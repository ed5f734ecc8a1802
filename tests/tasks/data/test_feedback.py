"""Feedback is learned from, never judged on: who may call the service does not write the exam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from perennial.config.problem import Problem
from perennial.documents.documents import from_feedback, in_holdout
from perennial.errors import OutsideError
from perennial.registry.client import ModelVersion, open_registry
from perennial.registry.tags import TAG
from perennial.settings import Settings
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from tasks.data.ingest import IngestResult, ingest
from tasks.data.prepare import Dataset, prepare
from tasks.promotion.promote import promote
from tasks.promotion.unseen import unseen_by
from tasks.training.evaluate import Evaluation
from tasks.training.register import register
from tasks.training.train import choose, predict, train
from tests.conftest import MIDNIGHT
from tests.tasks.conftest import Ingest

LATER = MIDNIGHT + timedelta(days=1)
TRUSTED = {"use": "holdout"}
UNLIMITED = {"max_share": 1.0}


@pytest.fixture
def feedback(documents: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that makes documents of real reviews as the service writes them."""

    def make(count: int, *, first: int, at: Any = LATER) -> list[dict[str, Any]]:
        return [
            document | {"_id": f"feedback:{document['_id']}", "source": "feedback"}
            for document in documents(count, first=first, at=at)
        ]

    return make


@pytest.fixture
def prepared(run_task: Callable[..., Any]) -> Callable[[Problem], Dataset]:
    """Return a function that ingests and prepares what a collection has."""
    return lambda problem: run_task(prepare, problem, run_task(ingest, problem).snapshot)


def _holdout_ids(dataset: Dataset, store: SnapshotStore) -> set[str]:
    rows = store.read(dataset.snapshot)
    held_out = pa.array(dataset.holdout_content)
    return {row["id"] for row in rows.to_pylist() if row["content"] in set(held_out.to_pylist())}


def _used(store: SnapshotStore, snapshot: Snapshot) -> dict[str, str]:
    """Return id -> label of the documents of a snapshot."""
    rows = store.read(snapshot)
    return dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    "mark",
    [{"source": "feedback"}, {"_id": "feedback:{}", "source": None}],
    ids=["by source", "by id"],
)
def test_no_feedback_is_in_the_holdout_and_all_of_it_is_learned_from(
    mark: dict[str, Any],
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    store: SnapshotStore,
    prepared: Any,
) -> None:
    problem = write_problem(feedback=UNLIMITED)
    collection.insert_many(documents(200))
    for number, document in enumerate(documents(200, first=200)):
        wanted = {key: value and value.format(number) for key, value in mark.items()}
        collection.insert_one(document | wanted)

    dataset = prepared(problem)

    rows = store.read(dataset.snapshot)
    feedback = from_feedback(rows)
    content = rows["content"].combine_chunks()
    assert feedback.sum() == dataset.feedback_documents == 200
    # By their hash some would be in the holdout.
    assert (in_holdout(content, problem.holdout) & feedback).any()
    said = set(content.filter(pa.array(feedback)).to_pylist())
    assert not said & set(dataset.holdout_content.to_pylist())
    assert said < set(dataset.content.to_pylist())
    assert len(dataset.judged) == len(dataset.labels)
    assert (~dataset.judged).sum() == 200
    (fold,) = dataset.folds
    assert fold.predicted.any()
    assert not fold.predicted[~dataset.judged].any()


def test_feedback_that_a_problem_trusts_is_divided_like_any_other_document(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    feedback: Any,
    store: SnapshotStore,
    prepared: Any,
) -> None:
    problem = write_problem(feedback=TRUSTED)
    collection.insert_many([*documents(200), *feedback(200, first=200)])

    dataset = prepared(problem)

    rows = store.read(dataset.snapshot)
    expected = in_holdout(rows["content"].combine_chunks(), problem.holdout)
    assert len(dataset.holdout_labels) == expected.sum()
    assert any(key.startswith("feedback:") for key in _holdout_ids(dataset, store))
    assert dataset.judged.all()


@pytest.mark.parametrize("says", [0, 1], ids=["the same label", "another label"])
@pytest.mark.parametrize("first", ["feedback", "collection", "neither"])
def test_of_equal_texts_the_collections_word_counts_whichever_came_first(
    first: str, says: int, collection: Any, store: SnapshotStore, ingest_now: Ingest
) -> None:
    text = "A film without a single dull moment."
    collected = {"_id": "ours", "text": text, "label": 0, "created_at": LATER}
    said = {
        "_id": "feedback:1",
        "text": text.upper(),
        "label": says,
        "created_at": MIDNIGHT,
        "source": "feedback",
    }
    other = {"_id": "other", "text": "Nothing in it is new.", "label": 1, "created_at": MIDNIGHT}
    if first == "neither":
        collection.insert_many([said, collected, other])
        ingested = ingest_now()
        assert (ingested.accounts.used, ingested.accounts.live) == (2, 3)
    else:
        one, two = (said, collected) if first == "feedback" else (collected, said)
        collection.insert_many([one, other])
        before = ingest_now().snapshot
        collection.insert_one(two)
        ingested = ingest_now(rescan=True)
        # The earlier snapshot is read as it was.
        assert _used(store, before).keys() == {one["_id"], "other"}
        assert (ingested.accounts.new, ingested.accounts.used) == (1, 2)

    assert _used(store, ingested.snapshot) == {"ours": "negative", "other": "positive"}
    assert ingested.snapshot.documents == 2
    assert store.latest() == ingested.snapshot
    assert not ingest_now(rescan=True).accounts.changed


def test_feedback_that_came_after_the_collection_gives_way_in_later_snapshots_too(
    collection: Any, documents: Any, feedback: Any, store: SnapshotStore, ingest_now: Ingest
) -> None:
    collection.insert_many(feedback(20, first=0, at=MIDNIGHT))
    ingest_now()
    collection.insert_many(documents(10, at=LATER))
    assert ingest_now().accounts.duplicates == 10
    collection.insert_many(documents(5, first=30, at=LATER + timedelta(days=1)))

    ingested: IngestResult = ingest_now()

    accounts = ingested.accounts
    assert (accounts.new, accounts.duplicates, accounts.used) == (5, 10, 25)
    assert len(_used(store, ingested.snapshot)) == 25


def _version(
    problem: Problem, snapshot: Snapshot, *, feedback: str | None, documents: int | None = None
) -> ModelVersion:
    tags = {
        f"{TAG}holdout": str(problem.holdout),
        f"{TAG}snapshot_version": str(snapshot.version),
        f"{TAG}snapshot_digest": snapshot.digest,
    }
    if feedback is not None:
        tags[f"{TAG}feedback"] = feedback
    if documents is not None:
        tags[f"{TAG}feedback_documents"] = str(documents)
    return ModelVersion(problem.name, 1, "run", tags)


def test_what_a_version_has_learned_by_its_own_rules_is_not_compared_when_feedback_is_trusted(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    feedback: Any,
    store: SnapshotStore,
    prepared: Any,
) -> None:
    problem = write_problem(feedback=UNLIMITED)
    collection.insert_many([*documents(200), *feedback(200, first=200)])
    first = prepared(problem)
    problem = write_problem(feedback=TRUSTED)
    collection.insert_many(feedback(100, first=400, at=LATER + timedelta(days=1)))
    second = prepared(problem)
    assert second.snapshot.version == first.snapshot.version + 1

    def unseen(version: ModelVersion) -> set[bytes]:
        mask = unseen_by(problem, version, second.snapshot, second.holdout_keys)
        return set(second.holdout_content.filter(pa.array(mask)).to_pylist())

    holdout = set(second.holdout_content.to_pylist())
    learned = set(first.content.to_pylist())
    default = _version(problem, first.snapshot, feedback="training", documents=200)
    assert holdout & learned
    # All that it knows is left out, and what came since is not.
    assert unseen(default) == holdout - learned
    assert unseen(default) > set(first.holdout_content.to_pylist())
    # One that was made before there was such a rule knows the share of its own holdout only.
    assert unseen(_version(problem, first.snapshot, feedback=None)) == holdout
    assert unseen(_version(problem, first.snapshot, feedback="holdout")) == holdout
    # What a person wrote there is no reason to compare on what may be known.
    assert unseen(_version(problem, first.snapshot, feedback="?")) == holdout - learned

    # Its snapshot is gone: then all feedback counts as known.
    for gone in (
        replace(first.snapshot, digest="0" * 32),
        replace(first.snapshot, version=77),
    ):
        left = unseen(_version(problem, gone, feedback="training"))
        assert left == set(first.holdout_content.to_pylist())


def test_a_document_whose_text_production_knows_by_feedback_is_not_compared(
    problem: Problem, collection: Any, documents: Any, feedback: Any, prepared: Any
) -> None:
    collection.insert_many([*documents(200), *feedback(200, first=200)])
    first = prepared(problem)
    production = _version(problem, first.snapshot, feedback="training", documents=200)
    collection.insert_many(documents(200, first=200, at=LATER + timedelta(days=1)))

    second = prepared(problem)

    held_out = second.holdout_content
    unseen = unseen_by(problem, production, second.snapshot, second.holdout_keys)
    assert second.feedback_documents == 0
    assert len(held_out) > unseen.sum() == len(first.holdout_content)
    assert set(held_out.filter(pa.array(unseen)).to_pylist()) == set(
        first.holdout_content.to_pylist()
    )


def test_a_version_says_what_it_did_with_feedback_and_is_compared_by_that(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    feedback: Any,
    machine: Settings,
    prepared: Any,
    run_task: Any,
) -> None:
    def retrain(problem: Problem) -> tuple[ModelVersion, Dataset, Any]:
        dataset = prepared(problem)
        with registry.run(problem.name, "retrain") as parent:
            result = run_task(train, problem, "tfidf-logistic", dataset, parent)
            challenger = run_task(choose, problem, dataset, [result])
            seen = predict(
                problem, challenger.model, dataset.holdout_inputs, dataset.holdout_labels
            )
            evaluation = Evaluation(seen, {})
            version = run_task(register, problem, dataset, challenger, evaluation)
        return version, dataset, run_task(promote, problem, dataset, version, evaluation)

    registry = open_registry(machine)
    collection.insert_many([*documents(300), *feedback(200, first=300)])
    first, dataset, verdict = retrain(write_problem(gates={"floors": {"accuracy": 0.1}}))
    assert verdict.outcome == "promoted"
    said = registry.version("reviews", first.version)
    assert said.tags[f"{TAG}feedback"] == "training"
    assert said.tags[f"{TAG}feedback_documents"] == "200"

    slices = {"slices": {"margin": 0.9, "min_documents": 1, "source": True}}
    problem = write_problem(feedback=TRUSTED, gates={"floors": {"accuracy": 0.1}} | slices)
    _, trusted, verdict = retrain(problem)

    assert len(trusted.holdout_labels) > len(dataset.holdout_labels)
    (found,) = (gate.found for gate in verdict.gates if gate.name.startswith("slice "))
    assert f"on {len(dataset.holdout_labels):,} documents" in found
    assert not any("feedback" in gate.name for gate in verdict.gates)


def test_where_too_little_is_left_to_compare_the_verdict_says_why(
    problem: Problem,
    collection: Any,
    documents: Any,
    prepared: Any,
    machine: Settings,
    run_task: Any,
) -> None:
    collection.insert_many(documents(200))
    dataset = prepared(problem)
    registry = open_registry(machine)
    with registry.run(problem.name, "retrain") as parent:
        result = run_task(train, problem, "tfidf-logistic", dataset, parent)
        challenger = run_task(choose, problem, dataset, [result])
        seen = predict(problem, challenger.model, dataset.holdout_inputs, dataset.holdout_labels)
        evaluation = Evaluation(seen, {})
        one = run_task(register, problem, dataset, challenger, evaluation)
        assert run_task(promote, problem, dataset, one, evaluation).outcome == "promoted"
        two = run_task(register, problem, dataset, challenger, evaluation)
    # As if it had held out next to nothing: one document of each label.
    client: Any = registry._client
    client.set_model_version_tag(problem.name, "1", f"{TAG}holdout", "0.000001")

    verdict = run_task(promote, problem, dataset, two, evaluation)

    size = len(dataset.holdout_labels)
    assert verdict.outcome == "kept"
    assert verdict.reason == (
        f"unseen documents: 2 of {size} holdout documents that version 1 has not learned from, "
        "required 10; load labelled documents that are new"
    )
    assert registry.version(problem.name, two.version).verdict == "kept"


def test_a_label_that_only_feedback_has_is_named_with_the_way_out(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    feedback: Any,
    prepared: Any,
) -> None:
    problem = write_problem()
    collection.insert_many(document | {"label": 0} for document in documents(100))
    collection.insert_many(document | {"label": 1} for document in feedback(60, first=100))

    with pytest.raises(OutsideError) as refused:
        prepared(problem)

    said = str(refused.value)
    assert "holdout documents of snapshot 0 there is no document labelled positive" in said
    assert "60 with such a label are from feedback" in said
    assert "feedback: {use: holdout} in problems/reviews.yaml" in said
    assert set(prepared(write_problem(feedback=TRUSTED)).holdout_labels) == set(problem.classes)


def test_of_no_document_nobody_says_that_it_is_from_feedback(
    problem: Problem, collection: Any, documents: Any, prepared: Any
) -> None:
    collection.insert_many(document | {"label": 0} for document in documents(100))

    with pytest.raises(OutsideError, match=r"check labels and source\.query") as refused:
        prepared(problem)

    assert "feedback" not in str(refused.value)


def test_the_empty_table_has_no_feedback() -> None:
    empty = pa.table({"id": pa.array([], pa.string()), "source": pa.array([], pa.string())})

    assert from_feedback(empty).dtype == np.bool_
    assert len(from_feedback(empty)) == 0
