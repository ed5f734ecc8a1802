"""The errors that end a run with one sentence instead of a traceback."""

from perennial.redaction import redact


class OutsideError(Exception):
    """Something outside the program is not as the settings say.

    The message is one sentence that names the thing, what happened, and the setting to look at. No
    address in it shows a password.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))


class UnavailableError(OutsideError):
    """A server did not answer; the same call may succeed later."""


class ProblemError(ValueError):
    """A problem file cannot be used; the message names the file, line, key, value and way out."""
