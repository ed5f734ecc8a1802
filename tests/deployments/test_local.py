"""What `make up` says before it starts anything."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from deployments.local import up
from perennial.errors import OutsideError
from perennial.settings import OperationSettings, Settings


def test_all_ports_that_are_taken_are_named_at_once_and_nothing_starts(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ports = []
        for _ in range(2):
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            ports.append(taken.getsockname()[1])
        mlflow, prefect = ports
        operation = OperationSettings(mlflow_port=mlflow, prefect_port=prefect)

        with pytest.raises(OutsideError) as raised:
            up(Settings(data_dir=tmp_path), operation, Console(quiet=True))

    message = str(raised.value)
    assert f"port {prefect}, where prefect would listen (OPERATION_PREFECT_PORT)" in message
    assert f"port {mlflow}, where mlflow would listen (OPERATION_MLFLOW_PORT)" in message
    assert message.endswith("; end them, or set other ports by these settings.")
    assert not list((tmp_path / "local").glob("*.log"))
