"""Snapshots that were written before there were revisions are read as they were, and go on."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from deltalake import DeltaTable
from pymongo import MongoClient

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.settings import PROJECT, Settings
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from tasks.data.ingest import ingest

_STORED = PROJECT / "tests" / "data"
_BEFORE = _STORED / "before_revisions"
_EXPECTED = json.loads((_BEFORE / "expected.json").read_text())
_BEFORE_THE_LIBRARY = json.loads((_STORED / "before_the_library" / "expected.json").read_text())
_NAMES = ["reviews", "flowers"]

_OPEN_AT_ONCE = """
import sys
from perennial.settings import get_settings
from perennial.stores.snapshots.store import SnapshotStore
store = SnapshotStore(sys.argv[1], get_settings())
print("ready", flush=True)
sys.stdin.readline()
print(store.latest().version, len(store.read(store.latest())), flush=True)
"""


def _contents_of(store: SnapshotStore, snapshot: Snapshot) -> str:
    """Return the SHA-256 of what a snapshot uses, as it was written down then."""
    rows = store.read(snapshot)
    # Of the columns of inputs, the other one may be there too and is empty.
    (inputs,) = {"text", "inputs"} & set(rows.column_names)
    lines = sorted(
        json.dumps([row["id"], row["label"], row[inputs]], sort_keys=True, ensure_ascii=False)
        for row in rows.to_pylist()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _unpack(archive: Path, data: Path, within: str) -> None:
    with tarfile.open(archive) as packed:
        members = [each for each in packed.getmembers() if each.name.startswith(within)]
        packed.extractall(data, members, filter="data")


@pytest.fixture
def before(machine: Settings) -> Settings:
    """A machine with the snapshots of then."""
    _unpack(_BEFORE / "snapshots.tar.xz", machine.data_dir, "snapshots")
    return machine


@pytest.fixture
def load(mongodb_server: str, before: Settings) -> Iterator[Callable[[str], Problem]]:
    """Return a function that returns a problem of then, and gives it its collection."""
    database = f"test_{before.data_dir.parent.name}"
    with MongoClient(mongodb_server, tz_aware=True) as client:

        def one(name: str) -> Problem:
            documents = json_util.loads((_BEFORE / f"{name}.json").read_text())
            client[database][name].insert_many(documents)
            problem = load_problem(_BEFORE / "problems" / f"{name}.yaml")
            source = problem.source.model_copy(update={"database": database})
            return problem.model_copy(update={"source": source})

        yield one
        client.drop_database(database)


def _require_as_before(name: str, settings: Settings) -> None:
    store = SnapshotStore(name, settings)
    for expected in _EXPECTED[name]["snapshots"]:
        snapshot = store.find(expected["version"])
        assert store.find(expected["digest"]).digest == snapshot.digest == expected["digest"]
        assert snapshot.documents == expected["documents"] == len(store.read(snapshot))
        assert snapshot.watermark is not None
        assert snapshot.watermark.isoformat() == expected["watermark"]
        assert _contents_of(store, snapshot) == expected["contents_sha256"]
        held = store.quarantine(snapshot).to_pylist()
        assert sorted([row["id"], row["reason"]] for row in held) == expected["quarantine"]
        assert len(store.feedback_contents(snapshot)) == expected["feedback"]


@pytest.mark.parametrize("name", _NAMES)
def test_every_snapshot_reads_as_before(name: str, before: Settings) -> None:
    _require_as_before(name, before)


@pytest.mark.parametrize("name", _NAMES)
def test_every_snapshot_reads_as_before_where_another_program_has_merged_the_files(
    name: str, before: Settings
) -> None:
    DeltaTable(f"{before.snapshots_uri}/{name}").optimize.compact()
    expected = _EXPECTED[name]["snapshots"][-1]

    _require_as_before(name, before)

    # A retraining of then called what it saw by the version of the table, whoever wrote that.
    store = SnapshotStore(name, before)
    merged = store.recorded(expected["version"] + 1, expected["digest"])
    assert _contents_of(store, merged) == expected["contents_sha256"]


@pytest.mark.parametrize("name", list(_BEFORE_THE_LIBRARY["problems"]))
def test_snapshots_from_before_the_library_read_as_before(name: str, machine: Settings) -> None:
    _unpack(_STORED / "before_the_library" / "data.tar.xz", machine.data_dir, ".data/snapshots")
    store = SnapshotStore(name, Settings(data_uri=f"{machine.data_dir}/.data"))
    for expected in _BEFORE_THE_LIBRARY["problems"][name]["snapshots"]:
        snapshot = store.find(expected["version"])
        assert (snapshot.digest, snapshot.documents) == (expected["digest"], expected["documents"])
        assert _contents_of(store, snapshot) == expected["contents_sha256"]
        reasons = store.quarantine(snapshot)["reason"].to_pylist()
        assert sorted(set(reasons)) == expected["quarantine"]


def test_the_next_ingestion_reads_the_collection_anew_and_goes_on_counting(
    before: Settings, load: Callable[[str], Problem], run_task: Callable[..., Any]
) -> None:
    problem, store = load("reviews"), SnapshotStore("reviews", before)
    latest = store.latest()
    assert latest is not None

    result = run_task(ingest, problem)

    assert result.snapshot.version == latest.version + 1
    assert result.accounts.live == len(json.loads((_BEFORE / "reviews.json").read_text()))
    held = {row["id"] for row in store.quarantine(result.snapshot).to_pylist()}
    assert {row[0] for row in _EXPECTED["reviews"]["snapshots"][-1]["quarantine"]} <= held
    kept = set(store.read(result.snapshot)["id"].to_pylist())
    assert kept == set(store.read(latest)["id"].to_pylist())
    # The history goes on, and what was before stays.
    again = run_task(ingest, problem)
    assert again.snapshot == result.snapshot
    _require_as_before("reviews", before)


def test_equal_records_that_were_copies_then_are_documents_now(
    before: Settings, load: Callable[[str], Problem], run_task: Callable[..., Any]
) -> None:
    problem, store = load("flowers"), SnapshotStore("flowers", before)

    result = run_task(ingest, problem)

    assert result.snapshot.version == 4
    assert (result.accounts.duplicates, result.accounts.live) == (0, 94)
    held = {row["id"]: row["code"] for row in store.quarantine(result.snapshot).to_pylist()}
    # A boolean that was written as "yes" was refused then, and means true now.
    assert held == {'{"$numberInt": "1000"}': "wrong_type"}
    assert result.snapshot.documents == 93
    _require_as_before("flowers", before)


@pytest.mark.timeout(120)
def test_processes_that_open_it_at_once_do_no_harm(before: Settings) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN_AT_ONCE, "reviews"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        # They go on together.
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60)[0].split() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()

    documents = _EXPECTED["reviews"]["snapshots"][-1]["documents"]
    assert answers == [["2", str(documents)]] * 3
    _require_as_before("reviews", before)
