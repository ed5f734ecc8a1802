"""One request and its answer, as logs and traces tell of it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import NamedTuple

_VALID_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
# https://www.w3.org/TR/trace-context/: version, trace, parent, flags; none of them all zeros.
_VALID_PARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_ID_BITS = 128
# Nobody need be kept from guessing an id, and to ask the system for random bytes at each request
# hands the interpreter to other threads. It is seeded by the system, and by nobody else.
_RANDOM = random.Random()  # noqa: S311
_ID, _PARENT, _STATE = b"x-request-id", b"traceparent", b"tracestate"
_NAMES = frozenset({_ID, _PARENT, _STATE})


class Correlation(NamedTuple):
    """What tells a request from all others, and what it belongs to.

    Attributes
    ----------
    request_id : str
        That of the client, or one that is made.
    traceparent, tracestate : str or None
        The trace of the client (W3C), if it has sent a valid one.
    """

    request_id: str
    traceparent: str | None = None
    tracestate: str | None = None

    @property
    def trace_id(self) -> str | None:
        """The trace that the request belongs to."""
        return self.traceparent and self.traceparent.split("-")[1]


def correlate(headers: Iterable[tuple[bytes, bytes]]) -> Correlation:
    """Return what the headers of a request say, or an id that is made for it."""
    found = {name: value for name, value in headers if name in _NAMES}
    if not found:
        return Correlation(_make_id())
    given, parent = found.get(_ID, b""), found.get(_PARENT, b"")
    request_id = str(given, "ascii") if _VALID_ID.fullmatch(given) else _make_id()
    if not _VALID_PARENT.fullmatch(parent):
        return Correlation(request_id)
    state = found.get(_STATE)
    shown = None if state is None else str(state, "latin-1")
    return Correlation(request_id, str(parent, "ascii"), shown)


def _make_id() -> str:
    return f"{_RANDOM.getrandbits(_ID_BITS):0{_ID_BITS // 4}x}"


class Exchange(NamedTuple):
    """A request that is answered.

    Attributes
    ----------
    correlation : Correlation
        Which request it is.
    method, route : str
        What was asked for; the route, never the path that a client has sent.
    status : int
        Of the answer.
    seconds : float
        From the head of the request to that of the answer.
    """

    correlation: Correlation
    method: str
    route: str
    status: int
    seconds: float
