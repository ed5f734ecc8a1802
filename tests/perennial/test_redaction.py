"""Secrets in addresses: they reach no message, no log and no traceback."""

from __future__ import annotations

import logging
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from perennial.errors import OutsideError
from perennial.redaction import redact, redact_logs, split_credentials
from perennial.settings import PROJECT
from tests.conftest import free_port

_SECRET = "hunter2-of-a-person"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://user:hunter2@a,b/db", "mongodb://***@a,b/db"),
        ("see http://user:hunter2@host:5000/x, then", "see http://***@host:5000/x, then"),
        ("https://hunter2@host", "https://***@host"),
        ("http://user:hun@ter2@host", "http://***@host"),
        ("http://user:hun/ter2@host/api", "http://***@host/api"),
        ("postgresql+psycopg2://user:hunter2@/db", "postgresql+psycopg2://***@/db"),
        ("http://host/x?token=hunter2&page=3", "http://host/x?token=***&page=3"),
        ("http://host/x?a=1&API_KEY=hunter2", "http://host/x?a=1&API_KEY=***"),
        ("http://u:hunter2@a http://u:hunter2@b", "http://***@a http://***@b"),
        ("'http://u:hunter2@a' \"http://u:hunter2@b\"", "'http://***@a' \"http://***@b\""),
        ("http://host/path", "http://host/path"),
        ("write to a@b.org", "write to a@b.org"),
    ],
)
def test_an_address_is_shown_without_who_asks_there(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_user_and_password_are_what_is_sent() -> None:
    found = split_credentials("http://us%40er:p%2Fw@host:5000/path?x=1")

    assert found == ("http://host:5000/path?x=1", "us@er", "p/w")
    assert split_credentials("http://host/x@y") == ("http://host/x@y", "", "")
    assert split_credentials("sqlite:////a/b.db") == ("sqlite:////a/b.db", "", "")


def test_no_message_of_ours_shows_a_password() -> None:
    error = OutsideError(f"http://user:{_SECRET}@host does not answer.")

    assert str(error) == "http://***@host does not answer."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_no_log_shows_a_password_whoever_writes_it(caplog: pytest.LogCaptureFixture) -> None:
    redact_logs()
    uri = f"http://user:{_SECRET}@host"
    log = logging.getLogger("another.library")

    log.warning("cannot reach %s", uri)
    log.warning("cannot reach %(uri)s", {"uri": uri})
    log.warning(ValueError(uri))
    try:
        raise ValueError(uri)
    except ValueError:
        log.exception("failed")
    log.warning("%s and %d stay as they are", "http://host", 3)

    assert _SECRET not in caplog.text
    assert caplog.text.count("http://***@host") >= 4
    assert caplog.records[-1].args == ("http://host", 3)


def _run(module: str, *arguments: str, folder: Path, **variables: str) -> tuple[int, str]:
    plain = {
        name: value
        for name, value in os.environ.items()
        if not re.match("MONGODB|MLFLOW|DAGSHUB|PREFECT|SERVING|DATA_|PROBLEMS", name)
    }
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT,
        env={**plain, "DATA_DIR": str(folder), "MONGODB_TIMEOUT": "0.3", **variables},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


_RETRAIN = ("flows", "retrain", "sentiment")
_HISTORY = ("flows", "history", "sentiment")
_CHECK = ("serving.check",)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("command", "variable", "scheme"),
    [
        (_CHECK, "MONGODB_URI", "mongodb"),
        (_CHECK, "MONGODB_URI", "http"),
        (_CHECK, "MLFLOW_TRACKING_URI", "http"),
        (_CHECK, "MLFLOW_TRACKING_URI", "nothing"),
        (_RETRAIN, "MONGODB_URI", "mongodb"),
        (_HISTORY, "MLFLOW_TRACKING_URI", "http"),
        (_RETRAIN, "PREFECT_API_URL", "http"),
        (_RETRAIN, "DATA_URI", "s3"),
    ],
)
@pytest.mark.parametrize("before", ["", "a/"], ids=["encoded", "not encoded"])
def test_a_password_in_an_address_is_printed_by_no_command(
    command: tuple[str, ...],
    variable: str,
    scheme: str,
    before: str,
    prefect_api: str,
    tmp_path: Path,
) -> None:
    uri = f"{scheme}://user:{before}{_SECRET}@127.0.0.1:{free_port()}/api"
    others = {
        "MONGODB_URI": f"mongodb://127.0.0.1:{free_port()}",
        "PREFECT_API_URL": prefect_api,
    }

    _, printed = _run(*command, folder=tmp_path, **others | {variable: uri})

    written = "".join(
        path.read_text(errors="replace") for path in tmp_path.rglob("*.log") if path.is_file()
    )
    assert printed
    assert _SECRET not in printed + written
