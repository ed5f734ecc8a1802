"""Where unknown data is: a file, or a collection of the configured MongoDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bson.codec_options import CodecOptions, DatetimeConversion

from perennial.errors import OutsideError
from perennial.files.table import open_table
from perennial.profile.table import TableProfile, profile_table
from perennial.settings import Settings
from perennial.stores import mongodb


def profile_file(file: Path, *, encoding: str | None = None) -> TableProfile:
    """Return the profile of a file."""
    table = open_table(file, encoding=encoding)
    return profile_table((row.values for row in table.rows()), table.columns)


def profile_collection(settings: Settings, database: str, collection: str) -> TableProfile:
    """Return the profile of a collection."""
    return profile_table(_documents(settings, database, collection), is_typed=True)


def split_name(name: str) -> tuple[str, str]:
    """Return database and collection of a name such as ``shop.tickets``.

    Raises
    ------
    OutsideError
        If it names no collection.
    """
    database, dot, collection = name.partition(".")
    if not (database and dot and collection):
        raise OutsideError(
            f"--collection {name!r} names no collection; write DATABASE.COLLECTION, such as "
            "shop.tickets."
        )
    return database, collection


def _documents(settings: Settings, database: str, collection: str) -> Iterator[mongodb.Document]:
    options: CodecOptions[mongodb.Document] = CodecOptions(
        tz_aware=True,
        unicode_decode_error_handler="replace",
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )
    with mongodb.connect(settings) as client:
        found = client[database].get_collection(collection, codec_options=options).find()
        is_empty = True
        for document in found:
            is_empty = False
            yield document
        if is_empty:
            raise OutsideError(
                f"The MongoDB collection {database}.{collection} is empty, or is not there; name "
                "another one with --collection, or a file with --file."
            )
