"""MongoDB's change stream: the ids of documents that were touched since a place in it."""

from __future__ import annotations

from typing import Any

from bson import json_util
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from perennial.documents.keys import document_key
from perennial.stores.mongodb import Document

# How long the server may look for further events before it says that there are none.
_AWAIT_MILLISECONDS = 100
# An empty answer may only mean that the server has a long log to look through.
_EMPTY_ANSWERS = 2
_OF_DOCUMENTS = {"insert", "update", "replace", "delete"}
# Only what names a document is sent.
_NAMES = [{"$project": {"operationType": 1, "documentKey": 1}}]


def current_token(collection: Collection[Document]) -> str | None:
    """Return the place in the stream where it is now, as JSON; None if the server has no stream."""
    try:
        with collection.watch(_NAMES, max_await_time_ms=_AWAIT_MILLISECONDS) as stream:
            token = stream.resume_token
            if token is None:
                stream.try_next()
                token = stream.resume_token
    except PyMongoError:
        # A server that is no replica set, or a user without the right to look.
        return None
    return None if token is None else json_util.dumps(token)


def touched_since(collection: Collection[Document], token: str) -> tuple[list[Any], str] | None:
    """Return the ids of the documents that were touched since a place, and the place of now.

    Returns
    -------
    tuple of (list of ids, str), or None
        Each id once. None if that cannot be said: the server does not remember that place any more,
        or the collection was dropped or renamed.
    """
    ids: dict[str, Any] = {}
    empty = 0
    try:
        with collection.watch(
            _NAMES, resume_after=json_util.loads(token), max_await_time_ms=_AWAIT_MILLISECONDS
        ) as stream:
            while empty < _EMPTY_ANSWERS:
                event = stream.try_next()
                if event is None:
                    empty += 1
                    continue
                if event["operationType"] not in _OF_DOCUMENTS:
                    return None
                identifier = event["documentKey"]["_id"]
                ids[document_key(identifier)] = identifier
            place = stream.resume_token
    except PyMongoError:
        return None
    return None if place is None else (list(ids.values()), json_util.dumps(place))
