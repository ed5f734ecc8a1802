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
from perennial.files.encodings import BROKEN
from perennial.files.opening import encoding_of, open_text
from perennial.files.rows import LARGEST, WRITTEN, Row

ENDINGS = (".json", ".jsonl", ".ndjson")
_CHUNK = 1 << 16
_SPACE = " \t\r\n"
_SHOWN = 30
# What mongoexport writes for values that JSON does not have.
_OF_MONGODB = {"$oid", "$date", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"}
_OPTIONS = json_util.JSONOptions(tz_aware=True)


class _TwiceError(ValueError):
    """An object has two values of one name."""


class _RowError(ValueError):
    """A row cannot be read; the message is a predicate of it."""


class JSONFile:
    """Rows that are objects of JSON.

    Parameters
    ----------
    path : Path
        The file.
    encoding : str or None
        As of `perennial.files.opening.encoding_of`.

    Attributes
    ----------
    unit : str
        What the place of a row counts.
    """

    unit = "line"

    def __init__(self, path: Path, encoding: str | None) -> None:
        self.path, self.encoding = path, encoding_of(path, encoding)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names that any object has."""
        names: dict[str, None] = {}
        for row in self.rows():
            names.update(dict.fromkeys(row.values))
        return tuple(names)

    def rows(self) -> Iterator[Row]:
        """Yield the objects.

        What is no object says why, and the next line that begins one goes on. Only in an array
        nobody can tell where the next one begins.

        Raises
        ------
        OutsideError
            If something else stands in an array; the message names the line.
        """
        with open_text(self.path, self.encoding) as stream:
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
            yield self._row(is_array=is_array)
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

    def _row(self, *, is_array: bool) -> Row:
        line = self._line
        try:
            return Row(line, self._object())
        except _RowError as error:
            if is_array:
                where = f"The object at line {line:,} of the file {self._path}"
                raise OutsideError(f"{where} {error}.") from None
            return Row(line, {}, str(error), self._skip())

    def _skip(self) -> str:
        """Go on to the next line that begins an object; return the beginning of what is passed."""
        written = self._text[self._at : self._at + WRITTEN].partition("\n")[0]
        while True:
            end = self._text.find("\n", self._at)
            if end < 0:
                self._at = len(self._text)
                if not self._more(_CHUNK):
                    return written
                continue
            self._line += 1
            self._at = end + 1
            if self._next() in ("", "{"):
                return written

    def _object(self) -> dict[str, Any]:
        if self._next() != "{":
            shown = self._text[self._at : self._at + _SHOWN].partition("\n")[0]
            raise _RowError(f"is {shown!r}, which is no object; write a row as {{...}}")
        while True:
            try:
                found, end = self._decode(self._text, self._at)
            except _TwiceError as error:
                raise _RowError(
                    f"has two values named {str(error)!r}; rename or remove one"
                ) from None
            except (ValueError, TypeError, ArithmeticError, BSONError, RecursionError) as error:
                held = len(self._text) - self._at
                if self._is_wrong(error) or held > 2 * LARGEST or not self._more(max(_CHUNK, held)):
                    raise self._broken(error) from None
            else:
                return self._taken(found, end)

    def _is_wrong(self, error: Exception) -> bool:
        """Return whether an object is wrong, whatever may follow: its error is not at the end."""
        return (
            isinstance(error, json.JSONDecodeError)
            and error.pos < len(self._text) - _SHOWN
            and not error.msg.startswith("Unterminated")
        )

    def _taken(self, found: Any, end: int) -> dict[str, Any]:
        if not isinstance(found, dict):
            raise _RowError("is a single value of MongoDB; write a row as {...}")
        if BROKEN.search(self._text, self._at, end):
            raise _RowError("has bytes that are not UTF-8; save the file as UTF-8")
        self._line += self._text.count("\n", self._at, end)
        self._at = end
        return found

    def _wrong(self, why: str) -> OutsideError:
        shown = self._text[self._at : self._at + _SHOWN].partition("\n")[0]
        return OutsideError(f"{shown!r} at line {self._line:,} of the file {self._path} {why}.")

    def _broken(self, error: Exception) -> _RowError:
        if not isinstance(error, json.JSONDecodeError):
            return _RowError("is nested too deeply, or has a value that is none; correct it")
        line = self._line + self._text.count("\n", self._at, error.pos)
        return _RowError(f"is no JSON, or not complete, at line {line:,}; write the whole of it")


def _distinct(pairs: Sequence[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) == 1 and not _OF_MONGODB.isdisjoint(found):
        return json_util.object_hook(found, _OPTIONS)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found
