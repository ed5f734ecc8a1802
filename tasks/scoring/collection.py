"""Score: predictions of the Production model for all documents of a collection.

They are written into a collection of their own in the same database, one document per classified
document, with the same ``_id``; ``$lookup`` joins the two. The documents themselves stay as they
are: they belong to whoever writes them (with a validator that may refuse a new field, and readers
of a change stream that would all be woken), the ingestion reads no byte more of them afterwards,
and a user that may only read them is enough. It is also what is quick: new score documents are
inserted some twenty times as fast as documents are updated in place.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from prefect import task
from prefect.cache_policies import NO_CACHE
from pymongo import ReplaceOne
from pymongo.collection import Collection

from perennial import paths
from perennial.config.problem import Problem
from perennial.inputs.base import inputs_of
from perennial.reasons import Reason, UnusableError
from perennial.settings import get_settings
from perennial.stores import mongodb
from perennial.stores.documents import batched
from tasks.orchestration.retries import NETWORK
from tasks.scoring.batch import ScoreResult, overlapped, progressing, say
from tasks.scoring.classifier import Classifier, load_classifier

_BATCH = 1_000
# What the join puts beside the fields of a document.
_EARLIER = "perennial_earlier"


@dataclass(frozen=True)
class Place:
    """Selection of the documents that are classified.

    Attributes
    ----------
    database, collection : str
        Where they are.
    query : mapping
        The MongoDB filter that they match.
    """

    database: str
    collection: str
    query: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Written:
    """The score documents of a batch: for documents without one, and for those with an old one."""

    new: list[mongodb.Document]
    old: list[mongodb.Document]
    skipped: Counter[Reason]

    def __len__(self) -> int:
        return len(self.new) + len(self.old)


def scores_name(collection: str, problem: str) -> str:
    """Return the name of the collection with a problem's predictions for a collection."""
    return f"{collection}_{problem}_scores"


@task(name="score", cache_policy=NO_CACHE, **NETWORK)
def score(problem: Problem, place: Place, *, again: bool = False) -> ScoreResult:
    """Classify every document that Production has not classified yet, and keep the predictions.

    A run that was ended at any moment is completed by the next one: what is written stays as it
    is, and only what is missing is classified. There is never more than one prediction per
    document; that of an earlier version is replaced.

    Parameters
    ----------
    problem : Problem
        Names the model and the fields of the documents.
    place : Place
        The documents.
    again : bool
        Classify those that this version has classified, too.

    Raises
    ------
    OutsideError
        If there is no Production model, or if MLflow or MongoDB cannot be used.
    """
    classifier = load_classifier(problem)
    with mongodb.connect(get_settings(), problem.name) as client:
        database = client[place.database]
        # Text that is not valid UTF-8 is classified as what can be read of it.
        options: CodecOptions[mongodb.Document] = CodecOptions(
            tz_aware=True,
            unicode_decode_error_handler="replace",
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        )
        documents = database.get_collection(place.collection, codec_options=options)
        scores = database[scores_name(place.collection, problem.name)]
        start = time.perf_counter()
        classified, skipped = _classify_all(problem, place, classifier, documents, scores, again)
        seconds = time.perf_counter() - start
    scored = ScoreResult(
        problem.name, classifier.version, classified, dict(skipped), seconds, scores.full_name
    )
    say(scored)
    return scored


def _classify_all(
    problem: Problem,
    place: Place,
    classifier: Classifier,
    documents: Collection[mongodb.Document],
    scores: Collection[mongodb.Document],
    again: bool,
) -> tuple[int, Counter[Reason]]:
    """Classify and write batch by batch; return how many were, and why others were not."""
    is_first = scores.find_one({}, {"_id": 1}) is None
    kept = 0 if is_first or again else scores.count_documents({"version": classifier.version})
    total = _count(documents, place.query) - kept
    found = (
        documents.find(place.query, _projection(problem), batch_size=_BATCH)
        if is_first
        else _unclassified(problem, place, documents, scores, None if again else classifier.version)
    )
    classified, skipped = 0, Counter[Reason]()
    with progressing(problem, total) as progress:
        for written in overlapped(
            batched(found, _BATCH),
            lambda batch: _predict(problem, classifier, batch),
            lambda written: _write(scores, written),
        ):
            classified += len(written)
            skipped += written.skipped
            progress.advance(len(written))
    return classified, skipped


def _count(documents: Collection[mongodb.Document], query: Mapping[str, Any]) -> int:
    return documents.count_documents(query) if query else documents.estimated_document_count()


def _projection(problem: Problem) -> dict[str, Any]:
    return dict.fromkeys(paths.outermost(inputs_of(problem).names), 1)


def _unclassified(
    problem: Problem,
    place: Place,
    documents: Collection[mongodb.Document],
    scores: Collection[mongodb.Document],
    version: int | None,
) -> Iterator[mongodb.Document]:
    """Yield the documents without a prediction of this version, each with the id of an older one.

    The server joins by ``_id``: of documents that are done nothing travels, and nothing about them
    is kept in memory here. Without a version all documents are yielded.
    """
    join = {"from": scores.name, "localField": "_id", "foreignField": "_id", "as": _EARLIER}
    undone = [] if version is None else [{"$match": {f"{_EARLIER}.version": {"$ne": version}}}]
    shown = {"$project": {**_projection(problem), f"{_EARLIER}._id": 1}}
    stages = [{"$match": dict(place.query)}, {"$lookup": join}, *undone, shown]
    yield from documents.aggregate(stages, batchSize=_BATCH)


def _predict(
    problem: Problem, classifier: Classifier, batch: Sequence[mongodb.Document]
) -> _Written:
    """Classify what can be classified, and say of the rest why it cannot."""
    read, skipped = inputs_of(problem).read, Counter[Reason]()
    usable, inputs = [], []
    for document in batch:
        try:
            inputs.append(read(document, limited=False))
        except UnusableError as error:
            skipped[error.reason] += 1
        else:
            usable.append(document)
    predicted = classifier.classify(inputs)
    classes, at = classifier.classes, datetime.now(UTC)
    written = _Written([], [], skipped)
    skipped.update(predicted.refused.values())
    answers = zip(usable, predicted.labels, predicted.probabilities, strict=True)
    for index, (document, label, row) in enumerate(answers):
        if index in predicted.refused:
            continue
        prediction = {
            "_id": document["_id"],
            "label": label,
            "probabilities": dict(zip(classes, row, strict=True)),
            "version": classifier.version,
            "at": at,
        }
        (written.old if document.get(_EARLIER) else written.new).append(prediction)
    return written


def _write(scores: Collection[mongodb.Document], written: _Written) -> None:
    if written.new:
        # Another run may have classified the same documents meanwhile; its predictions stay.
        mongodb.insert_missing(scores, written.new)
    if written.old:
        replacements = [ReplaceOne({"_id": each["_id"]}, each) for each in written.old]
        scores.bulk_write(replacements, ordered=False)
