"""Opening of files: compressed or not, in the encoding that a mark or the caller names."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from perennial.errors import OutsideError

_COMPRESSED: Mapping[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
# The mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DEFAULT = "utf-8"
_LOOKED_AT = 1_000


def ending_of(path: Path) -> str:
    """Return the ending that says the format, in small letters: that before .gz, .bz2 or .xz."""
    ending = path.suffix.lower()
    return path.with_suffix("").suffix.lower() if ending in _COMPRESSED else ending


def stem_of(path: Path) -> str:
    """Return the name of a file without its endings."""
    return Path(path.stem).stem if path.suffix.lower() in _COMPRESSED else path.stem


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to read, unpacked.

    Raises
    ------
    OutsideError
        If it cannot be read, or its packing is damaged.
    """
    unpack = _COMPRESSED.get(path.suffix.lower())
    try:
        with path.open("rb") if unpack is None else unpack(path, "rb") as file:
            yield cast("BinaryIO", file)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise OutsideError(
            f"The file {path} is damaged, or is not packed as its ending {path.suffix} says; "
            "pack it again."
        ) from error
    except OSError as error:
        raise OutsideError(f"The file {path} cannot be read: {error.strerror or error}.") from error


@contextmanager
def open_text(path: Path, encoding: str | None = None) -> Iterator[TextIO]:
    """Yield the characters of a file, line breaks as they are.

    Parameters
    ----------
    path : Path
        The file.
    encoding : str or None
        The encoding of a file without a byte order mark, as Python names it; None is UTF-8.

    Raises
    ------
    OutsideError
        If it cannot be read, is empty or has another encoding.
    """
    found = encoding_of(path, encoding)
    with open_bytes(path) as file:
        try:
            yield TextIOWrapper(file, encoding=found, newline="")
        except UnicodeError as error:
            raise OutsideError(_wrong_encoding(path, found, named=encoding is not None)) from error


def encoding_of(path: Path, named: str | None) -> str:
    """Return the encoding of a file: by its byte order mark, or as it is named, or UTF-8.

    Raises
    ------
    OutsideError
        If the file is empty, or what is named is no encoding.
    """
    with open_bytes(path) as file:
        start = file.read(_LOOKED_AT)
    if not start:
        raise OutsideError(f"The file {path} is empty.")
    known = None if named is None else _known(named)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if marked is None and known is None and b"\0" in start:
        raise OutsideError(
            f"The file {path} has zero bytes, as UTF-16 without a mark or a binary file has; name "
            "its encoding, such as --encoding utf-16-le, or save it as UTF-8."
        )
    return marked or known or _DEFAULT


def _known(encoding: str) -> str:
    try:
        # Codecs that make no text, such as hex, are refused by the same error.
        "a".encode(encoding).decode(encoding)
    except (LookupError, UnicodeError, ValueError) as error:
        raise OutsideError(
            f"--encoding {encoding!r} is no encoding; utf-8, utf-16, windows-1252 and iso-8859-1 "
            "are some."
        ) from error
    return encoding


def _wrong_encoding(path: Path, encoding: str, *, named: bool) -> str:
    line = None if encoding.startswith(("utf-16", "utf-32")) else _first_wrong(path, encoding)
    where = f"The file {path}" if line is None else f"Line {line:,} of the file {path}"
    remedy = (
        "name another --encoding" if named else "name its encoding, such as --encoding windows-1252"
    )
    shown = "UTF-8" if encoding.startswith("utf-8") else encoding
    return f"{where} is not {shown}; {remedy}, or save it as UTF-8."


def _first_wrong(path: Path, encoding: str) -> int | None:
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return number
    return None
