"""Erasing documents: no stored byte has them afterwards, and everything still runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from pyarrow import parquet
from pydantic import SecretStr

from flows.erase import erase
from flows.history import history
from flows.monitor import monitor
from flows.reproduce import reproduce
from flows.retrain import retrain
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import Registry
from perennial.settings import PROJECT, Settings, get_serving_settings, get_settings
from perennial.splits.split import SplitRule, split_documents
from perennial.stores.prediction_log import Logged, open_predictions
from perennial.stores.snapshots.store import SnapshotStore
from serving.models.store import ModelStore
from serving.telemetry.metrics import Metrics
from tasks.data.ingest import ingest
from tests.conftest import SMALL_PROBLEM
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, open_s3

pytestmark = pytest.mark.usefixtures("prefect_api")

_RETRAININGS, _ERASED = 10, 20
# Names and contents of all that is stored.
Contents = Callable[[], Iterator[tuple[str, bytes]]]


def _on_disk(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()


@pytest.fixture
def local(machine: Settings) -> Contents:
    """Everything in the data folder."""
    return lambda: _on_disk(machine.data_dir)


@pytest.fixture
def versioned_bucket(
    machine: Settings, seaweedfs: str, monkeypatch: pytest.MonkeyPatch
) -> Contents:
    """Everything in the data folder, and each version of each object on S3."""
    bucket, client = f"erasure-{uuid4().hex[:12]}", open_s3(seaweedfs)
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for name, value in {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_ENDPOINT_URL": seaweedfs,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "DATA_URI": f"s3://{bucket}/perennial",
    }.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()

    def contents() -> Iterator[tuple[str, bytes]]:
        yield from _on_disk(machine.data_dir)
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for each in page.get("Versions", []):
                named = {"Key": each["Key"], "VersionId": each["VersionId"]}
                yield each["Key"], client.get_object(Bucket=bucket, **named)["Body"].read()

    return contents


def _holders(contents: Contents, texts: list[str]) -> set[str]:
    """Return the names of what has one of some texts in it, found without the product's search."""
    wanted = [way.encode() for text in texts for way in (text, json.dumps(text)[1:-1])]
    found = set()
    for name, content in contents():
        seen = content
        if name.endswith(".parquet"):
            seen += str(parquet.read_table(BytesIO(content)).to_pylist()).encode()
            wanted_here = [*wanted, *(repr(text)[1:-1].encode() for text in texts)]
        else:
            wanted_here = wanted
        if any(each in seen for each in wanted_here):
            found.add(name)
    return found


@pytest.fixture
def one_candidate(write_problem: Any) -> Problem:
    """The small problem with one cheap candidate."""
    name = "bow-bayes"
    return write_problem(candidates={name: SMALL_PROBLEM["candidates"][name]})


@pytest.fixture
def named(documents: Any) -> list[dict[str, Any]]:
    """Documents with ids that cannot be taken for anything else."""
    return [each | {"_id": f"document-{number:06}"} for number, each in enumerate(documents(340))]


def _secrets(documents: list[dict[str, Any]]) -> list[SecretStr]:
    return [SecretStr(each["_id"]) for each in documents]


def _erase(gone: list[dict[str, Any]], **options: Any) -> Any:
    return erase("reviews", why="asked for", ids=_secrets(gone), yes=True, **options)


