"""A backup by command, on a real S3 server (SeaweedFS), and the life that goes on from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deployments.commands.backup import run_backup, run_restore
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import open_registry
from perennial.settings import Settings, get_settings
from tasks.orchestration.flow_lock import turn
from tests.conftest import forget_mlflow
from tests.seaweedfs import ACCESS_KEY, BUCKET, SECRET_KEY

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def backups(s3_uri: str, monkeypatch: pytest.MonkeyPatch, database_name: str) -> str:
    """A place for backups on the S3 server, where the snapshots are, too."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("SERVING_LOG_DATABASE", database_name)
    get_settings.cache_clear()
    return f"s3://{BUCKET}/backups/{database_name}"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_life_goes_on_elsewhere_from_a_backup_when_everything_else_is_lost(
    backups: str,
    machine: Settings,
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Callable[..., list[dict[str, Any]]],
    snippets: Sequence[tuple[str, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    problem = write_problem()
    collection.insert_many(documents(1200))
    assert retrain("reviews").verdict is not None
    texts = [text for text, _ in snippets[:500]]
    registry = open_registry(get_settings())
    before = registry.load(registry.require_production("reviews")).predict_proba(texts)
    said(capsys)

    run_backup(backups, documents=True)

    report = said(capsys)
    assert "Saved 1 problem (reviews), 1,20" in report
    assert "Not in the backup: the history of Prefect's runs" in report
    place = report.rpartition("restore ")[2].strip().removesuffix("`").removesuffix("`.")
    collection.database.client.drop_database(collection.database.name)
    forget_mlflow()
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PROBLEMS_DIR", str(tmp_path / "problems of elsewhere"))
    monkeypatch.setenv("DATA_URI", f"s3://{BUCKET}/elsewhere/{problem.source.database}")
    get_settings.cache_clear()

    run_restore(place)

    assert "Restored 1 problem (reviews), 1,20" in said(capsys)
    registry = open_registry(get_settings())
    production = registry.require_production("reviews")
    assert (registry.load(production).predict_proba(texts) == before).all()
    assert retrain("reviews").verdict is None
    assert "nothing new, nothing to do" in said(capsys)
    collection.insert_many(documents(200, first=1200))
    assert retrain("reviews").verdict is not None


def test_a_backup_waits_for_a_retraining_and_keeps_the_next_one_waiting(
    machine: Settings, write_problem: Callable[..., Problem], tmp_path: Path
) -> None:
    write_problem()
    with ThreadPoolExecutor(1) as threads:
        with turn("retrain", "reviews"):
            # A thread has no settings of Prefect by itself.
            save = partial(run_backup, str(tmp_path / "backups"), documents=None)
            saving = threads.submit(copy_context().run, save)
            assert not wait([saving], timeout=2.0).done
        saving.result(timeout=120)

    assert list((tmp_path / "backups").glob("perennial-*/manifest.json"))


def test_a_backup_of_nothing_is_refused(machine: Settings, tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="There is no problem in"):
        run_backup(str(tmp_path / "backups"), documents=None)
