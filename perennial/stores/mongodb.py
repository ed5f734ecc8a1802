"""The one door to MongoDB: the configured server, or the embedded one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import SecretStr
from pymongo import MongoClient, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from perennial import paths
from perennial.errors import OutsideError, UnavailableError
from perennial.local import embedded
from perennial.settings import Settings

Document = dict[str, Any]

_LEASES = "perennial_leases"
_RETRY_SECONDS = 0.2
_SCHEMES = ("mongodb://", "mongodb+srv://")
_DUPLICATE_KEY = 11_000
# Unauthorized, AuthenticationFailed, and Atlas's own code for the latter.
_REFUSED = {13, 18, 8000}


@contextmanager
def connect(settings: Settings, problem: str | None = None) -> Iterator[MongoClient[Document]]:
    """Yield a client of the configured MongoDB, or of the embedded server.

    Every error of the driver that leaves the block is raised as `OutsideError`.

    Parameters
    ----------
    settings : Settings
        Where MongoDB is.
    problem : str, optional
        The problem whose documents, measurements and locks are meant, which may have a MongoDB of
        its own; otherwise it is the one of the prediction log.

    Raises
    ------
    OutsideError
        If the server cannot be reached or refuses the credentials.
    """
    own = None if problem is None else settings.mongodb_uris.get(problem)
    setting = "MONGODB_URI" if own is None else f"MONGODB_URIS for {problem!r}"
    with _address(settings, own) as uri:
        if not uri.startswith(_SCHEMES):
            begin = " or ".join(_SCHEMES)
            raise OutsideError(
                f"{setting} is not the address of a MongoDB: it must begin with {begin}."
            )
        try:
            with _client(uri, settings, setting) as client:
                client.admin.command("ping")
                yield client
        except PyMongoError as error:
            raise _explain(error, setting) from error


def by_server(settings: Settings, problems: Iterable[str]) -> dict[str | None, list[str]]:
    """Return problems by their MongoDB: who has it alone, or None for the one of all others.

    Each key is what `connect` takes.
    """
    found: dict[str | None, list[str]] = {}
    for problem in problems:
        found.setdefault(problem if problem in settings.mongodb_uris else None, []).append(problem)
    return found


@contextmanager
def _address(settings: Settings, own: SecretStr | None) -> Iterator[str]:
    if own is not None:
        yield own.get_secret_value()
        return
    if settings.mongodb_uri is not None:
        yield settings.mongodb_uri.get_secret_value()
        return
    with embedded.server(settings, "mongodb") as port:
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"


def _client(uri: str, settings: Settings, setting: str) -> MongoClient[Document]:
    try:
        return MongoClient(
            uri,
            tz_aware=True,
            appname="perennial",
            journal=True,
            serverSelectionTimeoutMS=int(settings.mongodb_timeout * 1000),
        )
    except ValueError as error:
        raise _no_address(str(error), setting) from error


def _no_address(reason: str, setting: str) -> OutsideError:
    """Say why an address is none; a password that is not encoded would be part of the reason."""
    if "@" in reason:
        reason = "its user and password must be percent-encoded"
    return OutsideError(f"{setting} is not the address of a MongoDB: {reason}")


def _explain(error: PyMongoError, setting: str) -> OutsideError:
    """Say in one sentence what MongoDB did not do, without the address and its password."""
    reason = str(error).split(", full error")[0].split(" (configured timeouts")[0]
    if isinstance(error, InvalidURI | ConfigurationError):
        return _no_address(reason, setting)
    if isinstance(error, ConnectionFailure):
        return UnavailableError(
            f"MongoDB cannot be reached, check {setting} and the network: {reason}"
        )
    if isinstance(error, OperationFailure) and error.code in _REFUSED:
        return OutsideError(f"MongoDB refuses the user or password in {setting}: {reason}")
    return OutsideError(f"MongoDB ({setting}) failed: {reason}")


def insert_missing(collection: Collection[Document], documents: Sequence[Document]) -> int:
    """Insert the documents whose ids the collection does not have; return how many these were.

    The server refuses the ids that it has: no other way is safe while others write, and as quick.
    """
    try:
        return len(collection.insert_many(documents, ordered=False).inserted_ids)
    except BulkWriteError as error:
        if refusals(error):
            raise
        return int(error.details["nInserted"])


def update_differing(
    collection: Collection[Document],
    documents: Sequence[Document],
    *,
    ignored: str,
    write: bool,
    is_due: Callable[[str, Any, Any], bool] = lambda *_: False,
) -> tuple[int, int]:
    """Return how many documents the collection has with other values, and how many were due.

    Parameters
    ----------
    collection : Collection
        Where they are.
    documents : sequence of dict
        Documents with ids; fields that only the collection has do not count.
    ignored : str
        A field that does not count either.
    write : bool
        Whether the collection is given the values of these documents.
    is_due : callable
        Takes a path, the stored value and the other one, and says whether it is given that one in
        any case. Documents that differ in nothing else do not count as having other values.
    """
    given = {each["_id"]: dict(_leaves(each, ignored)) for each in documents}
    stored = collection.find({"_id": {"$in": list(given)}})
    changes, differing, due = [], 0, 0
    for document in stored:
        values = given[document["_id"]]
        before = {path: paths.read(document, path) for path in values}
        different = {
            path: value
            for path, value in values.items()
            if before[path] != value
            or isinstance(before[path], bool) is not isinstance(value, bool)
        }
        needed = {
            path: value for path, value in different.items() if is_due(path, before[path], value)
        }
        written = different if write else needed
        differing += len(needed) < len(different)
        due += bool(needed)
        if written:
            changes.append(UpdateOne({"_id": document["_id"]}, {"$set": written}))
    if changes:
        collection.bulk_write(changes, ordered=False)
    return differing, due


def _leaves(document: Document, ignored: str, outer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the paths of a document's values, but for its id and one that is ignored."""
    for name, value in document.items():
        path = f"{outer}{name}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, ignored, f"{path}.")
        elif path not in ("_id", ignored):
            yield path, value