def _chosen(registry: Registry, named: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return documents to erase: golden examples of the first and last versions, and others."""
    versions = sorted(registry.versions("reviews"), key=lambda each: each.version)
    golden = {
        text for each in (versions[0], versions[-1]) for text in registry.fetch(each).golden.inputs
    }
    first = registry.fetch(versions[0]).golden.inputs[0]
    in_golden = [each for each in named if each["text"] in golden and each["text"] != first]
    others = [each for each in named if each["text"] not in golden]
    example = [each for each in named if each["text"] == first]
    return [*example, *in_golden[:8], *others][:_ERASED]


@pytest.mark.usefixtures("one_candidate")
@pytest.mark.timeout(1500)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "trained"),
    [
        pytest.param("local", range(_RETRAININGS), marks=pytest.mark.thorough),
        ("local", (0, 4, _RETRAININGS - 1)),
        ("versioned_bucket", (0, _RETRAININGS - 1)),
    ],
)
def test_twenty_texts_are_in_no_stored_byte_after_ten_retrainings_and_everything_still_runs(
    place: str,
    trained: Sequence[int],
    request: pytest.FixtureRequest,
    collection: Any,
    named: list[dict[str, Any]],
    registry: Registry,
    machine: Settings,
    run_task: Callable[..., Any],
) -> None:
    contents: Contents = request.getfixturevalue(place)
    problem = load_problem(machine.problem_file("reviews"))
    # What a retraining writes beside the snapshot is the same each time: some go no further.
    for number in range(_RETRAININGS):
        first = 0 if number == 0 else 280 + 6 * (number - 1)
        collection.insert_many(named[first : 280 + 6 * number])
        if number in trained:
            retrain("reviews")
        else:
            run_task(ingest, problem)
    store = SnapshotStore("reviews", get_settings())
    before = [set(store.read(each)["id"].to_pylist()) for each in _snapshots(store)]
    learned = {version: _learned(store, number) for version, number in enumerate(trained, start=1)}
    gone = _chosen(registry, named)
    keys, texts = {each["_id"] for each in gone}, [each["text"] for each in gone]
    assert (len(before), len(keys)) == (_RETRAININGS, _ERASED)
    _log_predictions(collection, gone)
    served = ModelStore(machine.data_dir / "serving" / "models", Metrics())
    served.update(registry)
    assert {Path(name).name for name in _holders(contents, texts)} >= {
        "golden.json",
        "input_example.json",
    }

    done = _erase(gone)

    assert _holders(contents, texts) == set()
    assert _holders(contents, sorted(keys)) == set()
    assert (done.documents, done.predictions) == (_ERASED, 1)
    assert done.proof.files > _RETRAININGS
    assert done.proof.parts - done.proof.shared >= _ERASED
    assert len(store.erased()) == _ERASED
    assert all(key in store.erased() for key in keys)
    after = _snapshots(store)
    assert [set(store.read(each)["id"].to_pylist()) for each in after] == [
        ids - keys for ids in before
    ]
    assert [each.erased for each in after] == [len(ids & keys) for ids in before]
    _require_sound(registry, machine)
    assert history("reviews")
    counts = {version: len(ids & keys) for version, ids in learned.items()}
    assert {each.version: each.erased for each in registry.versions("reviews")} == counts
    assert done.marked == tuple(number for number, count in counts.items() if count)
    result = retrain("reviews")
    assert result.ingested.snapshot.erased == 0
    assert keys.isdisjoint(store.read(result.ingested.snapshot)["id"].to_pylist())
    assert result.verdict is not None
    monitor("reviews")
    with pytest.raises(OutsideError, match=rf"data: snapshot 0 .*{after[0].erased} were erased"):
        reproduce("reviews", 1)
    reproduce("reviews", len(trained) + 1)
    _require_nothing_in_prefect(keys)


def _learned(store: SnapshotStore, snapshot: int) -> set[str]:
    """Return the ids of the documents that a retraining of a snapshot learns from."""
    documents = store.read(store.find(snapshot))
    sides = split_documents(documents, SplitRule())
    return set(documents["id"].filter(pa.array(sides.training)).to_pylist())


def _snapshots(store: SnapshotStore) -> list[Any]:
    return sorted(store.snapshots(), key=lambda each: each.version)


def _log_predictions(collection: Any, gone: list[dict[str, Any]]) -> None:
    log = collection.database.client[get_serving_settings().log_database]
    log.drop_collection("predictions")
    said = Logged(
        time(),
        "reviews",
        1,
        [uuid4().hex, uuid4().hex],
        ["negative"] * 2,
        [0.5] * 2,
        [gone[0]["text"].upper(), "Somebody else's text, which stays where it is."],
    )
    open_predictions(log).insert_many(said.documents(with_texts=True))


def _require_sound(registry: Registry, machine: Settings) -> None:
    """Require that each version loads with its golden examples, from the cache of a service too."""
    for version in registry.versions("reviews"):
        registry.load(version)
        assert len(registry.fetch(version).golden.inputs) == 20
    again = ModelStore(machine.data_dir / "serving" / "models", Metrics())
    again.restore()
    assert again.served["reviews"].production
    again.update(registry)
    production = registry.require_production("reviews")
    (golden,) = (machine.data_dir / "serving" / "models" / "reviews").glob(
        f"{production.version}-*/golden.json"
    )
    assert len(json.loads(golden.read_text())["inputs"]) == 20


def _require_nothing_in_prefect(keys: set[str]) -> None:
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.name == "erase reviews"]
    assert runs
    for run in runs:
        assert not any(key in run.model_dump_json() for key in keys)


# Runs one erasure, which is killed where it would call a function of the task. Its turn would be
# kept by the Prefect of the tests, which has no service that gives it back.
_DRIVER = """
import contextlib, os, signal, sys
import flows.erase
import tasks.erasure.erase
from flows.erase import erase
from pydantic import SecretStr

def killed(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(tasks.erasure.erase, sys.argv[1], killed)
flows.erase.turn = lambda *_: contextlib.nullcontext()
erase("reviews", why="asked for", ids=[SecretStr(key) for key in sys.argv[2:]], yes=True)
"""


@pytest.mark.usefixtures("one_candidate")
@pytest.mark.timeout(900)
@pytest.mark.slow
def test_an_erasure_that_was_killed_is_completed_by_the_next_one_even_without_ids(
    collection: Any, named: list[dict[str, Any]], registry: Registry, local: Contents
) -> None:
    collection.insert_many(named[:200])
    retrain("reviews")
    gone = _chosen(registry, named[:200])
    learned = _learned(SnapshotStore("reviews", get_settings()), 0)
    # Three of the holdout, and one that was learned from.
    gone = [*gone[:3], next(each for each in gone if each["_id"] in learned)]
    texts = [each["text"] for each in gone]
    left = []

    for function, some in (("erase_rows", gone[:2]), ("_purge", gone[2:4])):
        command = [sys.executable, "-c", _DRIVER, function, *(each["_id"] for each in some)]
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value() or ""},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        left.append(_holders(local, texts[:4]))
    done = erase("reviews", why="asked for", yes=True)

    assert all(left)
    assert done.documents == 0
    assert _holders(local, texts[:4]) == set()
    assert registry.version("reviews", 1).erased == 1
    assert done.marked == (1,)
    registry.load(registry.version("reviews", 1))


@pytest.mark.usefixtures("one_candidate")
@pytest.mark.timeout(600)
def test_what_is_left_is_named_and_a_case_with_an_erased_text_is_refused_before(
    collection: Any,
    named: list[dict[str, Any]],
    machine: Settings,
    registry: Registry,
    write_problem: Any,
) -> None:
    collection.insert_many(named[:200])
    retrain("reviews")
    first, second = named[:2]
    note = machine.data_dir / "a-note-of-somebody.txt"
    note.write_text(f"Look at this: {first['text']}")

    with pytest.raises(OutsideError, match=r"still in .*a-note-of-somebody\.txt\.") as failure:
        _erase([first], also_in_mongodb=True)
    assert first["text"][:20] not in str(failure.value)
    assert collection.find_one({"_id": first["_id"]}) is None
    note.unlink()
    note.with_name("another-note.txt").write_text(f"And at this: {first['text']}")
    # Though it is in MongoDB no more, and its tombstone is there, it is still known what it was.
    with pytest.raises(OutsideError, match=r"still in .*another-note\.txt\."):
        erase("reviews", why="asked for", yes=True)
    note.with_name("another-note.txt").unlink()
    completed = erase("reviews", why="asked for", yes=True)
    assert (completed.documents, completed.revisions) == (0, 1)
    assert completed.proof.parts > 0
    (machine.problems_dir / "cases.yaml").write_text(
        json.dumps(
            {
                "groups": {
                    "one": {"minimum_function": [{"input": second["text"], "label": "negative"}]}
                }
            }
        )
    )
    write_problem(gates={"cases": "cases.yaml"})
    with pytest.raises(OutsideError, match=r"1 behavioural case has .*gates\.cases"):
        _erase([second])
    with pytest.raises(OutsideError, match="add --yes"):
        erase("reviews", why="asked for", ids=_secrets([second]))
    with pytest.raises(OutsideError, match="--why is empty"):
        erase("reviews", why=" ", ids=_secrets([second]))
