"""What people see of feedback, and decide: who sends how much, what waits, what is taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.config.problem import Problem
from perennial.config.sections.feedback import FEEDBACK, ID_PREFIX, SENDER, provenance_field
from perennial.documents.feedback import ANONYMOUS
from perennial.inputs.base import inputs_of
from perennial.stores.feedback import Decision, open_decisions, open_statements, settle

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database

    from perennial.stores.mongodb import Document


@dataclass
class Sender:
    """What one sender has said.

    Attributes
    ----------
    name : str
        Digest of the API key, or `perennial.documents.feedback.ANONYMOUS`.
    documents : int
        Documents in the collection that bear the sender's label.
    agreeing : int
        How many of them have the label that was predicted.
    disputed : int
        Statements on predictions of which somebody else says something different.
    in_review : int
        Statements that wait for a person.
    first, last : datetime or None
        When the first and the last of them came.
    """

    name: str
    documents: int = 0
    agreeing: int = 0
    disputed: int = 0
    in_review: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def saw(self, *times: datetime | None) -> None:
        """Take times into account at which the sender said something."""
        known = [time for time in (self.first, self.last, *times) if time is not None]
        self.first, self.last = min(known, default=None), max(known, default=None)


@dataclass(frozen=True)
class InReview:
    """A statement that waits for a person.

    Attributes
    ----------
    prediction_id : str
        The prediction.
    sender : str
        As in `Sender`.
    label : str
        What the sender says.
    document : mapping of str to Any or None
        The input, if it is still known.
    """

    prediction_id: str
    sender: str
    label: str
    document: Mapping[str, Any] | None


@dataclass(frozen=True)
class Ledger:
    """The feedback on one problem's predictions.

    Attributes
    ----------
    client : MongoClient
        The server of the problem's collection.
    log : Database
        The database of the prediction log.
    problem : Problem
        The problem.
    kept : timedelta
        How long statements are remembered on which nobody has to decide any more.
    """

    client: MongoClient[Document]
    log: Database[Document]
    problem: Problem
    kept: timedelta

    def senders(self) -> list[Sender]:
        """Return every sender, whoever has the most documents first."""
        found: dict[str, Sender] = {}
        names, field = self.problem.source.fields, self._field
        stored = self.problem.labels
        groups = {
            "_id": {
                SENDER: f"${field}.{SENDER}",
                "predicted": f"${field}.predicted",
                "label": f"${names.label}",
            },
            "count": {"$sum": 1},
            "first": {"$min": f"${names.created_at}"},
            "last": {"$max": f"${names.created_at}"},
        }
        for each in self._documents.aggregate([{"$match": self._made}, {"$group": groups}]):
            key = each["_id"]
            name = _name(key.get(SENDER))
            sender = found.setdefault(name, Sender(name))
            sender.documents += each["count"]
            if key.get("predicted") in stored and stored[key["predicted"]] == key["label"]:
                sender.agreeing += each["count"]
            sender.saw(each["first"], each["last"])
        self._count_statements(found)
        return sorted(found.values(), key=lambda each: (-each.documents, each.name))

    def in_review(self, limit: int) -> list[InReview]:
        """Return statements that wait for a person, those on one prediction side by side."""
        order = [("prediction_id", 1), ("created_at", 1)]
        return [
            InReview(
                each["prediction_id"], _name(each[SENDER]), each["label"], each.get("document")
            )
            for each in open_statements(self.log).find(self._waiting).sort(order).limit(limit)
        ]

    def withdraw(self, name: str, *, by: str, why: str) -> int:
        """Take a sender's documents out of the collection; return how many these were."""
        before = self._documents.count_documents(self._of(name))
        self._decide({"problem": self.problem.name, SENDER: _sender(name)}, "withdrawn")
        # What the ledger has forgotten by now, too.
        self._documents.delete_many(self._of(name))
        self._note("withdrawn", name, None, before, by=by, why=why)
        return before

    def decide(self, decision: Decision, name: str, label: str | None, *, by: str, why: str) -> int:
        """Decide on statements that wait: a sender's, or those on a prediction.

        Parameters
        ----------
        decision : Decision
            ``accepted`` or ``rejected``.
        name : str
            The sender, or the id of the prediction.
        label : str or None
            Only statements with this label; None for all.
        by, why : str
            Who decides it, and the reason.

        Returns
        -------
        int
            How many statements this decides.
        """
        count = self._decide(self.selected(name, label), decision)
        self._note(decision, name, label, count, by=by, why=why)
        return count

    def selected(self, name: str, label: str | None) -> dict[str, Any]:
        """Return a query for what waits: of a sender or on a prediction, of a label or of all."""
        about = {"$or": [{SENDER: _sender(name)}, {"prediction_id": name}]}
        return self._waiting | about | ({} if label is None else {"label": label})

    def labels(self, name: str) -> dict[str, set[str]]:
        """Return prediction -> labels that wait: of a sender, or on a prediction."""
        found: dict[str, set[str]] = {}
        for each in open_statements(self.log).find(self.selected(name, None)):
            found.setdefault(each["prediction_id"], set()).add(each["label"])
        return found

    def _decide(self, wanted: dict[str, Any], decision: Decision) -> int:
        statements = open_statements(self.log)
        ids = [each["_id"] for each in statements.find(wanted, {"_id": 1})]
        change = {"$set": {"decision": decision}, "$inc": {"revision": 1}}
        statements.update_many({"_id": {"$in": ids}}, change)
        for prediction in sorted(statements.distinct("prediction_id", {"_id": {"$in": ids}})):
            settle(self.client, self.log, self.problem, prediction, kept=self.kept)
        return len(ids)

    def _note(
        self, decision: Decision, name: str, label: str | None, count: int, *, by: str, why: str
    ) -> None:
        """Write down who has decided what; the notes stay."""
        note = {
            "problem": self.problem.name,
            "decision": decision,
            "about": name,
            "label": label,
            "count": count,
            "by": by,
            "why": why,
            "created_at": datetime.now(UTC),
        }
        open_decisions(self.log).insert_one(note)

    @property
    def _documents(self) -> Collection[Document]:
        return self.client[self.problem.source.database][self.problem.source.collection]

    @property
    def _field(self) -> str:
        names = self.problem.source.fields
        read = inputs_of(self.problem).names
        return provenance_field([*read, names.label, names.created_at, names.source])

    @property
    def _made(self) -> dict[str, Any]:
        """A query for the documents that feedback has made."""
        by_id = {"_id": {"$regex": f"^{ID_PREFIX}"}}
        return {"$or": [by_id, {self.problem.source.fields.source: FEEDBACK}]}

    @property
    def _waiting(self) -> dict[str, Any]:
        return {"problem": self.problem.name, "state": "review"}

    def _of(self, name: str) -> dict[str, Any]:
        """Return a query for the documents that bear a sender's label."""
        # No sender is found by null, also where there is no field that could have one.
        return self._made | {f"{self._field}.{SENDER}": _sender(name)}

    def _count_statements(self, found: dict[str, Sender]) -> None:
        """Add what the ledger knows: who is contradicted, and what waits."""
        statements = open_statements(self.log)
        standing = {"problem": self.problem.name, "state": {"$nin": ["withdrawn", "lost"]}}
        by_prediction = {
            "_id": "$prediction_id",
            "labels": {"$addToSet": "$label"},
            "senders": {"$addToSet": f"${SENDER}"},
        }
        contradicted: list[dict[str, Any]] = [
            {"$match": standing},
            {"$group": by_prediction},
            {"$match": {"labels.1": {"$exists": True}}},
            {"$unwind": "$senders"},
            {"$group": {"_id": "$senders", "count": {"$sum": 1}}},
        ]
        for each in statements.aggregate(contradicted):
            name = _name(each["_id"])
            found.setdefault(name, Sender(name)).disputed = each["count"]
        waiting = {
            "_id": f"${SENDER}",
            "count": {"$sum": 1},
            "first": {"$min": "$created_at"},
            "last": {"$max": "$updated_at"},
        }
        for each in statements.aggregate([{"$match": self._waiting}, {"$group": waiting}]):
            name = _name(each["_id"])
            sender = found.setdefault(name, Sender(name))
            sender.in_review = each["count"]
            sender.saw(each["first"], each["last"])


def _name(sender: str | None) -> str:
    return ANONYMOUS if sender is None else sender


def _sender(name: str) -> str | None:
    return None if name == ANONYMOUS else name
