"""Patches of circus, BentoML's supervisor of workers, where it has no settings."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from perennial.errors import OutsideError
from perennial.local.ports import unusable
from perennial.packages.private_parts import PrivatePart
from perennial.settings import get_serving_settings
from perennial.settings.serving import open_to_others
from serving.runtime.connections import SHARES_OUT, reserve

if TYPE_CHECKING:
    from circus.sockets import CircusSocket

# BentoML installs circus under this name.
_LIBRARY = "kantoku"
_INIT = PrivatePart(
    _LIBRARY,
    "circus.controller",
    "Controller.__init__",
    (
        "self",
        "endpoint",
        "multicast_endpoint",
        "context",
        "loop",
        "arbiter",
        "check_delay",
        "endpoint_owner",
    ),
)
_START = PrivatePart(_LIBRARY, "circus.controller", "Controller.start", ("self",))
_DELAY = PrivatePart(_LIBRARY, "circus.controller", "Controller.check_delay")
_QUIT = PrivatePart(_LIBRARY, "circus.sighandler", "SysHandler.quit", ("self",))
_HUP = PrivatePart(_LIBRARY, "circus.sighandler", "SysHandler.handle_hup", ("self",))
_BIND = PrivatePart(_LIBRARY, "circus.sockets", "CircusSocket.bind_and_listen", ("self",))
_SOCKET_ATTRIBUTES = tuple(
    PrivatePart(_LIBRARY, "circus.sockets", f"CircusSocket.{name}")
    for name in ("is_unix", "host", "port")
)
_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_MILLISECONDS = 1000
_TRIES = 5


def patch_circus() -> None:
    """Make the supervisor of this process miss neither a worker that dies nor a signal to end.

    It looks whether its workers live only every ten seconds, and forgets a signal that comes while
    it is replacing one. It answers SIGHUP by ending all of them before it starts others, for which
    there is no reason: models come while it runs, and settings do not. Where the system shares
    connections out it only keeps the address, which it does not take if others reach it and there
    are no keys.

    Raises
    ------
    OutsideError
        If the installed version of circus has other parts than those that are replaced.
    """
    _INIT.require()
    start, end, bind = _START.require(), _QUIT.require(), _BIND.require()
    _HUP.require()
    from circus.controller import Controller
    from circus.sighandler import SysHandler
    from circus.sockets import CircusSocket

    sample = CircusSocket(host="127.0.0.1", port=0)
    socket.close(sample.detach())
    for attribute in _SOCKET_ATTRIBUTES:
        attribute.require_on(sample)

    def start_looking(self: Controller) -> None:
        _DELAY.require_on(self)
        self.check_delay = _LOOK_SECONDS * _MILLISECONDS
        start(self)

    def end_surely(self: SysHandler) -> None:
        end(self)
        for number in range(1, _TRIES):
            again = threading.Timer(number * _LOOK_SECONDS, end, [self])
            again.daemon = True
            again.start()

    def bind_or_say_why(self: CircusSocket) -> None:
        if self.is_unix:
            bind(self)
        else:
            _take(self, bind)

    def stay(_: SysHandler) -> None:
        _log.warning("SIGHUP changes nothing: start the service again for other settings.")

    Controller.start, SysHandler.quit = start_looking, end_surely
    SysHandler.handle_hup = stay
    CircusSocket.bind_and_listen = bind_or_say_why


def _take(listening: CircusSocket, bind: Callable[[CircusSocket], None]) -> None:
    """Take the address of the service, or say in a sentence why it is not to be had."""
    host, port = listening.host, listening.port
    if not get_serving_settings().may_listen(host):
        raise OutsideError(f"{open_to_others(host)}.")
    try:
        if SHARES_OUT:
            reserve(listening, (host, port))
        else:
            bind(listening)
    except OSError as error:
        raise unusable(host, port, "SERVING_PORT", error) from error
