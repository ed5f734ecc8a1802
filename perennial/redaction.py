"""What is never printed: users, passwords and tokens that stand in an address."""

from __future__ import annotations

import logging
import re
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

_HIDDEN = "***"
# To the last @ of a word: a password that is not percent-encoded has any character in it.
_USER = re.compile(r"(?<=://)[^\s'\"<>]*@")
_PARAMETER = re.compile(
    r"(?<=[?&;])([\w.-]*(?:passw|pwd|secret|token|key|sig|credential)[\w.-]*=)[^\s'\"&;<>]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return a text in which no address shows its user, password, or a token in its query."""
    if "://" not in text:
        return text
    return _PARAMETER.sub(rf"\1{_HIDDEN}", _USER.sub(f"{_HIDDEN}@", text))


class Address(NamedTuple):
    """An address, and beside it who asks there.

    Attributes
    ----------
    uri : str
        The address, without user and password.
    user, password : str
        As they are sent; empty where the address has none.
    """

    uri: str
    user: str
    password: str


def split_credentials(uri: str) -> Address:
    """Return an address, and beside it the user and the password that stood in it."""
    parts = urlsplit(uri)
    credentials, found, host = parts.netloc.rpartition("@")
    if not found:
        return Address(uri, "", "")
    user, _, password = credentials.partition(":")
    return Address(urlunsplit(parts._replace(netloc=host)), unquote(user), unquote(password))


def redact_logs() -> None:
    """Let no log of this process show what `redact` hides, whoever writes it."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, _Redacting):
        logging.setLogRecordFactory(_Redacting(make))


class _Redacting:
    """Makes log records whose message and traceback are redacted."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **kwargs)
        if record.exc_info:
            # Formatters take a traceback that is written already as it is.
            traceback = logging.Formatter().formatException(record.exc_info)
            if (shown := redact(traceback)) != traceback:
                record.exc_text = shown
        if _has_address(record):
            message = record.getMessage()
            # Some formatters want the arguments: they stay where there is nothing to hide.
            if (shown := redact(message)) != message:
                record.msg, record.args = shown, None
        return record


def _has_address(record: logging.LogRecord) -> bool:
    given = record.args.values() if isinstance(record.args, dict) else record.args or ()
    return any("://" in str(part) for part in (record.msg, *given))
