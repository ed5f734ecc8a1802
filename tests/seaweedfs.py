"""A real S3 server on this machine, SeaweedFS, and its fixtures."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from perennial.settings import get_settings

ACCESS_KEY, SECRET_KEY, BUCKET = "test-access", "test-secret", "data"


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a SeaweedFS with an S3 door that checks signatures."""
    from tests.conftest import free_port, wait_until

    home = tmp_path_factory.mktemp("seaweedfs")
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    grpc = {f"{name}.port.grpc": free_port() for name in ports}
    beside = Path(sys.executable).with_name("weed")
    command = [
        str(beside) if beside.exists() else shutil.which("weed") or "weed",
        "server",
        f"-dir={home}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        # The first buckets would take all of the eight volumes there are by default.
        "-volume.max=100",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}={port}" for name, port in grpc.items()),
    ]
    environment = {
        **os.environ,
        "WEED_S3_SSE_KEY": "0" * 64,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)
    try:
        wait_until(
            lambda: server.poll() is not None or _answers(ports["s3"]), "SeaweedFS answers S3"
        )
        assert server.poll() is None, (home / "log").read_text()[-2000:]
        address = f"http://127.0.0.1:{ports['s3']}"
        wait_until(lambda: _bucket_exists(address), f"a bucket in SeaweedFS ({home / 'log'})")
        yield address
    finally:
        server.kill()
        server.wait()


def open_s3(address: str) -> Any:
    """Return a client of S3 with the credentials that the server takes."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20),
    )


def _bucket_exists(address: str) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    client = open_s3(address)
    try:
        if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="probe", Body=b"1")
    except (BotoCoreError, ClientError):
        return False
    return True


@pytest.fixture
def s3_uri(seaweedfs: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a fresh place on S3, without credentials to write there."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("DATA_URI", f"s3://{BUCKET}/{uuid4().hex}")
    monkeypatch.delenv("DATA_CREDENTIALS_BLOCK", raising=False)
    get_settings.cache_clear()
    return get_settings().snapshots_uri
