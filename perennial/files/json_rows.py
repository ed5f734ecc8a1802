"""JSON: one object after the other, as JSON Lines or in an array."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from bson import json_util
from bson.errors import BSONError

from perennial.errors import OutsideError
from perennial.files.opening import open_text
from perennial.files.rows import LARGEST, Row

ENDINGS = (".json", ".jsonl", ".ndjson")
_CHUNK = 1 << 16
_SPACE = " \t\r\n"
_SHOWN = 30
# What mongoexport writes for values that JSON does not have.
_OF_MONGODB = {"$oid", "$date", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"}
_OPTIONS = json_util.JSONOptions(tz_aware=True)


class _TwiceError(ValueError):
    """An object has two values of one name."""


class JSONFile:
    """Rows that are objects of JSON.

    Parameters
    ----------
    path : Path
        The file.
    encoding : str or None
        As of `perennial.files.opening.open_text`.

    Attributes
    ----------
    unit : str
        What the place of a row counts.
    """

    unit = "line"

    def __init__(self, path: Path, encoding: str | None) -> None:
        self.path, self._encoding = path, encoding

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names that any object has."""
        names: dict[str, None] = {}
        for row in self.rows():
            names.update(dict.fromkeys(row.values))
        return tuple(names)

    def rows(self) -> Iterator[Row]:
        """Yield the objects.

        Raises
        ------
        OutsideError
            If something else stands among them; the message names the line.
        """
        with open_text(self.path, self._encoding) as stream:
            yield from _Objects(self.path, stream).read()


class _Objects:
    """Reads objects from a stream, of which no more than one object is kept."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path, self._stream = path, stream
        self._text, self._at, self._line = "", 0, 1
        self._decode = json.JSONDecoder(object_pairs_hook=_distinct).raw_decode

    def read(self) -> Iterator[Row]:
        is_array = self._next() == "["
        self._at += is_array
        is_open, is_first = is_array, True
        while character := self._next():
            if is_array and character == "]":
                self._at += 1
                is_open = False
                break
            if is_array and not is_first:
                self._skip_comma(character)
            # Line breaks before the object are counted first.
            if not self._next():
                break
            line = self._line
            yield Row(line, self._object())
            is_first = False
        if is_open:
            raise OutsideError(
                f"The file {self._path} ends within its array; write the whole of it again."
            )
        if self._next():
            raise self._wrong("stands after the end of the array")

    def _skip_comma(self, character: str) -> None:
        if character != ",":
            raise self._wrong("stands where a comma should be")
        self._at += 1
        self._next()

    def _next(self) -> str:
        """Return the next character that is no white space, and stay before it; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._line += self._text[self._at] == "\n"
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(_CHUNK):
                return ""

    def _more(self, size: int) -> bool:
        read = self._stream.read(size)
        if read:
            self._text, self._at = self._text[self._at :] + read, 0
        return bool(read)

    def _object(self) -> dict[str, Any]:
        if self._next() != "{":
            raise self._wrong("is no object: a row is written as {...}")
        while True:
            try:
                found, end = self._decode(self._text, self._at)
            except _TwiceError as error:
                raise OutsideError(
                    f"The object at line {self._line:,} of the file {self._path} has two values "
                    f"named {str(error)!r}; rename or remove one."
                ) from None
            except (ValueError, TypeError, ArithmeticError, BSONError, RecursionError) as error:
                held = len(self._text) - self._at
                if held > 2 * LARGEST or not self._more(max(_CHUNK, held)):
                    raise self._broken(error) from None
            else:
                self._line += self._text.count("\n", self._at, end)
                self._at = end
                if not isinstance(found, dict):
                    raise OutsideError(
                        f"The object at line {self._line:,} of the file {self._path} is a single "
                        "value of MongoDB; a row is written as {...}."
                    )
                return found

    def _wrong(self, why: str) -> OutsideError:
        shown = self._text[self._at : self._at + _SHOWN].partition("\n")[0]
        return OutsideError(f"{shown!r} at line {self._line:,} of the file {self._path} {why}.")

    def _broken(self, error: Exception) -> OutsideError:
        if not isinstance(error, json.JSONDecodeError):
            why = "is nested too deeply, or has a value that is none"
        else:
            line = self._line + self._text.count("\n", self._at, error.pos)
            why = f"is no JSON, or not complete, at line {line:,}"
        return OutsideError(
            f"The object that begins at line {self._line:,} of the file {self._path} {why}."
        )


def _distinct(pairs: Sequence[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) == 1 and not _OF_MONGODB.isdisjoint(found):
        return json_util.object_hook(found, _OPTIONS)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found
