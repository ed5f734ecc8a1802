"""How connections reach the workers, and how answers leave them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from serving.runtime.connections import OneWrite, listener, reserve
from serving.runtime.limits import ConnectionLimits
from tests.serving.running import served

_TEXT = "a body"


class Recorded:
    """A transport that notes what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> str:
        return name


def _in_loop(use: Any) -> Recorded:
    transport = Recorded()

    async def run() -> None:
        await use(OneWrite(transport))  # type: ignore[arg-type]
        await asyncio.sleep(0)

    asyncio.run(run())
    return transport


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


def test_the_head_and_the_body_of_an_answer_are_written_at_once() -> None:
    async def answer(transport: OneWrite) -> None:
        for _ in range(2):
            transport.write(HEAD)
            transport.write(b"ok")

    assert _in_loop(answer).written == [HEAD + b"ok"] * 2


def test_a_head_that_no_body_follows_is_sent_as_soon_as_the_loop_comes_round() -> None:
    async def answer(transport: OneWrite) -> None:
        transport.write(HEAD)
        await asyncio.sleep(0)
        transport.write(b"late")

    assert _in_loop(answer).written == [HEAD, b"late"]


def test_a_connection_that_is_closed_loses_nothing() -> None:
    async def answer(transport: OneWrite) -> None:
        transport.write(HEAD)
        transport.close()

    transport = _in_loop(answer)

    assert transport.written == [HEAD]
    assert transport.closed


def test_everything_else_is_the_transport_s_own() -> None:
    async def ask(transport: OneWrite) -> None:
        assert transport.get_extra_info("peername") == "peername"

    _in_loop(ask)


@pytest.fixture
def well(patched: Callable[[ConnectionLimits], None]) -> None:
    """Let servers start as those of the workers do, for one test."""
    patched(ConnectionLimits(head_bytes=65_536, head_seconds=10.0, connections=100))


@pytest.mark.usefixtures("well")
def test_a_server_answers_every_kind_of_request_as_before() -> None:
    async def streamed(_: Request) -> Response:
        async def parts() -> Any:
            for part in ("a ", "body"):
                await asyncio.sleep(0)
                yield part

        return StreamingResponse(parts(), media_type="text/plain")

    async def echo(request: Request) -> Response:
        return PlainTextResponse(await request.body())

    app = Starlette(
        routes=[
            Route("/text", lambda _: PlainTextResponse(_TEXT)),
            Route("/empty", lambda _: Response(status_code=204)),
            Route("/stream", streamed),
            Route("/echo", echo, methods=["POST"]),
        ]
    )
    with served(app) as client:
        for _ in range(2):
            assert client.get("/text").text == _TEXT
            assert client.head("/text").headers["content-length"] == str(len(_TEXT))
            assert client.get("/empty").status_code == 204
            assert client.get("/stream").text == _TEXT
            patient = client.post("/echo", content=_TEXT, headers={"Expect": "100-continue"})
            assert patient.text == _TEXT
        closing = client.get("/text", headers={"Connection": "close"})
        assert closing.text == _TEXT


def test_each_worker_listens_for_itself_on_an_address_that_is_reserved() -> None:
    with socket.socket() as shared:
        reserve(shared, ("127.0.0.1", 0))
        with listener(shared) as one, listener(shared) as other:
            one.listen()
            other.listen()
            assert one.getsockname() == other.getsockname() == shared.getsockname()


def test_an_address_on_which_somebody_listens_is_not_reserved_twice() -> None:
    with socket.socket() as shared, socket.socket() as second:
        reserve(shared, ("127.0.0.1", 0))
        with listener(shared) as own:
            own.listen()
            with pytest.raises(OSError, match="in use"):
                reserve(second, shared.getsockname())


def test_a_socket_that_was_not_reserved_is_used_as_it_is() -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        assert listener(given) is given
