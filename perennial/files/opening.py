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
from perennial.files.encodings import find_encoding

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
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Yield the characters of a file, line breaks as they are.

    Bytes of a row that are not of UTF-8, as the other rows are, become what `BROKEN` finds.

    Parameters
    ----------
    path : Path
        The file.
    encoding : str
        What `encoding_of` returned.

    Raises
    ------
    OutsideError
        If it cannot be read, or has another encoding.
    """
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    with open_bytes(path) as file:
        try:
            yield TextIOWrapper(file, encoding=encoding, errors=errors, newline="")
        except UnicodeError as error:
            raise OutsideError(_wrong_encoding(path, encoding)) from error


def encoding_of(path: Path, named: str | None) -> str:
    """Return the encoding of a file: by its byte order mark, or as it is named, or as it looks.

    Raises
    ------
    OutsideError
        If the file is empty, is no text, or what is named is no encoding.
    """
    with open_bytes(path) as file:
        start = file.read(_LOOKED_AT)
    if not start:
        raise OutsideError(f"The file {path} is empty.")
    known = None if named is None else _known(named)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if marked is not None or known is not None:
        return marked or known or _DEFAULT
    with open_bytes(path) as file:
        found = find_encoding(file)
    if found is None:
        raise OutsideError(
            f"The encoding of the file {path} cannot be told; name it, such as --encoding "
            "windows-1252, or save the file as UTF-8."
        )
    return found


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


def _wrong_encoding(path: Path, encoding: str) -> str:
    line = None if encoding.startswith(("utf-16", "utf-32")) else _first_wrong(path, encoding)
    where = f"The file {path}" if line is None else f"Line {line:,} of the file {path}"
    return f"{where} is not {encoding}; name another --encoding, or save it as UTF-8."


def _first_wrong(path: Path, encoding: str) -> int | None:
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return number
    return None
