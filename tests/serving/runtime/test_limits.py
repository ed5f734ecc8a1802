"""What comes before a request: heads without end, silence, and too many connections."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perennial.settings import ServingSettings
from serving.runtime.limits import ConnectionLimits
from tests.conftest import wait_until
from tests.serving.running import served

LIMITS = ConnectionLimits(head_bytes=65_536, head_seconds=0.5, connections=20)
GET = b"GET /text HTTP/1.1\r\nHost: a\r\n"


async def _echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


async def _refuse(_: Request) -> Response:
    return Response(status_code=401)


APP = Starlette(
    routes=[
        Route("/text", lambda _: PlainTextResponse("a body")),
        Route("/echo", _echo, methods=["POST"]),
        Route("/unread", _refuse, methods=["POST"]),
    ]
)


@pytest.fixture
def client(patched: Callable[[ConnectionLimits], None]) -> Iterator[httpx.Client]:
    """A client of a server with these limits."""
    patched(LIMITS)
    with served(APP) as found:
        yield found


@pytest.fixture
def connect(client: httpx.Client) -> Iterator[Callable[[], socket.socket]]:
    """Return a function that opens a connection and says nothing."""
    with ExitStack() as opened:

        def open_connection() -> socket.socket:
            address = ("127.0.0.1", client.base_url.port or 0)
            return opened.enter_context(socket.create_connection(address, timeout=20))

        yield open_connection


def answer_to(connection: socket.socket, *parts: bytes) -> bytes:
    """Send until the other end closes; return what it has said."""
    said = b""
    try:
        for part in parts:
            connection.sendall(part)
        while received := connection.recv(65_536):
            said += received
    except OSError:
        # It was closed while there was more to send.
        pass
    return said


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    "parts",
    [
        [GET, *[b"X-%d: %s\r\n" % (number, b"a" * 90) for number in range(220_000)]],
        [GET, b"X-Long: ", *[b"a" * 65_536] * 100],
        [GET + b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n"],
        [b"GET /" + b"a" * 200_000],
        [b"\r\n" * 100_000],
    ],
    ids=["22 MB of small headers", "one header", "in one piece", "a long line", "empty lines"],
)
def test_a_head_beyond_the_limit_is_refused_and_no_other_request_notices(
    client: httpx.Client, connect: Callable[[], socket.socket], parts: list[bytes]
) -> None:
    said = answer_to(connect(), *parts)

    # A client that sends on while the connection is closed may lose the answer.
    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")
    assert b"head_too_large" in said or said == b""
    assert client.get("/text").text == "a body"


def test_a_client_that_waits_for_the_answer_reads_why_its_head_is_refused(
    connect: Callable[[], socket.socket],
) -> None:
    said = answer_to(connect(), GET + b"X-Long: " + b"a" * 70_000)

    assert said.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b'"The head of the request is larger than 65,536 bytes."' in said


def test_bodies_are_not_heads(client: httpx.Client) -> None:
    for _ in range(3):
        assert len(client.post("/echo", content=b"a" * 900_000).content) == 900_000


def test_heads_that_do_not_come_are_not_waited_for(
    client: httpx.Client, connect: Callable[[], socket.socket]
) -> None:
    silent, half = connect(), connect()
    half.sendall(GET)

    assert answer_to(silent) == b""
    assert answer_to(half).startswith(b"HTTP/1.1 408 ")
    assert client.get("/text").text == "a body"


def test_the_second_head_of_a_connection_is_not_waited_for_either(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()
    connection.sendall(GET + b"\r\n")
    wait_until(lambda: connection.recv(10_000).endswith(b"a body"), "the first answer")

    assert answer_to(connection, GET).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_nobody_reads_does_not_keep_a_connection(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()
    begin = time.monotonic()
    connection.sendall(
        b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + b"a" * 100
    )

    said = answer_to(connection, *[b"a" * 1000] * 200)

    assert said == b"" or said.startswith(b"HTTP/1.1 401 ")
    assert time.monotonic() - begin < 20


def test_the_connection_that_has_been_silent_for_longest_makes_room(
    client: httpx.Client, connect: Callable[[], socket.socket]
) -> None:
    silent = [connect() for _ in range(3 * LIMITS.connections)]

    assert client.get("/text").text == "a body"
    wait_until(lambda: is_closed(silent[0]), "the first one is closed")


def test_a_worker_has_no_more_connections_than_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (200, 4096))

    limits = ConnectionLimits.of(ServingSettings(max_connections=4096))

    assert 0 < limits.connections < 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /text HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /text HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /text HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /text HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /text HTTP/1.0\r\n\r\n", b"200"),
    ],
)
def test_a_request_names_its_host_once(
    connect: Callable[[], socket.socket], head: bytes, status: bytes
) -> None:
    said = answer_to(connect(), head)

    assert said.startswith(b"HTTP/1.1 " + status)
    assert status == b"200" or b"no_host" in said
