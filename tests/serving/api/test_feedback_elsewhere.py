"""Feedback on a problem whose documents are in a MongoDB of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo import MongoClient
from starlette.testclient import TestClient

from perennial.config.problem import Problem
from perennial.local import embedded
from perennial.registry.model_version import ModelVersion
from perennial.settings import Settings
from perennial.stores.feedback import open_statements
from serving.api.app import Service
from tests.conftest import free_port, wait_until
from tests.small_models import GOOD

Serve = Callable[..., tuple[Service, TestClient]]


def told(
    serve: Serve, machine: Settings, database: Any, uri: str, **settings: Any
) -> dict[str, Any]:
    """Tell a service whose problem has this MongoDB one label, and return the prediction."""
    own = machine.model_copy(update={"mongodb_uris": {"reviews": SecretStr(uri)}, **settings})
    _, client = serve(own, log_database=database.name)
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
    (prediction,) = client.post("/classify", json={"inputs": [GOOD]}).json()["predictions"]
    said = {"prediction_id": prediction["prediction_id"], "label": "negative"}

    answer = client.post("/feedback", json=said)

    assert answer.status_code == 202, answer.text
    return dict(prediction)


def test_it_becomes_a_document_there_and_is_noted_in_the_log(
    serve: Serve,
    machine: Settings,
    production: ModelVersion,
    problem: Problem,
    database: Any,
    own_server: str,
) -> None:
    prediction = told(serve, machine, database, own_server)

    with MongoClient[dict[str, Any]](own_server, tz_aware=True) as client:
        there = client[problem.source.database][problem.source.collection]
        document = wait_until(there.find_one, "a document")
        assert client[problem.source.database].list_collection_names() == [there.name]
    assert (document["text"], document["label"]) == (GOOD, problem.labels["negative"])
    assert database[problem.source.collection].count_documents({}) == 0
    marked = wait_until(
        lambda: database.predictions.find_one({"feedback": {"$exists": True}}), "a mark"
    )
    assert marked["_id"] == prediction["prediction_id"]
    assert open_statements(database).count_documents({"state": "used"}) == 1


def test_it_waits_while_that_mongodb_is_away(
    serve: Serve,
    machine: Settings,
    production: ModelVersion,
    problem: Problem,
    database: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("serving.telemetry.feedback._AWAY_SECONDS", 0.2)
    port, home = free_port(), tmp_path / "own" / "mongodb"
    home.mkdir(parents=True)
    # The embedded server comes up at the port that it had.
    (home / "last_port").write_text(str(port))
    uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    told(serve, machine, database, uri, mongodb_timeout=0.2)
    wait_until(lambda: "MONGODB_URIS for 'reviews'" in caplog.text, "the service says what is away")
    assert open_statements(database).count_documents({"state": "used"}) == 0

    with embedded.server(Settings(data_dir=tmp_path / "own"), "mongodb") as found:
        assert found == port
        with MongoClient[dict[str, Any]](uri) as client:
            there = client[problem.source.database][problem.source.collection]
            assert wait_until(there.find_one, "the document")["text"] == GOOD
    assert caplog.text.count("waits meanwhile") == 1
