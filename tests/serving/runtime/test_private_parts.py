"""A new version of a library whose replaced parts have changed is refused before it answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from circus.controller import Controller
from circus.sighandler import SysHandler
from circus.sockets import CircusSocket
from prometheus_client import Histogram, values
from uvicorn.protocols.http import auto

from perennial.errors import OutsideError
from serving.runtime.connections import patch_uvicorn
from serving.runtime.limits import ConnectionLimits
from serving.runtime.supervision import patch_circus
from serving.telemetry.metrics import MULTIPROCESS_VARIABLE, Metrics
from tests.fresh import run_fresh


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the libraries be patched for one test."""
    for owner, name in (
        (uvicorn.Server, "startup"),
        (auto, "AutoHTTPProtocol"),
        (Controller, "start"),
        (SysHandler, "quit"),
        (SysHandler, "handle_hup"),
        (CircusSocket, "bind_and_listen"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))


LIMITS = ConnectionLimits(head_bytes=65_536, head_seconds=10.0, connections=100)


def _other(self: Any, something: Any, *, more: Any) -> None:
    """Take other parameters than the part that this replaces."""


class _OtherProtocol(asyncio.Protocol):
    def connection_made(self, transport: Any, more: Any = None) -> None:
        """Take one parameter more."""


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("patch", "library", "owner", "name", "other"),
    [
        (partial(patch_uvicorn, LIMITS), "uvicorn", uvicorn.Server, "startup", _other),
        (partial(patch_uvicorn, LIMITS), "uvicorn", auto, "AutoHTTPProtocol", _OtherProtocol),
        (patch_circus, "kantoku", Controller, "start", _other),
        (patch_circus, "kantoku", Controller, "__init__", _other),
        (patch_circus, "kantoku", SysHandler, "quit", _other),
        (patch_circus, "kantoku", CircusSocket, "bind_and_listen", _other),
    ],
)
def test_a_part_that_is_gone_or_takes_other_parameters_is_refused(
    patch: Callable[[], None],
    library: str,
    owner: Any,
    name: str,
    other: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = rf"^{library} {version(library)} cannot be used: .*\.{name}"
    monkeypatch.setattr(owner, name, other)
    with pytest.raises(OutsideError, match=expected):
        patch()

    # What a class inherits would stand in for what is deleted.
    if name != "__init__":
        monkeypatch.delattr(owner, name)
        with pytest.raises(OutsideError, match=expected):
            patch()


@pytest.mark.usefixtures("restored")
def test_another_protocol_of_the_servers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", "uvicorn.elsewhere:Protocol")

    with pytest.raises(
        OutsideError, match=r"uvicorn\.config\.HTTP_PROTOCOLS has 'uvicorn\.elsewhere"
    ):
        patch_uvicorn(LIMITS)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("name", ["is_unix", "host", "port"])
def test_a_socket_of_the_supervisor_without_an_attribute_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = CircusSocket.__init__

    def create_without(self: CircusSocket, *arguments: Any, **named: Any) -> None:
        create(self, *arguments, **named)
        delattr(self, name)

    monkeypatch.setattr(CircusSocket, "__init__", create_without)

    with pytest.raises(OutsideError, match=f"circus.sockets.CircusSocket.{name} does not exist"):
        patch_circus()


@pytest.mark.usefixtures("restored")
def test_a_controller_without_a_delay_is_refused_when_it_starts() -> None:
    patch_circus()

    with pytest.raises(OutsideError, match=r"Controller\.check_delay does not exist"):
        Controller.start(object.__new__(Controller))


@pytest.mark.usefixtures("restored")
def test_the_installed_versions_are_as_expected() -> None:
    start, startup = Controller.start, uvicorn.Server.startup

    patch_circus()
    patch_uvicorn(LIMITS)

    assert Controller.start is not start
    assert uvicorn.Server.startup is not startup


def test_a_worker_whose_application_has_no_middleware_stack_does_not_start() -> None:
    code = """
import asyncio, json
from serving.service import BypassMiddleware
sent = []
async def send(message): sent.append(message)
asyncio.run(BypassMiddleware(None)({"type": "lifespan", "app": object()}, None, send))
print(json.dumps(sent))
"""
    (message,) = json.loads(run_fresh(code))

    assert message["type"] == "lifespan.startup.failed"
    assert message["message"].startswith(f"starlette {version('starlette')} cannot be used")
    assert "Starlette.middleware_stack" in message["message"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("del uvicorn.Server.startup", "uvicorn.Server.startup"),
        (
            "service.Starlette = type('Starlette', (), {})",
            "starlette.applications.Starlette.middleware_stack",
        ),
    ],
)
def test_the_process_that_starts_workers_ends_with_one_sentence(change: str, part: str) -> None:
    code = f"""
import sys
from serving import service
import uvicorn
{change}
service.Classifier.inner.supervise()
"""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_fresh(code)

    assert caught.value.stderr.strip().count("\n") == 0
    assert f"its private part {part} does not exist" in caught.value.stderr


@pytest.mark.parametrize("name", ["_upper_bounds", "_sum", "_buckets"])
def test_a_histogram_without_what_is_written_into_is_refused_at_start(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Histogram.labels

    def create_without(self: Histogram, *labels: str) -> Histogram:
        made = create(self, *labels)
        delattr(made, name)
        return made

    monkeypatch.setattr(Histogram, "labels", create_without)

    with pytest.raises(OutsideError, match=rf"prometheus_client\.metrics\.Histogram\.{name} "):
        Metrics().announce_requests("/classify", "POST", [200])


def test_values_of_another_kind_of_store_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(MULTIPROCESS_VARIABLE, str(tmp_path))
    monkeypatch.delattr(values, "ValueClass")

    with pytest.raises(OutsideError, match=r"prometheus_client\.values\.ValueClass does not exist"):
        Metrics()
