"""Patches of uvicorn, where it has no settings: a socket per worker, limits, one write per answer.

Workers that accept from one socket race for connections, and one of them often gets nearly all:
with a few long-lived connections, as load balancers keep them, the others idle. So each worker
listens for itself, from the moment it is ready, and the system shares the connections out.

uvicorn writes the head of an answer before it knows the body. Each write is a call of the system
here, and a read at the client; one write for both takes a tenth off the cost of a short text.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perennial.packages.private_parts import PrivatePart
from serving.runtime.limits import ConnectionLimits, limited, sweep

if TYPE_CHECKING:
    import uvicorn

_STARTUP = PrivatePart("uvicorn", "uvicorn", "Server.startup", ("self", "sockets"))
_PROTOCOL = tuple(
    PrivatePart(
        "uvicorn", "uvicorn.protocols.http.auto", f"AutoHTTPProtocol.{name}", ("self", *parameters)
    )
    for name, parameters in {
        "connection_made": ("transport",),
        "data_received": ("data",),
        "on_message_begin": (),
        "on_headers_complete": (),
        "on_body": ("body",),
        "on_message_complete": (),
        "on_response_complete": (),
        "_unset_keepalive_if_required": (),
    }.items()
)
_PROTOCOLS = PrivatePart("uvicorn", "uvicorn.config", "HTTP_PROTOCOLS")
_AUTO = "uvicorn.protocols.http.auto:AutoHTTPProtocol"

# Elsewhere the system lets several listen, but gives all connections to one of them.
SHARES_OUT = sys.platform == "linux"
_HEAD, _END_OF_HEAD = b"HTTP/1.1 ", b"\r\n\r\n"


class OneWrite:
    """A transport that keeps the head of an answer until its body is there.

    It keeps it no longer than until the event loop comes round again: an answer without a body, or
    one whose body takes its time, has its head sent then. Everything else is left to the transport
    that it stands for.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send data after the head that is kept; keep it if it is the head of an answer."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD) and data.endswith(_END_OF_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Send the head that is kept, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def reserve(shared: socket.socket, address: tuple[str, int]) -> None:
    """Bind a socket to an address on which each worker will listen for itself.

    Raises
    ------
    OSError
        If a process listens there already, this service included.
    """
    # Among those that share an address the system would not notice another service.
    with socket.socket(shared.family, shared.type) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind(address)


def listener(given: socket.socket) -> socket.socket:
    """Return a socket of this process's own at a reserved address, the given one at any other."""
    if not (SHARES_OUT and given.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)):
        return given
    own = socket.socket(given.family, given.type)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    own.bind(given.getsockname())
    return own


def require_uvicorn() -> None:
    """Check the parts of uvicorn that are replaced.

    Raises
    ------
    OutsideError
        If the installed version has others.
    """
    _STARTUP.require()
    for part in _PROTOCOL:
        part.require()
    _PROTOCOLS.require_entry("auto", _AUTO)


def patch_uvicorn(limits: ConnectionLimits) -> None:
    """Apply the patches of the module docstring to the servers that this process starts later.

    A process that has imported no server, such as the supervisor of the workers, is left alone.

    Parameters
    ----------
    limits : ConnectionLimits
        What connections may take.

    Raises
    ------
    OutsideError
        If the installed version of uvicorn has other parts than those that are replaced.
    """
    if "uvicorn" not in sys.modules:
        return
    require_uvicorn()
    import uvicorn
    from uvicorn.protocols.http import auto

    startup, protocol = uvicorn.Server.startup, auto.AutoHTTPProtocol

    async def start(self: uvicorn.Server, sockets: Sequence[socket.socket] | None = None) -> None:
        await startup(self, None if sockets is None else [listener(each) for each in sockets])
        sweeping = sweep(self.server_state.connections, limits.head_seconds)
        self._sweeper = asyncio.create_task(sweeping)  # type: ignore[attr-defined]

    class Protocol(limited(protocol, limits)):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(OneWrite(transport))

    uvicorn.Server.startup = start  # type: ignore[method-assign]
    auto.AutoHTTPProtocol = Protocol
