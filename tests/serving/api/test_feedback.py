"""Feedback: whose it is, what becomes of it, and that nobody is told more than happened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from perennial.config.problem import Problem
from perennial.registry.model_version import ModelVersion
from perennial.settings import Settings
from perennial.stores.feedback import open_statements
from perennial.stores.prediction_ids import PredictionIds
from serving.api.app import Service
from tests.conftest import free_port, wait_until
from tests.serving.conftest import metric
from tests.small_models import BAD, GOOD

Serve = Callable[..., tuple[Service, TestClient]]
ALICE, BOB = "alice's key", "bob's key"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


KEYS = (_digest(ALICE), _digest(BOB))


def _classify(client: TestClient, *texts: str, key: str = ALICE) -> list[dict[str, Any]]:
    answer = client.post("/classify", json={"inputs": texts}, headers={"X-API-Key": key})
    return list(answer.json()["predictions"])


def _feedback(
    client: TestClient, prediction: dict[str, Any], label: str, key: str = ALICE, **headers: str
) -> Any:
    said = {"prediction_id": prediction["prediction_id"], "label": label}
    return client.post("/feedback", json=said, headers={"X-API-Key": key, **headers})


@pytest.fixture
def documents(database: Any, problem: Problem) -> Any:
    """The collection in which feedback makes documents."""
    return database[problem.source.collection]


def _settled(database: Any, state: str, count: int = 1) -> list[dict[str, Any]]:
    """Return the statements of a state as soon as there are so many."""
    statements = open_statements(database)
    wait_until(lambda: statements.count_documents({"state": state}) == count, f"{state} statements")
    return list(statements.find({"state": state}))


def test_feedback_becomes_a_labelled_document_that_a_retraining_can_read(
    logged: Callable[..., Any], documents: Any, problem: Problem
) -> None:
    _, client = logged()
    good, bad = _classify(client, GOOD, BAD)

    answers = [_feedback(client, good, "positive"), _feedback(client, bad, "positive")]
    wait_until(lambda: documents.count_documents({}) == 2, "documents")

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == {
        "prediction_id": good["prediction_id"],
        "accepted": True,
        "request_id": answers[0].headers["X-Request-Id"],
    }
    document = documents.find_one({"_id": f"feedback:{bad['prediction_id']}"})
    assert document["text"] == BAD
    assert document["label"] == problem.labels["positive"]
    assert document["source"] == "feedback"
    assert document["created_at"].tzinfo is not None
    counted = {"problem": "reviews", "version": "1"}
    wait_until(
        lambda: metric(client, "perennial_feedback_total", **counted) == 2, "feedback is counted"
    )
    assert metric(client, "perennial_feedback_total", agreement="agree", **counted) == 1
    assert metric(client, "perennial_feedback_total", agreement="disagree", **counted) == 1


def test_a_document_says_who_has_sent_its_label_and_by_which_request(
    logged: Callable[..., Any], database: Any, documents: Any
) -> None:
    _, client = logged(api_key_hashes=KEYS)
    one, other, third = _classify(client, GOOD, BAD, GOOD)

    _feedback(client, one, "negative", ALICE, **{"X-Request-Id": "ticket-7"})
    _feedback(client, other, "negative", ALICE)
    _feedback(client, third, "negative", BOB, **{"X-Request-Id": "no spaces, please"})
    wait_until(lambda: documents.count_documents({}) == 3, "documents")

    said = {
        document["feedback"]["prediction_id"]: document["feedback"] for document in documents.find()
    }
    alices = said[one["prediction_id"]]
    assert alices["request_id"] == "ticket-7"
    assert alices["predicted"] == one["label"]
    assert alices["sender"] == said[other["prediction_id"]]["sender"]
    bobs = said[third["prediction_id"]]
    assert bobs["sender"] != alices["sender"]
    assert len(bobs["request_id"]) == 32
    marked = database.predictions.find_one({"_id": one["prediction_id"]})["feedback"]
    assert (marked["sender"], marked["request_id"]) == (alices["sender"], "ticket-7")
    # Neither a key nor what can be checked against a guess at a key is stored.
    stored = str([*database.predictions.find(), *database.feedback.find(), *documents.find()])
    for key in (ALICE, BOB):
        for secret in (key, _digest(key), hashlib.sha256(_digest(key).encode()).hexdigest()):
            assert secret[:16] not in stored


def test_who_sends_without_a_key_is_anonymous(logged: Callable[..., Any], documents: Any) -> None:
    _, client = logged()
    (prediction,) = _classify(client, GOOD)

    _feedback(client, prediction, "negative")

    assert wait_until(documents.find_one, "a document")["feedback"]["sender"] is None


def test_a_sender_is_known_by_the_same_digest_after_a_restart_and_in_another_pod(
    logged: Callable[..., Any], documents: Any, machine: Settings, tmp_path: Any
) -> None:
    service, client = logged(api_key_hashes=KEYS)
    (one,) = _classify(client, GOOD)
    _feedback(client, one, "negative")
    (late,) = _classify(client, GOOD)
    service.end()
    # Another pod has a folder of its own, and shares the database alone.
    for file in (machine.data_dir / "serving").glob("signing-key"):
        file.unlink()
    _, client = logged(api_key_hashes=KEYS)
    wait_until(lambda: _feedback(client, late, "negative").status_code == 202, "known")

    wait_until(lambda: documents.count_documents({}) == 2, "documents")
    assert len({document["feedback"]["sender"] for document in documents.find()}) == 1


def test_feedback_uses_the_field_names_of_the_problem(
    write_problem: Callable[..., Problem], logged: Callable[..., Any], mongodb_server: str
) -> None:
    from pymongo import MongoClient

    fields = {"text": "feedback", "label": "stars", "created_at": "at", "source": "from"}
    problem = write_problem(
        labels={"negative": "1*", "positive": "5*"}, source={"collection": "r", "fields": fields}
    )
    _, client = logged()
    (prediction,) = _classify(client, GOOD)

    _feedback(client, prediction, "negative")

    with MongoClient(mongodb_server, tz_aware=True) as mongo:
        documents = mongo[problem.source.database]["r"]
        document = wait_until(documents.find_one, "a document")
    assert (document["feedback"], document["stars"], document["from"]) == (GOOD, "1*", "feedback")
    # The problem's own field has the name under which the sender stands elsewhere.
    assert set(document) == {"_id", "feedback", "stars", "at", "from", "perennial_feedback"}


def test_the_same_feedback_again_changes_nothing_and_counts_once(
    logged: Callable[..., Any], database: Any, documents: Any
) -> None:
    _, client = logged()
    (prediction,) = _classify(client, GOOD)
    _feedback(client, prediction, "negative")
    before = wait_until(documents.find_one, "a document")

    for _ in range(3):
        assert _feedback(client, prediction, "negative").status_code == 202
    _settled(database, "used")

    assert list(documents.find()) == [before]
    assert metric(client, "perennial_feedback_total") == 1


def test_the_senders_own_correction_replaces_what_they_said_before(
    logged: Callable[..., Any], database: Any, documents: Any, problem: Problem
) -> None:
    _, client = logged(api_key_hashes=KEYS)
    (prediction,) = _classify(client, GOOD)
    _feedback(client, prediction, "negative")
    first = wait_until(documents.find_one, "a document")

    _feedback(client, prediction, "positive", **{"X-Request-Id": "correction"})

    right = {"label": problem.labels["positive"]}
    corrected = wait_until(lambda: documents.find_one(right), "the correction")
    assert corrected["created_at"] == first["created_at"]
    assert corrected["feedback"]["updated_at"] > first["feedback"]["updated_at"]
    assert [each["feedback"]["revision"] for each in (first, corrected)] == [1, 2]
    assert corrected["feedback"]["request_id"] == "correction"
    marked = database.predictions.find_one({"_id": prediction["prediction_id"]})["feedback"]
    assert marked["label"] == "positive"


def test_what_two_senders_disagree_about_is_not_learned_from_until_they_agree(
    logged: Callable[..., Any], database: Any, documents: Any, problem: Problem
) -> None:
    _, client = logged(api_key_hashes=KEYS)
    (prediction,) = _classify(client, GOOD)
    _feedback(client, prediction, "positive", ALICE)
    wait_until(documents.find_one, "a document")

    assert _feedback(client, prediction, "negative", BOB).status_code == 202

    disputed = _settled(database, "review", 2)
    assert {each["label"] for each in disputed} == {"negative", "positive"}
    assert documents.count_documents({}) == 0
    # No figure counts an answer whose truth is disputed.
    marked = database.predictions.find_one({"_id": prediction["prediction_id"]})
    assert "feedback" not in marked

    _feedback(client, prediction, "positive", BOB)

    agreed = wait_until(documents.find_one, "a document")
    assert agreed["label"] == problem.labels["positive"]
    assert agreed["text"] == GOOD
    assert all("document" not in each for each in _settled(database, "used", 2))


def test_a_problem_that_asks_for_review_learns_from_nothing_that_nobody_has_let_in(
    write_problem: Callable[..., Problem], logged: Callable[..., Any], database: Any, documents: Any
) -> None:
    write_problem(feedback={"use": "review"})
    _, client = logged()
    (prediction,) = _classify(client, GOOD)

    assert _feedback(client, prediction, "negative").status_code == 202

    (waiting,) = _settled(database, "review")
    assert waiting["document"]["text"] == GOOD
    assert "forget_at" not in waiting
    assert documents.count_documents({}) == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"label": "Positive"}, (422, "label")),
        ({"label": 1}, (422, "label")),
        ({"prediction_id": "nonsense"}, (404, "prediction_id")),
        ({"prediction_id": {"$ne": 1}}, (422, "prediction_id")),
        ({"prediction_id": "reviews.1." + "0" * 32}, (404, "prediction_id")),
        ({"prediction_id": "reviews.1." + "0" * 50}, (404, "prediction_id")),
        ({"more": 1}, (422, "more")),
    ],
)
def test_wrong_feedback_is_told_what_is_wrong(
    logged: Callable[..., Any], database: Any, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    service, client = logged()
    wait_until(lambda: service.log.signing.is_shared, "the key is known")
    (prediction,) = _classify(client, GOOD)
    right = {"prediction_id": prediction["prediction_id"], "label": "positive"}

    answer = client.post("/feedback", json=right | change)

    assert (answer.status_code, answer.json()["error"]["field"]) == expected
    assert answer.headers["X-Request-Id"]
    assert open_statements(database).count_documents({}) == 0


def test_invented_ids_fill_no_queue(logged: Callable[..., Any], documents: Any) -> None:
    service, client = logged(log_queue=5)
    wait_until(lambda: service.log.signing.is_shared, "the key is known")
    (prediction,) = _classify(client, GOOD)
    stranger = PredictionIds([b"a key of a stranger"])

    for _ in range(20):
        (invented,) = stranger.issue("reviews", 1, 1, logged=True)
        assert _feedback(client, {"prediction_id": invented}, "positive").status_code == 404

    assert _feedback(client, prediction, "positive").status_code == 202
    wait_until(documents.find_one, "a document")
    assert metric(client, "perennial_log_dropped_entries_total", kind="feedback") == 0


def test_an_id_with_digits_of_another_script_is_none(logged: Callable[..., Any]) -> None:
    service, client = logged()
    wait_until(lambda: service.log.signing.is_shared, "the key is known")
    (prediction,) = _classify(client, GOOD)

    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    forged = {"prediction_id": prediction["prediction_id"].translate(arabic)}

    assert _feedback(client, forged, "positive").status_code == 404


def test_feedback_on_a_prediction_that_the_log_left_out_says_so(
    logged: Callable[..., Any], database: Any
) -> None:
    _, client = logged(log_share=0.0)
    (prediction,) = _classify(client, GOOD)

    answer = _feedback(client, prediction, "negative")

    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "prediction_not_logged"
    assert "left out of the log" in answer.json()["error"]["message"]
    assert open_statements(database).count_documents({}) == 0


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(days=40)])
def test_feedback_on_a_prediction_that_is_not_in_the_log_any_more_says_so(
    logged: Callable[..., Any], database: Any, monkeypatch: pytest.MonkeyPatch, age: timedelta
) -> None:
    import perennial.stores.prediction_ids as ids

    _, client = logged()
    now = ids.time()
    with monkeypatch.context() as earlier:
        earlier.setattr(ids, "time", lambda: now - age.total_seconds())
        (prediction,) = _classify(client, GOOD)
    wait_until(database.predictions.find_one, "the prediction")
    database.predictions.delete_many({})

    answer = _feedback(client, prediction, "negative")

    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "prediction_forgotten"
    assert open_statements(database).count_documents({}) == 0


def test_feedback_waits_for_a_prediction_that_is_far_behind_in_the_queue(
    logged: Callable[..., Any], documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.telemetry.log._PATIENCE_SECONDS", 0.0)
    # One prediction each quarter of a second, and half a minute for the whole queue.
    _, client = logged(log_per_second=4, log_queue=120)
    for _ in range(5):
        (prediction,) = _classify(client, GOOD)

    assert _feedback(client, prediction, "positive").status_code == 202

    wait_until(documents.find_one, "a document")
    assert metric(client, "perennial_log_dropped_entries_total", kind="feedback") == 0


def test_what_a_worker_that_died_had_stored_is_settled_by_another_one(
    logged: Callable[..., Any], database: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, client = logged()
    (prediction,) = _classify(client, GOOD)
    _feedback(client, prediction, "negative")
    wait_until(documents.find_one, "a document")
    service.end()
    documents.delete_many({})
    open_statements(database).update_many({}, {"$set": {"state": "waiting"}})

    monkeypatch.setattr("serving.telemetry.feedback._SWEEP_SECONDS", 0.0)
    _, client = logged()
    _classify(client, BAD)

    assert wait_until(documents.find_one, "a document")["text"] == GOOD


def test_a_document_that_the_collection_refuses_keeps_nothing_else_waiting(
    logged: Callable[..., Any], database: Any, problem: Problem
) -> None:
    rule = {"text": {"$not": {"$regex": "good"}}}
    database.create_collection(problem.source.collection, validator=rule)
    documents = database[problem.source.collection]
    _, client = logged()
    refused, taken = _classify(client, f"good: {GOOD}", BAD)

    assert _feedback(client, refused, "positive").status_code == 202
    assert _feedback(client, taken, "negative").status_code == 202

    assert wait_until(documents.find_one, "a document")["text"] == BAD
    lost = {"kind": "feedback", "reason": "refused"}
    assert metric(client, "perennial_log_dropped_entries_total", **lost) == 1


def test_a_label_that_the_file_does_not_have_any_more_makes_no_document(
    write_problem: Callable[..., Problem], logged: Callable[..., Any], database: Any, documents: Any
) -> None:
    write_problem(labels={"bad": 0, "good": 1})
    _, client = logged()
    (prediction,) = _classify(client, GOOD)

    assert _feedback(client, prediction, "positive").status_code == 202

    _settled(database, "noted")
    assert documents.count_documents({}) == 0
    lost = {"kind": "feedback", "reason": "unknown_label"}
    wait_until(
        lambda: metric(client, "perennial_log_dropped_entries_total", **lost) == 1, "it is counted"
    )


@pytest.mark.parametrize("is_full", [False, True])
def test_what_cannot_be_stored_is_answered_with_503_and_when_to_try_again(
    machine: Settings,
    production: ModelVersion,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    is_full: bool,
) -> None:
    monkeypatch.setattr("serving.api.feedback._STORE_SECONDS", 0.2)
    away = machine.model_copy(
        update={
            "mongodb_uri": SecretStr(f"mongodb://127.0.0.1:{free_port()}/"),
            "mongodb_timeout": 0.2,
        }
    )
    _, client = serve(away, log_queue=1)
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
    (prediction,) = _classify(client, GOOD)
    if is_full:
        _feedback(client, prediction, "positive")

    answer = _feedback(client, prediction, "positive")

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "feedback_not_kept"
    assert int(answer.headers["Retry-After"]) > 0


def test_no_text_and_no_key_is_in_what_the_service_logs_or_measures(
    logged: Callable[..., Any], documents: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, client = logged(api_key_hashes=KEYS)
    (prediction,) = _classify(client, "a private matter that nobody may read")
    _feedback(client, prediction, "negative")
    sender = wait_until(documents.find_one, "a document")["feedback"]["sender"]

    told = caplog.text + client.get("/metrics").text

    for secret in ("private matter", ALICE, _digest(ALICE), sender, prediction["prediction_id"]):
        assert secret not in told
