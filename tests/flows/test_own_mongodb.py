"""A problem whose documents are in a MongoDB of its own: nothing of it is in the other one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from deployments.commands.backup import run_backup, run_restore
from deployments.exporter import measurements
from flows.quarantine import quarantine
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.settings import Settings, get_settings
from perennial.status.facts import read_facts
from perennial.stores import mongodb
from tests.conftest import forget_mlflow, free_port

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def two(
    machine: Settings,
    own_server: str,
    problem: Problem,
    collection: Any,
    documents: Callable[..., list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """``reviews`` in the MongoDB of all, ``own`` in one of its own, under the same names."""
    text = (machine.problems_dir / "reviews.yaml").read_text()
    (machine.problems_dir / "own.yaml").write_text(text)
    monkeypatch.setenv("MONGODB_URIS", json.dumps({"own": own_server}))
    get_settings.cache_clear()
    collection.insert_many(documents(300))
    held = [{**each, "label": 7} for each in documents(3, first=1000)]
    with MongoClient[dict[str, Any]](own_server) as client:
        there = client[problem.source.database][problem.source.collection]
        there.insert_many([*documents(400, first=500), *held])
    yield get_settings()
    get_settings.cache_clear()


def names_in(uri: str, database: str) -> set[str]:
    with MongoClient[dict[str, Any]](uri) as client:
        return {each["problem"] for each in client[database]["perennial_measurements"].find()}


def test_each_is_retrained_and_known_where_its_documents_are(
    two: Settings, problem: Problem, own_server: str, mongodb_server: str
) -> None:
    for name, count in (("reviews", 300), ("own", 400)):
        assert retrain(name).ingested.accounts.used == count
    database = problem.source.database

    assert names_in(own_server, database) == {"own"}
    assert names_in(mongodb_server, database) == {"reviews"}
    found = {each.name: each for each in read_facts(two, datetime.now(UTC))}
    assert {name: each.quarantined for name, each in found.items()} == {
        "own": (3, 403),
        "reviews": (0, 300),
    }
    assert quarantine("own", drop="unknown_label label", why="spam") == ()
    for server, name in ((None, "reviews"), ("own", "own")):
        assert {dict(each.labels)["problem"] for each in measurements(two, server)} == {name}


def test_one_that_is_away_stops_no_other_and_is_named(
    two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = f"mongodb://user:secret-of-own@127.0.0.1:{free_port()}/"
    monkeypatch.setenv("MONGODB_URIS", json.dumps({"own": away}))
    monkeypatch.setenv("MONGODB_TIMEOUT", "0.5")
    get_settings.cache_clear()

    with pytest.raises(OutsideError, match="check MONGODB_URIS for 'own'") as refused:
        mongodb.connect(get_settings(), "own").__enter__()

    assert "secret-of-own" not in str(refused.value)
    assert retrain("reviews").verdict is not None
    found = {each.name: each for each in read_facts(get_settings(), datetime.now(UTC))}
    assert "MONGODB_URIS for 'own'" in found["own"].unknown["mongodb"]
    assert "mongodb" not in found["reviews"].unknown
    assert list(measurements(get_settings()))
    assert "secret-of-own" not in repr(get_settings())


def test_a_backup_holds_both_and_a_restore_puts_each_where_it_was(
    two: Settings,
    problem: Problem,
    own_server: str,
    collection: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # What other tests have left in the database of all is none of this one's.
    monkeypatch.setenv("SERVING_LOG_DATABASE", problem.source.database)
    get_settings.cache_clear()
    for name in ("reviews", "own"):
        retrain(name)
    run_backup(str(tmp_path / "backups"), documents=True)
    (place,) = (tmp_path / "backups").iterdir()
    database = problem.source.database
    with MongoClient[dict[str, Any]](own_server) as client:
        for there in (client, collection.database.client):
            there.drop_database(database)
        forget_mlflow()
        monkeypatch.setenv("DATA_DIR", str(tmp_path / "elsewhere"))
        get_settings.cache_clear()

        run_restore(str(place))

        counts = [
            there[database][problem.source.collection].count_documents({})
            for there in (client, collection.database.client)
        ]
    assert counts == [403, 300]
    assert "Restored 2 problems (own, reviews)" in capsys.readouterr().out
    assert retrain("own").verdict is None
