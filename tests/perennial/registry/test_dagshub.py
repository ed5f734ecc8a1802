"""The DagsHub settings, against a stand-in for DagsHub's API: the real one cannot be reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perennial.settings import PROJECT

_USER = dict.fromkeys(
    ("avatar_url", "public_email", "website", "company", "description", "full_name"), ""
) | {"id": 1, "login": "ann", "username": "ann"}
_REPOSITORY = (
    dict.fromkeys(
        ("description", "html_url", "clone_url", "ssh_url", "website", "created_at", "updated_at"),
        "",
    )
    | dict.fromkeys(("id", "size", "stars_count", "forks_count"), 0)
    | dict.fromkeys(("watchers_count", "open_issues_count"), 0)
    | dict.fromkeys(("private", "fork", "empty", "mirror"), False)
    | {"name": "films", "full_name": "team/films", "default_branch": "main"}
    | {"parent": None, "permissions": None, "owner": _USER}
)
_PROGRAM = """
from perennial.libraries import prepare_environment
from perennial.settings import Settings
prepare_environment()
import os
from perennial.registry.client import open_registry
from perennial.errors import OutsideError
try:
    open_registry(Settings())
except OutsideError as error:
    print("sentence:", error)
print("mlflow:", os.environ.get("MLFLOW_TRACKING_URI"), os.environ.get("MLFLOW_TRACKING_USERNAME"))
"""


@dataclass
class StandIn:
    """A server that answers as DagsHub does, and remembers who asked for what."""

    url: str
    requests: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def dagshub_stand_in() -> Iterator[StandIn]:
    stand_in = StandIn("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.headers.get("Authorization", "")
            stand_in.requests.append((self.path, token))
            allowed = "good-token" in token
            answer = _USER if self.path.endswith("/user") else _REPOSITORY
            if "mlflow" in self.path:
                answer = {"experiments": []}
            self.send_response(200 if allowed or "mlflow" in self.path else 401)
            self.end_headers()
            self.wfile.write(json.dumps(answer if allowed else answer | {"error": "no"}).encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield stand_in
    server.shutdown()


def connect(stand_in: StandIn, home: Path, **variables: str) -> str:
    """Connect in a process of its own: DagsHub's client keeps its configuration per process."""
    inherited = {name: os.environ[name] for name in ("PATH",)}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        cwd=PROJECT,
        env=inherited
        | {"HOME": str(home), "DAGSHUB_CLIENT_HOST": stand_in.url, "DATA_DIR": str(home / "data")}
        | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_three_settings_point_mlflow_at_the_dagshub_repository(
    dagshub_stand_in: StandIn, tmp_path: Path
) -> None:
    output = connect(
        dagshub_stand_in,
        tmp_path,
        DAGSHUB_REPO_OWNER="team",
        DAGSHUB_REPO_NAME="films",
        DAGSHUB_TOKEN="good-token",
    )

    assert f"mlflow: {dagshub_stand_in.url}/team/films.mlflow ann" in output
    assert "sentence:" not in output
    asked = [path for path, _ in dagshub_stand_in.requests]
    assert any("team/films.mlflow" in path and "experiments/search" in path for path in asked)


def test_the_token_is_not_written_to_the_disk(dagshub_stand_in: StandIn, tmp_path: Path) -> None:
    connect(
        dagshub_stand_in,
        tmp_path,
        DAGSHUB_REPO_OWNER="team",
        DAGSHUB_REPO_NAME="films",
        DAGSHUB_TOKEN="good-token",
    )

    files = [file for file in tmp_path.rglob("*") if file.is_file()]

    assert not [file for file in files if b"good-token" in file.read_bytes()]


def test_a_wrong_token_gives_a_sentence_that_names_the_setting(
    dagshub_stand_in: StandIn, tmp_path: Path
) -> None:
    output = connect(
        dagshub_stand_in,
        tmp_path,
        DAGSHUB_REPO_OWNER="team",
        DAGSHUB_REPO_NAME="films",
        DAGSHUB_TOKEN="wrong",
    )

    assert "sentence: DagsHub does not open 'team/films'" in output
    assert "DAGSHUB_TOKEN" in output


def test_a_repository_without_owner_or_token_gives_a_sentence(
    dagshub_stand_in: StandIn, tmp_path: Path
) -> None:
    output = connect(dagshub_stand_in, tmp_path, DAGSHUB_REPO_NAME="films")

    assert "sentence: DAGSHUB_REPO_NAME is set" in output
    assert "DAGSHUB_REPO_OWNER and DAGSHUB_TOKEN" in output
