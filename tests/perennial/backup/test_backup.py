"""A backup is restored elsewhere as it was, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from perennial.backup.archive import Archive, archive_in
from perennial.backup.backup import restore, save
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import Registry, open_registry
from perennial.registry.history import Note
from perennial.settings import Settings
from perennial.stores.mongodb import connect
from perennial.stores.snapshots.kept_counts import COUNTS
from tests.conftest import forget_mlflow
from tests.small_models import BAD, GOOD, fit_small, register_small

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DOCUMENTS = [
    {"_id": ObjectId(), "text": "Ein schöner Film 🎬", "label": 1, "created_at": NOON},
    {"_id": 2, "text": "dull", "label": 0, "price": Decimal128("1.50"), "created_at": NOON},
]


@pytest.fixture
def saved(
    write_problem: Callable[..., Problem],
    snippets: Sequence[tuple[str, int]],
    collection: Any,
    machine: Settings,
    registry: Registry,
    tmp_path: Path,
) -> Archive:
    """A backup of a problem with two documents, a log, and two versions."""
    problem = write_problem()
    collection.insert_many(DOCUMENTS)
    database = collection.database
    database["predictions"].insert_one({"_id": "p", "label": "positive", "created_at": NOON})
    database["predictions"].create_index("created_at", name="forget", expireAfterSeconds=10**8)
    database["somebody_elses"].insert_one({"_id": 1})
    register_small(machine.data_dir, [fit_small(snippets[:100])] * 2)
    for number in (1, 2):
        registry.promote(
            registry.version("reviews", number),
            expected=registry.production("reviews"),
            note=Note(why="better", by="the test"),
        )
    archive = archive_in(str(tmp_path / "backups"), NOON, machine)
    save(archive, [problem], machine, NOON, with_documents=True, log_database=database.name)
    return archive


@pytest.fixture
def elsewhere(saved: Archive, collection: Any, machine: Settings, tmp_path: Path) -> Settings:
    """Another machine, whose MongoDB lost everything."""
    collection.database.client.drop_database(collection.database.name)
    forget_mlflow()
    there = tmp_path / "elsewhere"
    return machine.model_copy(
        update={"data_dir": there / "data", "problems_dir": there / "problems"}
    )


def test_everything_is_restored_elsewhere_as_it_was(
    saved: Archive, elsewhere: Settings, machine: Settings, collection: Any
) -> None:
    before = open_registry(machine)
    answers = before.load(before.require_production("reviews")).predict_proba([GOOD, BAD])
    changes = before.history("reviews")
    shutil.rmtree(machine.data_dir)
    forget_mlflow()

    manifest, counts = restore(saved, elsewhere)

    assert manifest.problems == ("reviews",)
    assert counts.documents == 3
    assert list(collection.find().sort("label", -1)) == DOCUMENTS
    log = collection.database["predictions"]
    assert log.index_information()["forget"]["expireAfterSeconds"] == 10**8
    assert "somebody_elses" not in collection.database.list_collection_names()
    registry = open_registry(elsewhere)
    production = registry.require_production("reviews")
    assert production.version == 2
    assert registry.history("reviews") == changes
    assert (registry.load(production).predict_proba([GOOD, BAD]) == answers).all()
    assert (elsewhere.problems_dir / "reviews.yaml").read_bytes() == (
        machine.problems_dir / "reviews.yaml"
    ).read_bytes()


def test_kept_counts_are_left_out(machine: Settings, tmp_path: Path) -> None:
    """They are made anew of the snapshots, and may be as large as these."""
    snapshots = tmp_path / "snapshots" / "reviews"
    for name in (f"{COUNTS}/some/file.arrow", "history/part.parquet", f"{COUNTS}.parquet"):
        (snapshots / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshots / name).write_bytes(b"content")
    archive = archive_in(str(tmp_path / "backups"), NOON, machine)

    archive.add_folder("snapshots/reviews", str(snapshots), machine, leaving_out=COUNTS)

    files = [each for each in Path(archive.address).rglob("*") if each.is_file()]
    names = {str(each.relative_to(archive.address)) for each in files}
    assert names == {
        "snapshots/reviews/history/part.parquet",
        f"snapshots/reviews/{COUNTS}.parquet",
    }


def test_a_damaged_backup_is_refused_before_anything_is_written(
    saved: Archive, elsewhere: Settings, collection: Any
) -> None:
    damaged = next(Path(saved.address).rglob("documents.bson.gz"))
    damaged.write_bytes(damaged.read_bytes()[:-1])

    with pytest.raises(OutsideError, match=r"documents\.bson\.gz is damaged: its SHA-256 differs"):
        restore(saved, elsewhere)

    assert not elsewhere.data_dir.joinpath("mlflow").exists()
    assert collection.database.list_collection_names() == []


def test_a_backup_that_lacks_a_file_or_was_never_completed_is_refused(
    saved: Archive, elsewhere: Settings
) -> None:
    folder = Path(saved.address)
    (folder / "problems" / "reviews.yaml").unlink()
    with pytest.raises(OutsideError, match=r"problems/reviews\.yaml is missing"):
        restore(saved, elsewhere)

    (folder / "manifest.json").unlink()
    with pytest.raises(OutsideError, match="There is no complete backup at"):
        restore(saved, elsewhere)


def test_nothing_is_restored_over_what_there_is(
    saved: Archive, machine: Settings, elsewhere: Settings, collection: Any
) -> None:
    with pytest.raises(OutsideError, match=r"There is something at .*nothing was restored"):
        restore(saved, machine)

    collection.insert_one({"_id": "new"})
    with pytest.raises(OutsideError, match=r"The collection .*\.reviews has documents"):
        restore(saved, elsewhere)
    assert not elsewhere.data_dir.joinpath("mlflow").exists()


def test_a_newer_format_is_refused_with_the_version_that_wrote_it(
    saved: Archive, elsewhere: Settings
) -> None:
    manifest = Path(saved.address) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 99'))

    with pytest.raises(OutsideError, match="which has a newer format; restore it with that"):
        restore(saved, elsewhere)


def test_without_documents_only_what_is_ours_is_saved(
    saved: Archive, machine: Settings, collection: Any, tmp_path: Path
) -> None:
    archive = archive_in(str(tmp_path / "ours"), NOON, machine)
    with connect(machine):
        manifest, counts = save(
            archive,
            [load_problem(machine.problem_file("reviews"))],
            machine,
            NOON,
            with_documents=False,
            log_database=collection.database.name,
        )

    assert counts.documents == 1
    assert (
        "the labelled documents of reviews, which MongoDB's own backups hold" in manifest.left_out
    )
    assert not [name for name in manifest.files if "/reviews/documents" in name]


@pytest.mark.parametrize("address", ["gs://bucket/backups", "https://example.org/backups"])
def test_a_place_that_cannot_hold_a_backup_is_named(address: str, machine: Settings) -> None:
    with pytest.raises(OutsideError, match=f"A backup cannot be kept at {address}"):
        archive_in(address, NOON, machine)
