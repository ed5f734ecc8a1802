"""How BentoML's supervisor treats its workers: what it has no settings for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from perennial.errors import OutsideError
from perennial.local.ports import unusable
from perennial.settings import get_serving_settings, open_to_others
from serving.runtime.connections import SHARES_OUT, reserve

if TYPE_CHECKING:
    from circus.sockets import CircusSocket

_LOOK_SECONDS = 1.0
_MILLISECONDS = 1000
_TRIES = 5


def supervise_well() -> None:
    """Make the supervisor of this process miss neither a worker that dies nor a signal to end.

    It looks whether its workers live only every ten seconds, and forgets a signal that comes while
    it is replacing one. Where the system shares connections out it only keeps the address, which it
    does not take if others reach it and there are no keys.
    """
    from circus.controller import Controller
    from circus.sighandler import SysHandler
    from circus.sockets import CircusSocket

    start, end, bind = Controller.start, SysHandler.quit, CircusSocket.bind_and_listen

    def start_looking(self: Controller) -> None:
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

    Controller.start, SysHandler.quit = start_looking, end_surely
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
