"""Errors that clients receive."""

from __future__ import annotations

from collections.abc import Mapping


class ApiError(Exception):
    """Refusal of a request, sent as a JSON answer with this status.

    Parameters
    ----------
    status : int
        The HTTP status.
    code : str
        Stable name of the error, for programs.
    message : str
        One sentence for people.
    field : str, optional
        Part of the request that is wrong, such as ``inputs[3]``.
    headers : mapping of str to str, optional
        Sent with the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.field, self.headers = field, dict(headers or {})


class DisconnectedError(Exception):
    """The client went away before it had sent its request."""
