"""Ports: whether a program may listen where its settings say."""

from __future__ import annotations

import errno
import socket

from perennial.errors import OutsideError


def require_free(host: str, port: int, variable: str) -> None:
    """Return if a program can listen at an address, which it does not touch.

    Parameters
    ----------
    host : str
        An address of this machine, or its name.
    port : int
        The port.
    variable : str
        The setting that says which port.

    Raises
    ------
    OutsideError
        If another program listens there, or nobody may.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # Connections that have ended do not keep a service from starting again.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise unusable(host, port, variable, error) from error


def unusable(host: str, port: int, variable: str, error: OSError) -> OutsideError:
    """Return why a program cannot listen at an address."""
    if error.errno == errno.EADDRINUSE:
        return OutsideError(
            f"Another program listens on port {port} of {host}; end it, or set {variable}."
        )
    setting = variable.replace("PORT", "HOST") if error.errno != errno.EACCES else variable
    reason = (error.strerror or str(error)).lower()
    return OutsideError(f"Port {port} of {host} cannot be used, set {setting}: {reason}.")
