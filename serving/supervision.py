"""How BentoML's supervisor treats its workers: what it has no settings for."""

from __future__ import annotations

import threading

from serving.connections import SHARES_OUT, reserve

_LOOK_SECONDS = 1.0
_MILLISECONDS = 1000
_TRIES = 5


def supervise_well() -> None:
    """Make the supervisor of this process miss neither a worker that dies nor a signal to end.

    It looks whether its workers live only every ten seconds, and forgets a signal that comes while
    it is replacing one. Where the system shares connections out it only keeps the address.
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

    def keep_address(self: CircusSocket) -> None:
        if self.is_unix:
            bind(self)
        else:
            reserve(self, (self.host, self.port))

    Controller.start, SysHandler.quit = start_looking, end_surely
    if SHARES_OUT:
        CircusSocket.bind_and_listen = keep_address
