"""A server of uvicorn in a thread, which starts as those of the workers do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette

from serving.runtime.connections import reserve
from tests.conftest import free_port, wait_until


@contextmanager
def served(app: Starlette) -> Iterator[httpx.Client]:
    """Run a server of uvicorn in a thread, on a reserved address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    with socket.socket() as shared:
        reserve(shared, ("127.0.0.1", port))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [shared]}, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started, "the server has started")
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(10)
