"""The prediction log in MongoDB: its collections, fields, documents and queries.

The service writes what it has answered, what it could not answer, and feedback; canary analysis and
monitoring read it. Everything is counted in MongoDB: what travels does not grow with the traffic.
The driver is imported only where a query needs it, for which the service does not wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import uuid4

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

    from perennial.stores.mongodb import Document

_PREDICTIONS, _FAILURES = "predictions", "failures"
# Where an input is, by its kind: a text, or a record.
_TEXT, _RECORD = "text", "inputs"
_FEEDBACK, _KEY = "feedback", "key"
_AGREES = {"$eq": ["$label", f"${_FEEDBACK}.label"]}
_FORGET = "forget"
# The same index with other options, by its keys or by its name.
_OTHER_INDEX_OPTIONS = (85, 86)


class Logged(NamedTuple):
    """The answers to one request: one entry per input."""

    at: float
    problem: str
    version: int
    ids: Sequence[str]
    labels: Sequence[str]
    probabilities: Sequence[float]
    inputs: Sequence[Any]
    seconds: float | None = None
    key: str | None = None

    def documents(self, *, with_texts: bool) -> list[Document]:
        """Return one document per input, with or without what was sent."""
        at = datetime.fromtimestamp(self.at, UTC)
        documents = []
        for number, prediction_id in enumerate(self.ids):
            text: str | dict[str, Any] = self.inputs[number]
            document = {
                "_id": prediction_id,
                "problem": self.problem,
                "version": self.version,
                "label": self.labels[number],
                "probability": self.probabilities[number],
                "characters": len(text) if isinstance(text, str) else None,
                # Inputs of one request are correlated: comparisons between versions use only the
                # first of each request.
                "position": number,
                "seconds": self.seconds,
                "created_at": at,
            }
            if self.key is not None:
                document[_KEY] = self.key
            if with_texts:
                document[_TEXT if isinstance(text, str) else _RECORD] = text
            documents.append(document)
        return documents


@dataclass(frozen=True)
class Failure:
    """A request that a version could not answer."""

    at: float
    problem: str
    version: int

    def document(self) -> Document:
        """Return the document that is kept, under an id of its own."""
        return {
            "_id": uuid4().hex,
            "problem": self.problem,
            "version": self.version,
            "created_at": datetime.fromtimestamp(self.at, UTC),
        }


@dataclass(frozen=True)
class Feedback:
    """What somebody says about a prediction.

    Attributes
    ----------
    at : float
        When it was said, in seconds since 1970.
    prediction_id, problem, version : str, str, int
        The prediction.
    label : str
        The right label.
    request_id : str or None
        Id of the request that said it.
    key : str or None
        SHA-256 of the API key of that request; None if the service asks for none. It is never
        stored: only the digest of the sender is, which is made of it.
    predicted_at : float or None
        When the prediction was made, if its id says so.
    """

    at: float
    prediction_id: str
    problem: str
    version: int
    label: str
    request_id: str | None = None
    key: str | None = field(default=None, repr=False)
    predicted_at: float | None = None

    @property
    def created_at(self) -> datetime:
        """When the feedback was given."""
        return datetime.fromtimestamp(self.at, UTC)


@dataclass(frozen=True)
class Prediction:
    """One entry of the log, as it is read.

    Attributes
    ----------
    id : str
        Of the prediction.
    input : str, dict or None
        The text, or the record; None if what was sent was not kept.
    label : str
        The answer.
    probability : float
        Its probability.
    truth : str or None
        The label that feedback gives, if there is any.
    key : str or None
        Digest of the key of its request, if that has one.
    """

    id: str
    input: str | dict[str, Any] | None
    label: str
    probability: float
    truth: str | None
    key: str | None = None

    @classmethod
    def of(cls, document: Document) -> Self:
        """Return the entry in a document."""
        return cls(
            document["_id"],
            document.get(_TEXT, document.get(_RECORD)),
            document["label"],
            document["probability"],
            document.get(_FEEDBACK, {}).get("label"),
            document.get(_KEY),
        )


@dataclass(frozen=True)
class Hour:
    """The answers that one version gave in one hour and whose truth is known by now."""

    version: int
    start: datetime
    right: int
    known: int


def open_predictions(log: Database[Document]) -> Collection[Document]:
    """Return the collection of the answers."""
    return log[_PREDICTIONS]


def open_failures(log: Database[Document]) -> Collection[Document]:
    """Return the collection of the requests that were not answered."""
    return log[_FAILURES]


def create_indexes(log: Database[Document], *, kept: timedelta) -> None:
    """Make the indexes of the log, of which two remove what is older than it is to be kept."""
    for collection in (open_predictions(log), open_failures(log)):
        _forget(collection, int(kept.total_seconds()))
    open_predictions(log).create_index(
        [("problem", 1), (f"{_FEEDBACK}.created_at", 1)], name=_FEEDBACK, sparse=True
    )


def _forget(collection: Collection[Document], seconds: int) -> None:
    """Let the server remove what is older than so many seconds."""
    from pymongo.errors import OperationFailure

    for attempt in range(2):
        try:
            collection.create_index("created_at", name=_FORGET, expireAfterSeconds=seconds)
            break
        except OperationFailure as error:
            if error.code not in _OTHER_INDEX_OPTIONS or attempt:
                raise
            collection.drop_index(_FORGET)


def find_by_id(predictions: Collection[Document], ids: Sequence[str]) -> dict[str, Prediction]:
    """Return those of these predictions that are in the log, by their ids."""
    found = predictions.find({"_id": {"$in": list(ids)}})
    return {document["_id"]: Prediction.of(document) for document in found}


def count_with_feedback(log: Database[Document], ids: Sequence[str]) -> int:
    """Return how many of these predictions have feedback."""
    wanted = {"_id": {"$in": list(ids)}, _FEEDBACK: {"$exists": True}}
    return open_predictions(log).count_documents(wanted)


def find_newest(
    log: Database[Document], problem: str, version: int, since: datetime, limit: int
) -> list[Prediction]:
    """Return the newest predictions of a version, the last one first."""
    wanted = {"problem": problem, "version": version, "created_at": {"$gte": since}}
    newest = open_predictions(log).find(wanted).sort("created_at", -1).limit(limit)
    return [Prediction.of(document) for document in newest]


def find_labelled(
    log: Database[Document], problem: str, versions: Sequence[int], since: datetime, limit: int
) -> list[Prediction]:
    """Return the newest predictions of some versions that have feedback, the last one first."""
    wanted = {
        "problem": problem,
        "version": {"$in": list(versions)},
        f"{_FEEDBACK}.created_at": {"$gte": since},
        "created_at": {"$gte": since},
    }
    newest = open_predictions(log).find(wanted).sort("created_at", -1).limit(limit)
    return [Prediction.of(document) for document in newest]


def find_inputs(log: Database[Document], problem: str) -> Iterator[tuple[str, Any]]:
    """Yield the id and the input of every prediction of a problem that was kept with its input."""
    kept = {"problem": problem, "$or": [{_TEXT: {"$exists": True}}, {_RECORD: {"$exists": True}}]}
    for document in open_predictions(log).find(kept, {_TEXT: 1, _RECORD: 1}):
        yield document["_id"], document.get(_TEXT, document.get(_RECORD))


def delete_predictions(log: Database[Document], ids: Sequence[str]) -> None:
    """Remove predictions with their feedback."""
    open_predictions(log).delete_many({"_id": {"$in": list(ids)}})


def count_by_hour(log: Database[Document], problem: str, since: datetime) -> tuple[Hour, ...]:
    """Count right and known answers by version and hour, the earliest hour first."""
    wanted = {
        "problem": problem,
        # Feedback comes after its prediction; the log has an index on its time.
        f"{_FEEDBACK}.created_at": {"$gte": since},
        "created_at": {"$gte": since},
    }
    groups = {
        "_id": {
            "version": "$version",
            "start": {"$dateTrunc": {"date": "$created_at", "unit": "hour"}},
        },
        "known": {"$sum": 1},
        "right": {"$sum": {"$cond": [_AGREES, 1, 0]}},
    }
    found = open_predictions(log).aggregate([{"$match": wanted}, {"$group": groups}])
    hours = [
        Hour(each["_id"]["version"], each["_id"]["start"], each["right"], each["known"])
        for each in found
    ]
    return tuple(sorted(hours, key=lambda hour: (hour.start, hour.version)))


@dataclass(frozen=True)
class Traffic:
    """What versions of a problem have done with requests since a time, counted in MongoDB.

    Every method yields a version, a value, and how many entries of that version have it.

    Attributes
    ----------
    log : Database
        The database of the log.
    problem : str
        Name of the problem.
    versions : sequence of int
        The versions.
    since : datetime
        Requests before it do not count, nor does feedback on them.
    """

    log: Database[Document]
    problem: str
    versions: Sequence[int]
    since: datetime

    def labels(self) -> Iterator[tuple[int, str, int]]:
        """Count the labels that were answered, of the first input of each request."""
        yield from self._count(_PREDICTIONS, self._first, "$label")

    def durations(self, *, per_decade: int) -> Iterator[tuple[int, int, int]]:
        """Count durations in groups of equal width on a logarithmic scale, per request.

        Parameters
        ----------
        per_decade : int
            Number of groups; group n begins at ``10 ** (n / per_decade)`` seconds.
        """
        group = {"$floor": {"$multiply": [per_decade, {"$log10": "$seconds"}]}}
        timed = self._first | {"seconds": {"$gt": 0}}
        for version, value, count in self._count(_PREDICTIONS, timed, group):
            yield version, int(value), count

    def agreement(self) -> Iterator[tuple[int, bool, int]]:
        """Count feedback by whether it agrees with the answer."""
        told = self._asked | {_FEEDBACK: {"$exists": True}}
        yield from self._count(_PREDICTIONS, told, _AGREES)

    def failures(self) -> Iterator[tuple[int, None, int]]:
        """Count the requests that were not answered."""
        yield from self._count(_FAILURES, self._asked, None)

    @property
    def _asked(self) -> dict[str, Any]:
        versions = {"$in": list(self.versions)}
        return {"problem": self.problem, "version": versions, "created_at": {"$gte": self.since}}

    @property
    def _first(self) -> dict[str, Any]:
        # Entries of older services do not have a position.
        return self._asked | {"position": {"$in": [0, None]}}

    def _count(
        self, collection: str, asked: dict[str, Any], value: Any
    ) -> Iterator[tuple[int, Any, int]]:
        stages = [
            {"$match": asked},
            {"$group": {"_id": {"version": "$version", "value": value}, "count": {"$sum": 1}}},
        ]
        for found in self.log[collection].aggregate(stages):
            yield found["_id"]["version"], found["_id"].get("value"), found["count"]
