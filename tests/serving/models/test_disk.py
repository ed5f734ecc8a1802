"""Versions on the disk of this machine: they start a service, and no damage is ever served."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from perennial.erasure.models import without
from perennial.registry.artifact import read_golden
from perennial.registry.model_version import ModelVersion
from perennial.settings import Settings
from tests.conftest import forget_mlflow, wait_until
from tests.disks import fill, mounted, remount
from tests.serving.conftest import metric
from tests.serving.models.asking import Serve, has_looked_again, ready, version_of

if TYPE_CHECKING:
    from perennial.registry.client import Registry


def test_while_the_registry_is_away_the_last_good_version_starts_from_the_cache(
    serve: Serve, machine: Settings, production: ModelVersion
) -> None:
    first, client = serve()
    assert ready(client)["models"][0]["origin"] == "registry"
    has_looked_again(first)
    first.end()
    _take_registry_away(machine)

    _, client = serve()
    ready(client)
    state = wait_until(
        lambda: (s := client.get("/readyz").json())["registry"] == "away" and s, "away"
    )

    assert state["models"] == [{"model": "reviews", "version": 1, "origin": "cache"}]
    assert version_of(client) == 1
    assert metric(client, "perennial_registry_up") == 0


def test_a_machine_without_a_file_left_is_said_in_one_sentence_and_answers_go_on(
    serve: Serve,
    production: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service, client = serve()
    ready(client)

    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files", "/somewhere")

    with monkeypatch.context() as scarce:
        scarce.setattr(service.store, "update", fail)
        service.watcher.refresh(20)
        service.watcher.refresh(20)
        assert version_of(client) == 1
        assert metric(client, "perennial_registry_up") == 0
    has_looked_again(service)

    assert metric(client, "perennial_registry_up") == 1
    (said,) = (each for each in caplog.messages if "Too many open files" in each)
    assert said.startswith("The registry cannot be asked from this machine: Too many open files.")
    assert "Traceback" not in caplog.text


def test_a_damaged_cache_is_never_served_and_is_fetched_anew(
    serve: Serve, machine: Settings, production: ModelVersion
) -> None:
    first, client = serve()
    ready(client)
    has_looked_again(first)
    first.end()
    (stored,) = (machine.data_dir / "serving" / "models").glob("*/*/model.skops")
    sound = stored.read_bytes()
    stored.write_bytes(sound[:-1])

    second, client = serve()
    assert ready(client)["models"][0]["origin"] == "registry"
    has_looked_again(second)

    assert stored.read_bytes() == sound


def test_a_damaged_cache_without_the_registry_is_no_model(
    serve: Serve, machine: Settings, production: ModelVersion
) -> None:
    first, client = serve()
    ready(client)
    has_looked_again(first)
    first.end()
    for file in (machine.data_dir / "serving" / "models").glob("*/*/model.skops"):
        file.write_bytes(b"damaged")
    _take_registry_away(machine)

    _, client = serve()
    wait_until(lambda: client.get("/readyz").json()["registry"] == "away", "away")

    assert client.get("/readyz").status_code == 503


def _take_registry_away(machine: Settings) -> None:
    forget_mlflow()
    folder = machine.data_dir / "mlflow"
    shutil.rmtree(folder)
    # A file in its place: MLflow can neither open nor create its database.
    folder.write_text("")


def _damage_golden(folder: Path) -> None:
    golden = folder / "golden.json"
    content = json.loads(golden.read_text())
    content["probabilities"] = [row[::-1] for row in content["probabilities"]]
    golden.write_text(json.dumps(content))


def _put_a_file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def _link_it_elsewhere(folder: Path) -> None:
    moved = folder.with_name("elsewhere")
    folder.rename(moved)
    (moved / "model.skops").unlink()
    folder.symlink_to(moved)


@pytest.mark.parametrize(
    "damage",
    [
        _damage_golden,
        lambda folder: (folder / "golden.json").write_text("{"),
        lambda folder: (folder / "model.skops").unlink(),
        _put_a_file_in_its_place,
        _link_it_elsewhere,
        lambda folder: (folder.parent / "aliases.json").write_text("[]"),
    ],
    ids=["other golden", "no json", "no model", "a file", "a link", "other state"],
)
def test_whatever_is_damaged_on_disk_is_fetched_anew_before_a_version_is_refused(
    serve: Serve, machine: Settings, production: ModelVersion, damage: Callable[[Path], Any]
) -> None:
    first, client = serve()
    ready(client)
    has_looked_again(first)
    first.end()
    (folder,) = (machine.data_dir / "serving" / "models" / "reviews").glob("1-*")
    damage(folder)

    second, client = serve()
    ready(client)
    has_looked_again(second)

    assert version_of(client) == 1
    assert metric(client, "perennial_model_cache_up") == 1
    assert json.loads((folder / "golden.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["golden.json", "model.skops"]


def test_without_a_disk_models_are_served_from_memory_and_it_is_said(
    serve: Serve, machine: Settings, production: ModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    folder = machine.data_dir / "serving" / "models"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")

    service, client = serve()
    ready(client)
    has_looked_again(service)

    assert version_of(client) == 1
    assert metric(client, "perennial_registry_up") == 1
    assert metric(client, "perennial_model_cache_up") == 0
    said = [each for each in caplog.messages if "cannot be kept on disk" in each]
    assert len(said) == 1
    folder.unlink()
    has_looked_again(service)
    assert metric(client, "perennial_model_cache_up") == 1
    assert len(list(folder.glob("reviews/1-*/model.skops"))) == 1


def _make_full(disk: Path) -> None:
    fill(disk / "ballast")


def _make_room(disk: Path) -> None:
    (disk / "ballast").unlink()


@pytest.mark.parametrize(
    ("break_disk", "mend_disk"),
    [
        pytest.param(_make_full, _make_room, marks=pytest.mark.e2e, id="full"),
        pytest.param(
            partial(remount, how="ro"),
            partial(remount, how="rw"),
            marks=pytest.mark.thorough,
            id="read-only",
        ),
    ],
)
def test_a_full_or_read_only_disk_of_tmpfs_keeps_no_version_from_being_served(
    serve: Serve,
    machine: Settings,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
    caplog: pytest.LogCaptureFixture,
    break_disk: Callable[[Path], None],
    mend_disk: Callable[[Path], None],
) -> None:
    with mounted(machine.data_dir / "serving", "8m") as disk:
        promote(versions[0])
        service, client = serve()
        ready(client)
        has_looked_again(service)
        break_disk(disk)

        promote(versions[1])
        wait_until(lambda: version_of(client) == 2, "the next version is served from memory")
        has_looked_again(service)

        assert metric(client, "perennial_registry_up") == 1
        assert metric(client, "perennial_model_cache_up") == 0
        assert len([each for each in caplog.messages if "cannot be kept on disk" in each]) == 1
        folder = disk / "models" / "reviews"
        assert [path.name[:2] for path in folder.iterdir() if path.is_dir()] == ["1-"]

        mend_disk(disk)
        has_looked_again(service)

        assert metric(client, "perennial_model_cache_up") == 1
        assert len(list(folder.glob("2-*/model.skops"))) == 1
        service.end()


def test_old_versions_leave_the_disk(
    serve: Serve,
    machine: Settings,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.models.cache._KEPT_ON_DISK", 0)
    service, _ = serve()
    for version in versions:
        promote(version)
        wait_until(lambda: service.store.served.get("reviews"), "served")
        has_looked_again(service)
        has_looked_again(service)

    folders = (machine.data_dir / "serving" / "models" / "reviews").glob("*-*/")
    assert sorted(folder.name.split("-")[0] for folder in folders) == ["2", "3"]


def test_after_an_erasure_golden_examples_are_fetched_anew_and_other_versions_are_forgotten(
    serve: Serve,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
    registry: Registry,
    machine: Settings,
) -> None:
    for version in versions:
        promote(version)
        service, client = serve()
        ready(client)
        has_looked_again(service)
    folder = machine.data_dir / "serving" / "models" / "reviews"
    file = registry.fetch(versions[2])
    assert file.golden.inputs[0] in next(folder.glob("3-*/golden.json")).read_text()
    assert list(folder.glob("1-*"))

    left = without(file.golden, lambda value: value == file.golden.inputs[0])
    assert left is not None
    registry.replace_golden(str(versions[2].model_id), left)
    assert registry.fetch(versions[2]).golden == left
    registry.note_erasure("reviews", datetime.now(UTC))
    wait_until((folder / "erasure").exists, "the erasure is noted on the disk")

    assert version_of(client) == 3
    assert read_golden(next(folder.glob("3-*/golden.json")), "it") == left
    assert sorted(path.name[:2] for path in folder.iterdir() if path.is_dir()) == ["2-", "3-"]
    registry.load(versions[2])
