"""The ledger of feedback in MongoDB: who has said what of which prediction, and what became of it.

A statement is what one sender says about one prediction; their own correction replaces it. What the
statements on a prediction amount to is *settled* each time that one of them changes: one document
in the problem's collection, or none while senders disagree or a person has to decide. To settle
twice does no harm, so workers and commands do it without a lock: whoever finds that a statement
has changed meanwhile settles again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from perennial import paths
from perennial.config.sections.feedback import FEEDBACK, SENDER, document_id, provenance_field
from perennial.stores.prediction_log import Feedback, Prediction, find_by_id, open_predictions

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database

    from perennial.config.problem import Problem
    from perennial.stores.mongodb import Document

State = Literal["waiting", "used", "noted", "review", "overruled", "rejected", "withdrawn", "lost"]
Decision = Literal["accepted", "rejected", "withdrawn"]
# Why a kept statement makes no document.
Lack = Literal["no_problem_file", "text_not_kept", "unknown_label"]

_STATEMENTS = "feedback"
_DECISIONS = "feedback_decisions"
_ENDED: dict[Decision, State] = {"rejected": "rejected", "withdrawn": "withdrawn"}
_ROUNDS = 20


@dataclass(frozen=True)
class Settled:
    """What the statements on a prediction amount to now.

    Attributes
    ----------
    state : State
        What became of those that still count.
    lack : Lack or None
        Why there is no document, though the statements agree and nobody has to decide.
    """

    state: State
    lack: Lack | None = None


def open_statements(log: Database[Document]) -> Collection[Document]:
    """Return the collection of the statements."""
    return log[_STATEMENTS]


def open_decisions(log: Database[Document]) -> Collection[Document]:
    """Return the collection of what people have decided about feedback, which only grows."""
    return log[_DECISIONS]


def create_indexes(log: Database[Document]) -> None:
    """Make the indexes of the ledger, of which one removes what is over."""
    statements = open_statements(log)
    statements.create_index("forget_at", name="forget_at", expireAfterSeconds=0)
    statements.create_index("prediction_id", name="prediction_id")
    statements.create_index([("problem", 1), ("state", 1), (SENDER, 1)], name="state")


def statement_id(prediction_id: str, sender: str | None) -> str:
    """Return the id of what a sender says about a prediction."""
    return f"{prediction_id}|{sender or ''}"


def write_statements(
    log: Database[Document], said: Sequence[tuple[Feedback, str | None]]
) -> set[str]:
    """Keep statements, each with its sender; return the ids of those that are the first ones.

    The same label again changes nothing; another one replaces the sender's earlier label, and what
    a person has decided about that.
    """
    from pymongo import UpdateOne

    writes = []
    for feedback, sender in said:
        identifier = statement_id(feedback.prediction_id, sender)
        now = {
            "label": feedback.label,
            "request_id": feedback.request_id,
            "updated_at": feedback.created_at,
            "state": "waiting",
        }
        first = {
            "problem": feedback.problem,
            "version": feedback.version,
            "prediction_id": feedback.prediction_id,
            SENDER: sender,
            "created_at": feedback.created_at,
            "revision": 1,
            **now,
        }
        writes.append(UpdateOne({"_id": identifier}, {"$setOnInsert": first}, upsert=True))
        changed = {
            "$set": now,
            "$inc": {"revision": 1},
            "$unset": {"decision": "", "forget_at": "", "document": ""},
        }
        writes.append(UpdateOne({"_id": identifier, "label": {"$ne": feedback.label}}, changed))
    if not writes:
        return set()
    return set((open_statements(log).bulk_write(writes).upserted_ids or {}).values())


def give_up(log: Database[Document], identifiers: Iterable[str], *, kept: timedelta) -> None:
    """Mark statements on predictions that never came into the log."""
    ended = {"state": "lost", "forget_at": datetime.now(UTC) + kept}
    open_statements(log).update_many({"_id": {"$in": list(identifiers)}}, {"$set": ended})


def delete_statements(log: Database[Document], prediction_ids: Sequence[str]) -> None:
    """Remove what anybody has said about predictions, so that it makes no document any more."""
    open_statements(log).delete_many({"prediction_id": {"$in": list(prediction_ids)}})


def find_waiting(log: Database[Document], before: datetime, limit: int) -> list[Document]:
    """Return statements that nobody has settled since a time, as after a worker has died."""
    wanted = {"state": "waiting", "updated_at": {"$lt": before}}
    return list(open_statements(log).find(wanted).limit(limit))


def settle(
    client: MongoClient[Document],
    log: Database[Document],
    problem: Problem | None,
    prediction_id: str,
    *,
    kept: timedelta,
) -> Settled:
    """Bring document and prediction log in line with the statements on a prediction.

    Parameters
    ----------
    client : MongoClient
        The server of the problem's collection.
    log : Database
        The database of the log.
    problem : Problem or None
        The problem; without it there are no documents.
    prediction_id : str
        The prediction.
    kept : timedelta
        How long statements are remembered on which nobody has to decide any more.
    """
    statements = open_statements(log)
    settled = Settled("noted")
    for _ in range(_ROUNDS):
        found = list(statements.find({"prediction_id": prediction_id}).sort("created_at", 1))
        settled = _Case(client, log, problem, prediction_id, found).settle(kept)
        again = statements.find({"prediction_id": prediction_id}).sort("created_at", 1)
        if list(map(_fingerprint, found)) == list(map(_fingerprint, again)):
            break
    return settled


def _fingerprint(statement: Document) -> tuple[Any, ...]:
    return statement["_id"], statement["revision"], statement.get("decision")


@dataclass(frozen=True)
class _Case:
    """All statements on one prediction."""

    client: MongoClient[Document]
    log: Database[Document]
    problem: Problem | None
    prediction_id: str
    statements: Sequence[Document]

    def settle(self, kept: timedelta) -> Settled:
        standing = [each for each in self.statements if each.get("decision") not in _ENDED]
        accepted = [each for each in standing if each.get("decision") == "accepted"]
        labels = {each["label"] for each in accepted or standing}
        predictions = open_predictions(self.log)
        prediction = find_by_id(predictions, [self.prediction_id]).get(self.prediction_id)
        body = self._body(prediction)
        if len(labels) == 1:
            chosen = (accepted or standing)[0]
            predictions.update_one({"_id": self.prediction_id}, {"$set": {FEEDBACK: _mark(chosen)}})
        else:
            predictions.update_one({"_id": self.prediction_id}, {"$unset": {FEEDBACK: ""}})
        needs_person = self.problem is not None and self.problem.feedback.use == "review"
        if len(labels) > 1 or (labels and needs_person and not accepted):
            self._remove_document()
            self._end(standing, "review", None, body)
            self._end_others(standing, kept)
            return Settled("review")
        if not labels:
            self._remove_document()
            self._end_others(standing, kept)
            return Settled("rejected")
        lack: Lack | None = None
        if body is None or self.problem is None:
            lack = "no_problem_file" if self.problem is None else "text_not_kept"
        elif not labels <= self.problem.labels.keys():
            # The version that answers is older than the problem's file, or merged rare labels.
            lack = "unknown_label"
        else:
            self._write_document(self.problem, body, (accepted or standing)[0], prediction)
        state: State = "used" if lack is None else "noted"
        self._end([each for each in standing if each["label"] in labels], state, kept)
        self._end([each for each in standing if each["label"] not in labels], "overruled", kept)
        self._end_others(standing, kept)
        return Settled(state, lack)

    def _documents(self, problem: Problem) -> Collection[Document]:
        return self.client[problem.source.database][problem.source.collection]

    def _body(self, prediction: Prediction | None) -> Document | None:
        """Return the inputs of the prediction, wherever they are still known."""
        if self.problem is None:
            return None
        # It needs pyarrow, for which a worker does not wait at its start.
        from perennial.inputs.base import inputs_of
        from perennial.inputs.validation import UnusableError

        inputs = inputs_of(self.problem)
        if prediction is not None and prediction.input is not None:
            return dict(inputs.write(prediction.input))
        found = self._documents(self.problem).find_one({"_id": document_id(self.prediction_id)})
        for document in (found, *(each.get("document") for each in self.statements)):
            try:
                return dict(inputs.write(inputs.read(document or {}, limited=False)))
            except UnusableError:
                continue
        return None

    def _write_document(
        self, problem: Problem, body: Document, chosen: Document, prediction: Prediction | None
    ) -> None:
        # It needs pyarrow, for which a worker does not wait at its start.
        from perennial.inputs.base import inputs_of

        names = problem.source.fields
        identifier = document_id(self.prediction_id)
        field = provenance_field([*body, names.label, names.created_at, names.source])
        documents = self._documents(problem)
        before = documents.find_one({"_id": identifier}) or {}
        predicted = prediction.label if prediction is not None else None
        if predicted is None:
            predicted = (before.get(field) or {}).get("predicted")
        provenance = {
            SENDER: chosen[SENDER],
            "request_id": chosen["request_id"],
            "prediction_id": self.prediction_id,
            "predicted": predicted,
            "updated_at": chosen["updated_at"],
            "revision": chosen["revision"],
        }
        created_at = paths.read(before, names.created_at)
        document = paths.nest(
            {
                **{name: paths.read(body, name) for name in inputs_of(problem).names},
                names.label: problem.labels[chosen["label"]],
                names.source: FEEDBACK,
                names.created_at: chosen["created_at"]
                if created_at is paths.MISSING
                else created_at,
                field: provenance,
            }
        )
        documents.update_one({"_id": identifier}, {"$set": document}, upsert=True)

    def _remove_document(self) -> None:
        if self.problem is not None:
            documents = self._documents(self.problem)
            documents.delete_one({"_id": document_id(self.prediction_id)})

    def _end(
        self,
        statements: Iterable[Document],
        state: State,
        kept: timedelta | None,
        document: Document | None = None,
    ) -> None:
        """Write a state, unless a statement has changed; what a person has to decide stays."""
        changes: dict[str, dict[str, Any]] = {"$set": {"state": state}, "$unset": {}}
        if kept is None:
            changes["$unset"]["forget_at"] = ""
        else:
            changes["$set"]["forget_at"] = datetime.now(UTC) + kept
        if document is None:
            changes["$unset"]["document"] = ""
        else:
            changes["$set"]["document"] = document
        changes = {operator: fields for operator, fields in changes.items() if fields}
        for each in statements:
            same = {"_id": each["_id"], "revision": each["revision"]}
            open_statements(self.log).update_one(same, changes)

    def _end_others(self, standing: Sequence[Document], kept: timedelta) -> None:
        for each in self.statements:
            if each not in standing:
                self._end([each], _ENDED[each["decision"]], kept)


def _mark(chosen: Mapping[str, Any]) -> Document:
    """Return what a prediction is marked with."""
    return {
        "label": chosen["label"],
        "created_at": chosen["updated_at"],
        SENDER: chosen[SENDER],
        "request_id": chosen["request_id"],
    }
