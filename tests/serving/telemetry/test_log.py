"""The prediction log: kept when MongoDB is there, and never in the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from perennial.registry.model_version import ModelVersion
from perennial.settings import Settings
from serving.api.app import Service
from tests.conftest import free_port, wait_until
from tests.serving.conftest import metric
from tests.small_models import BAD, GOOD

Serve = Callable[..., tuple[Service, TestClient]]


def _classify(client: TestClient, *texts: str) -> list[dict[str, Any]]:
    answer = client.post("/classify", json={"inputs": texts})
    return list(answer.json()["predictions"])


def test_each_prediction_is_kept_with_its_text_and_is_forgotten_after_the_set_time(
    logged: Callable[..., Any], database: Any
) -> None:
    _, client = logged(log_days=7)
    before = datetime.now(UTC)

    predictions = _classify(client, GOOD, "with \0 and 🎬")
    wait_until(lambda: database.predictions.count_documents({}) == 2, "kept")

    for prediction, text in zip(predictions, (GOOD, "with \0 and 🎬"), strict=True):
        entry = database.predictions.find_one({"_id": prediction["prediction_id"]})
        assert entry["text"] == text
        assert entry["characters"] == len(text)
        assert (entry["problem"], entry["version"]) == ("reviews", 1)
        assert entry["label"] == prediction["label"]
        assert entry["probability"] == max(prediction["probabilities"].values())
        assert timedelta(seconds=-1) < entry["created_at"] - before < timedelta(minutes=1)
    indexes = database.predictions.index_information()
    assert indexes["forget"]["expireAfterSeconds"] == 7 * 24 * 3600


def test_each_prediction_says_its_place_in_the_request_and_how_long_the_answer_took(
    logged: Callable[..., Any], database: Any
) -> None:
    _, client = logged()

    predictions = _classify(client, GOOD, BAD)
    wait_until(lambda: database.predictions.count_documents({}) == 2, "kept")

    entries = [database.predictions.find_one({"_id": p["prediction_id"]}) for p in predictions]
    assert [entry["position"] for entry in entries] == [0, 1]
    assert 0 < entries[0]["seconds"] == entries[1]["seconds"] < 60


def test_a_request_that_a_version_cannot_answer_is_kept_as_its_failure(
    logged: Callable[..., Any], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, client = logged()
    predictor = service.store.served["reviews"].production.predictor
    monkeypatch.setattr(type(predictor), "assess", lambda *_: 1 / 0)

    assert client.post("/classify", json={"inputs": [GOOD]}).status_code == 500
    wait_until(lambda: database.failures.count_documents({}) == 1, "kept")

    failure = database.failures.find_one()
    assert (failure["problem"], failure["version"]) == ("reviews", 1)
    assert "forget" in database.failures.index_information()
    assert database.predictions.count_documents({}) == 0


def test_too_much_to_do_is_no_failure_of_a_version(
    logged: Callable[..., Any], database: Any
) -> None:
    service, client = logged(answer_seconds=1e-9, inline_characters=0)

    refused = client.post("/classify", json={"inputs": [GOOD]})

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_much_work")
    assert refused.headers["Retry-After"] == "1"
    service.end()
    assert database.failures.count_documents({}) == 0


def test_another_time_to_forget_replaces_the_first(
    logged: Callable[..., Any], database: Any
) -> None:
    for days in (7, 3):
        service, client = logged(log_days=days)
        _classify(client, GOOD)
        wait_until(lambda: database.predictions.count_documents({}) > 0, "kept")
        service.end()
        database.predictions.delete_many({})

    indexes = database.predictions.index_information()
    assert indexes["forget"]["expireAfterSeconds"] == 3 * 24 * 3600


def test_texts_are_not_kept_when_that_is_switched_off(
    logged: Callable[..., Any], database: Any
) -> None:
    _, client = logged(log_texts=False)

    _classify(client, "my secret")
    wait_until(lambda: database.predictions.count_documents({}) == 1, "kept")

    assert "secret" not in str(database.predictions.find_one())


def test_only_the_set_share_is_kept(logged: Callable[..., Any], database: Any) -> None:
    service, client = logged(log_share=0.0)
    _classify(client, GOOD)
    service.end()

    assert database.predictions.count_documents({}) == 0


def test_while_mongodb_is_away_answers_go_on_and_what_is_lost_is_counted(
    machine: Settings, production: ModelVersion, serve: Serve
) -> None:
    away = machine.model_copy(
        update={
            "mongodb_uri": SecretStr(f"mongodb://127.0.0.1:{free_port()}/"),
            "mongodb_timeout": 0.2,
        }
    )
    service, client = serve(away, log_queue=5)
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")

    for _ in range(20):
        assert len(_classify(client, GOOD)) == 1

    lost = {"kind": "prediction", "reason": "queue_full"}
    assert metric(client, "perennial_log_dropped_entries_total", **lost) == 15
    service.end()
    assert metric(client, "perennial_log_dropped_entries_total", kind="prediction") == 20


def test_what_is_over_the_rate_is_not_counted_as_what_mongodb_did_not_take(
    logged: Callable[..., Any], database: Any
) -> None:
    _, client = logged(log_per_second=4, log_queue=5)
    _classify(client, GOOD)
    wait_until(lambda: database.predictions.count_documents({}) == 1, "kept")

    _classify(client, *[GOOD] * 60)

    over_rate = metric(
        client, "perennial_log_dropped_entries_total", kind="prediction", reason="over_rate"
    )
    assert over_rate > 0
    assert metric(client, "perennial_log_dropped_entries_total", kind="prediction") == over_rate


def test_what_waits_is_written_before_the_service_ends(
    logged: Callable[..., Any], database: Any
) -> None:
    service, client = logged()

    _classify(client, *[GOOD] * 50)
    service.end()

    assert database.predictions.count_documents({}) == 50


def test_the_log_is_kept_again_when_mongodb_comes_back(
    logged: Callable[..., Any], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perennial.errors import UnavailableError
    from perennial.stores import mongodb

    connect = mongodb.connect
    tries: list[int] = []

    def away_at_first(settings: Settings) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise UnavailableError("MongoDB is away.")
        return connect(settings)

    monkeypatch.setattr(mongodb, "connect", away_at_first)
    _, client = logged()

    _classify(client, GOOD)

    wait_until(lambda: database.predictions.count_documents({}) == 1, "kept")
    assert len(tries) == 2
