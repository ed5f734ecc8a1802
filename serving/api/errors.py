"""Errors that clients receive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class InputError:
    """One of several inputs that cannot be classified; sent as it is.

    Attributes
    ----------
    position : int
        Which of the inputs, from 0.
    code : str
        Stable name of the error, for programs.
    message : str
        One sentence for people.
    field : str
        The input, or the part of it that is wrong, such as ``inputs[3].width``.
    """

    position: int
    code: str
    message: str
    field: str


@dataclass(frozen=True)
class AnswerWarning:
    """What a model could not go by in an input that it answered; sent as it is.

    Attributes
    ----------
    code : str
        Stable name, for programs.
    message : str
        One sentence for people.
    field : str
        The input, or the part of it, such as ``inputs[3].width``.
    """

    code: str
    message: str
    field: str


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
    errors : sequence of InputError
        What is wrong with each input, if several are.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[InputError] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.field, self.headers, self.errors = field, dict(headers or {}), tuple(errors)


class DisconnectedError(Exception):
    """The client went away before it had sent its request."""
