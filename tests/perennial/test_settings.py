"""Settings: typed, with defaults that need nothing, and secrets that stay secret."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from perennial.environment import Environment
from perennial.errors import OutsideError
from perennial.libraries import prepare_environment, uses_embedded_prefect
from perennial.settings import (
    PROJECT,
    ConsoleSettings,
    ExporterSettings,
    OperationSettings,
    ServingSettings,
    Settings,
    get_settings,
    read,
)

_SECRET = "hunter2-of-a-person"
_HASH = hashlib.sha256(b"key").hexdigest()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nothing of ours is set."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name in tuple(os.environ):
        if name.startswith(("SERVING_", "OPERATION_", "EXPORTER_", "CONSOLE_")):
            monkeypatch.delenv(name)


def test_without_any_variable_everything_is_below_the_folder_of_the_project() -> None:
    settings = Settings()

    assert settings.data_dir == PROJECT / ".data"
    assert settings.problems_dir == PROJECT / "problems"
    assert settings.snapshots_uri == str(PROJECT / ".data" / "snapshots")
    assert settings.mongodb_uri is None
    assert settings.mlflow_tracking_uri is None


def test_a_folder_with_problems_or_data_is_the_project_and_another_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("problems", ".data"):
        (tmp_path / name / name).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)
        assert Settings().problems_dir == tmp_path / name / "problems"
        assert Settings().data_dir == tmp_path / name / ".data"
    monkeypatch.chdir(tmp_path / "problems" / "problems")
    assert Settings().project_dir == PROJECT
    # It has problems, and is a part of the source tree.
    monkeypatch.chdir(PROJECT / "benchmarks")
    assert Settings().project_dir == PROJECT


def test_the_folder_of_the_project_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROJECT_DIR", "mine")
    monkeypatch.setenv("DATA_DIR", "elsewhere")

    settings = Settings()

    assert settings.folders == {
        "PROJECT_DIR": str(tmp_path / "mine"),
        "DATA_DIR": str(tmp_path / "elsewhere"),
        "PROBLEMS_DIR": str(tmp_path / "mine" / "problems"),
    }


def test_variables_are_read_by_the_names_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", "/data")
    monkeypatch.setenv("MONGODB_TIMEOUT", "2.5")
    monkeypatch.setenv("DATA_URI", "s3://bucket/prefix/")

    settings = Settings()

    assert settings.data_dir == Path("/data")
    assert settings.mongodb_timeout == 2.5
    assert settings.snapshots_uri == "s3://bucket/prefix/snapshots"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_URI", "")
    monkeypatch.setenv("MONGODB_TIMEOUT", "")

    assert read(Settings) == Settings(data_uri=None, mongodb_timeout=10.0)


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


@pytest.mark.parametrize(
    ("kind", "variable", "value", "said"),
    [
        (Settings, "MONGODB_TIMEOUT", "soon", "must be a valid number, not 'soon'"),
        (Settings, "MONGODB_TIMEOUT", "0", "must be greater than 0, not '0'"),
        (Settings, "MEMORY_LIMIT", "much", "such as 4GiB or 700MB, not 'much'"),
        (Settings, "MEMORY_LIMIT", "0", "must be a number of bytes above 0"),
        (Settings, "DATA_URI", f"s3://user:{_SECRET}@bucket", "must not contain a user"),
        (Settings, "MLFLOW_TRACKING_URI", f"http://u:a/{_SECRET}@host", "percent-encoded"),
        (Settings, "MLFLOW_UI_URL", f"http://u:a/{_SECRET}@host", "percent-encoded"),
        (Settings, "MONGODB_URI", "", "is set and empty"),
        (Settings, "DAGSHUB_TOKEN", " ", "is set and empty"),
        (ServingSettings, "SERVING_PORT", "70000", "must be less than or equal to 65535"),
        (ServingSettings, "SERVING_WORKERS", "many", "must be a valid integer, not 'many'"),
        (ServingSettings, "SERVING_LOG_TEXTS", "perhaps", "must be a valid boolean"),
        (ServingSettings, "SERVING_API_KEY_HASHES", _SECRET, "must be SHA-256 in hexadecimal"),
        (ServingSettings, "SERVING_API_KEY_HASHES", f"{_HASH},{_SECRET}", "must be SHA-256"),
        (ServingSettings, "SERVING_API_KEY_HASHES", f"{_HASH}0", "must be SHA-256"),
        (ServingSettings, "SERVING_API_KEY_HASHES", "", "is set and empty"),
        (ServingSettings, "SERVING_API_KEY_HASHES", " ", "is set and empty"),
        (ServingSettings, "SERVING_API_KEY_HASHES", ",", "must be SHA-256"),
        (ServingSettings, "SERVING_API_KEY_HASHES", f"{_HASH}:", "scopes may follow"),
        (ServingSettings, "SERVING_API_KEY_HASHES", f"{_HASH}:clasify", "classify, feedback"),
        (ServingSettings, "SERVING_API_KEY_HASHES", f"{_HASH}:classify+", "joined by +"),
        (ServingSettings, "SERVING_API_KEY_HASHES", f"{_HASH}:classify,feedback", "joined by +"),
        (ServingSettings, "SERVING_SIGNING_KEY", _SECRET[:5], "at least 32 characters"),
        (ServingSettings, "SERVING_SIGNING_KEY", " ", "is set and empty"),
        (ServingSettings, "SERVING_REFRESH_TOKEN_HASH", _SECRET, "must be SHA-256"),
        (ServingSettings, "SERVING_REFRESH_TOKEN_HASH", "", "is set and empty"),
        (ServingSettings, "SERVING_METRICS_PORT", "3000", "must be another port"),
        (ServingSettings, "SERVING_DEFAULT_MODEL", "Film Reviews", "must match pattern"),
        (ServingSettings, "SERVING_HOST", "no such host", "must be an address of this machine"),
        (OperationSettings, "OPERATION_WORK_POOL_TYPE", "cloud", "'process', 'kubernetes'"),
        (OperationSettings, "OPERATION_NOTIFY_URL", "", "is set and empty"),
        (ExporterSettings, "EXPORTER_PORT", "0", "must be greater than or equal to 1, not '0'"),
    ],
)
def test_a_wrong_variable_is_named_in_one_sentence_that_shows_no_secret(
    kind: type[Environment],
    variable: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(OutsideError) as refused:
        read(kind)

    sentence = str(refused.value)
    assert sentence.startswith(variable)
    assert said in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert not any(secret in sentence for secret in (_SECRET, _HASH))
    assert refused.value.__cause__ is refused.value.__context__ is None


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVING_PORT", "x")
    monkeypatch.setenv("SERVING_WORKERS", "0")
    monkeypatch.setenv("SERVING_API_KEYS", _SECRET)

    with pytest.raises(OutsideError, match=r"API_KEYS.*SERVING_PORT.*SERVING_WORKERS"):
        read(ServingSettings)


@pytest.mark.parametrize(
    ("kind", "variable", "nearest"),
    [
        (ServingSettings, "SERVING_API_KEYS", "SERVING_API_KEY_HASHES"),
        (ServingSettings, "SERVING_API_KEY_HASH", "SERVING_API_KEY_HASHES"),
        (ServingSettings, "SERVING_REFRESH_TOKEN", "SERVING_REFRESH_TOKEN_HASH"),
        (ServingSettings, "SERVING_METRIC_PORT", "SERVING_METRICS_PORT"),
        (ServingSettings, "serving_worker", "SERVING_WORKERS"),
        (OperationSettings, "OPERATION_NOTIFY", "OPERATION_NOTIFY_URL"),
        (ExporterSettings, "EXPORTER_ADDRESS_PORT", "EXPORTER_PORT"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_one(
    kind: type[Environment], variable: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, _SECRET)

    with pytest.raises(OutsideError) as refused:
        read(kind)

    assert str(refused.value) == f"{variable} is no setting; the nearest one is {nearest}."


def test_what_kubernetes_says_of_its_services_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for service in ("SERVING", "SERVING_CANARY", "SERVING_METRICS", "EXPORTER", "OPERATION"):
        monkeypatch.setenv(f"{service}_SERVICE_HOST", "10.96.0.1")
        monkeypatch.setenv(f"{service}_SERVICE_PORT", "80")
        monkeypatch.setenv(f"{service}_SERVICE_PORT_HTTP", "80")
        monkeypatch.setenv(f"{service}_PORT", "tcp://10.96.0.1:80")
        monkeypatch.setenv(f"{service}_PORT_80_TCP", "tcp://10.96.0.1:80")
        for part, value in (("PROTO", "tcp"), ("PORT", "80"), ("ADDR", "10.96.0.1")):
            monkeypatch.setenv(f"{service}_PORT_80_TCP_{part}", value)

    assert read(ServingSettings) == ServingSettings(port=3000, metrics_port=None)
    assert read(ExporterSettings).port == 9464
    assert read(OperationSettings).prefect_port == 4200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3"])
def test_an_address_that_others_reach_needs_keys_or_to_be_open(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVING_HOST", host)

    with pytest.raises(OutsideError, match=r"SERVING_HOST .*SERVING_API_KEY_HASHES.*SERVING_OPEN"):
        read(ServingSettings)
    monkeypatch.setenv("SERVING_OPEN", "false")
    with pytest.raises(OutsideError, match="SERVING_HOST"):
        read(ServingSettings)
    monkeypatch.setenv("SERVING_OPEN", "true")
    assert read(ServingSettings).host == host
    monkeypatch.delenv("SERVING_OPEN")
    monkeypatch.setenv("SERVING_API_KEY_HASHES", _HASH)
    assert read(ServingSettings).host == host


@pytest.mark.parametrize(
    ("host", "address"),
    [("localhost", "127.0.0.1"), ("127.0.0.5", "127.0.0.5"), ("::1", "::1"), ("[::1]", "::1")],
)
def test_this_machine_alone_needs_no_keys(
    host: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVING_HOST", host)

    assert read(ServingSettings).host == address


def test_passwords_leave_the_addresses_that_libraries_print(
    bare_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ["PREFECT_API_URL"] = f"http://op:{_SECRET}@host/api"
    os.environ["MLFLOW_TRACKING_URI"] = f"http://ml%40x:{_SECRET}@host:5000"

    prepare_environment()

    assert os.environ["PREFECT_API_URL"] == "http://host/api"
    assert os.environ["PREFECT_API_AUTH_STRING"] == f"op:{_SECRET}"
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://host:5000"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ml@x"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == _SECRET


def test_a_password_that_is_set_beside_an_address_stays(
    bare_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ["MLFLOW_TRACKING_URI"] = f"http://ml:{_SECRET}@host:5000"
    os.environ["MLFLOW_TRACKING_PASSWORD"] = "another"

    prepare_environment()

    assert os.environ["MLFLOW_TRACKING_URI"] == "http://host:5000"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "another"


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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CONSOLE_API_KEY_HASHES", "hunter2-of-a-person", "must be SHA-256 in hexadecimal"),
        (
            "CONSOLE_API_KEY_HASHES",
            f"{_HASH}:classify",
            "approve, rollback, retrain, quarantine, schedule",
        ),
        ("CONSOLE_API_KEY_HASHES", "", "is set and empty"),
        ("CONSOLE_GRAFANA_URL", "javascript:alert(1)", "must begin with http:// or https://"),
        ("CONSOLE_KEYS", _HASH, "the nearest one is CONSOLE_"),
    ],
)
def test_a_setting_of_the_console_that_is_wrong_is_named_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(OutsideError) as raised:
        read(ConsoleSettings)

    assert name in str(raised.value)
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_links_of_the_console_name_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSOLE_GRAFANA_URL", f"https://ana:{_SECRET}@grafana.example/d/")
    monkeypatch.setenv("CONSOLE_API_KEY_HASHES", f"{_HASH}:approve+retrain, {_HASH}")

    settings = read(ConsoleSettings)

    assert settings.grafana_url == "https://grafana.example/d"
    assert settings.api_key_hashes == (f"{_HASH}:approve+retrain", _HASH)