def refusals(error: BulkWriteError) -> list[Document]:
    """Return what the server refused for another reason than an id that it has already."""
    return [each for each in error.details["writeErrors"] if each["code"] != _DUPLICATE_KEY]


@contextmanager
def lease(
    database: Database[Document],
    name: str,
    *,
    seconds: float = 60.0,
    patience: float = 120.0,
) -> Iterator[None]:
    """Hold a named lock that all processes on the same database respect.

    A holder that dies keeps the lock for `seconds` at most; the block must be shorter than that.

    Parameters
    ----------
    database : Database
        Where the lock is kept.
    name : str
        What is locked.
    seconds : float
        After this time the lock counts as abandoned.
    patience : float
        How long to wait for another holder.

    Raises
    ------
    OutsideError
        If another holder keeps the lock for longer than `patience`.
    """
    leases = database[_LEASES]
    holder = uuid4().hex
    deadline = time.monotonic() + patience
    while not _take(leases, name, holder, seconds):
        if time.monotonic() > deadline:
            raise OutsideError(
                f"Another process has held the lock {name!r} for {patience:.0f} s; look at the "
                f"collection {leases.full_name} and at the runs in progress."
            )
        time.sleep(_RETRY_SECONDS)
    try:
        yield
    finally:
        leases.delete_one({"_id": name, "holder": holder})


def _take(leases: Collection[Document], name: str, holder: str, seconds: float) -> bool:
    now = datetime.now(UTC)
    try:
        leases.update_one(
            {"_id": name, "until": {"$lt": now}},
            {"$set": {"holder": holder, "until": now + timedelta(seconds=seconds)}},
            upsert=True,
        )
    except DuplicateKeyError:
        return False
    return True
