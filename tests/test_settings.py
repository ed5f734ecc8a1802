"""Settings: typed, with defaults that need nothing, and secrets that stay secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import PROJECT, Settings, get_settings, prepare_environment, uses_embedded_prefect


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nothing of ours is set."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_any_variable_everything_is_below_the_folder_of_the_project() -> None:
    settings = Settings()

    assert settings.data_dir == PROJECT / ".data"
    assert settings.problems_dir == PROJECT / "problems"
    assert settings.snapshots_uri == str(PROJECT / ".data" / "snapshots")
    assert settings.mongodb_uri is None
    assert settings.mlflow_tracking_uri is None


def test_variables_are_read_by_the_names_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", "/data")
    monkeypatch.setenv("MONGODB_TIMEOUT", "2.5")
    monkeypatch.setenv("DATA_URI", "s3://bucket/prefix/")

    settings = Settings()

    assert settings.data_dir == Path("/data")
    assert settings.mongodb_timeout == 2.5
    assert settings.snapshots_uri == "s3://bucket/prefix/snapshots"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "")
    monkeypatch.setenv("MONGODB_TIMEOUT", "")

    assert Settings() == Settings(mongodb_uri=None, mongodb_timeout=10.0)


@pytest.mark.parametrize("value", ["0", "-1", "soon"])
def test_a_timeout_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_TIMEOUT", value)

    with pytest.raises(ValidationError, match="mongodb_timeout"):
        Settings()


def test_passwords_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://user:very-secret@host")
    monkeypatch.setenv("DAGSHUB_TOKEN", "very-secret")

    settings = Settings()

    assert "very-secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_settings_do_not_change_while_a_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    get_settings.cache_clear()
    first = get_settings()
    monkeypatch.setenv("DATA_DIR", "/elsewhere")

    assert get_settings() is first
    with pytest.raises(ValidationError, match="frozen"):
        first.data_dir = Path("/other")  # type: ignore[misc]
    get_settings.cache_clear()


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment in which nothing of the libraries is set either."""
    for name in tuple(os.environ):
        if name.startswith(("PREFECT", "MLFLOW", "BENTOML", "DAGSHUB", "DO_NOT")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    get_settings.cache_clear()


@pytest.fixture
def prepared(bare_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    prepare_environment()
    after = dict(os.environ)
    os.environ.clear()
    os.environ.update(before)
    for name in after.keys() - before.keys():
        monkeypatch.setenv(name, after[name])


def test_the_libraries_send_no_usage_data(prepared: None) -> None:
    assert os.environ["DO_NOT_TRACK"] == "true"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert os.environ["BENTOML_DO_NOT_TRACK"] == "True"


def test_prefect_keeps_its_files_in_the_data_folder(prepared: None, tmp_path: Path) -> None:
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert uses_embedded_prefect()


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_HOME"])
def test_a_prefect_that_is_configured_is_left_alone(
    name: str, bare_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "configured")
    monkeypatch.setattr(os, "environ", dict(os.environ))

    prepare_environment()

    assert os.environ[name] == "configured"
    assert os.environ.get("PREFECT_HOME") in {None, "configured"}
    assert not uses_embedded_prefect()


def test_what_the_environment_says_is_respected(
    bare_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    monkeypatch.setattr(os, "environ", dict(os.environ))

    prepare_environment()

    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
