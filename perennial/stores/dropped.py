"""Dropped documents: quarantine does not hold them, since a person said that they are of no use.

A mark names one state of a document: once the document changes in MongoDB, or the problem's file
reads it in another way, it is judged again. As of erased documents only a digest of the id is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from perennial.stores.snapshots.tombstones import digest_of_id

if TYPE_CHECKING:
    from pymongo.database import Database

    from perennial.stores.mongodb import Document

COLLECTION = "perennial_dropped"


@dataclass(frozen=True)
class Dropped:
    """The documents of a problem that were dropped.

    Attributes
    ----------
    problem : str
        Name of the problem.
    states : mapping of str to int
        Digest of each document's id -> digest of what MongoDB sent when it was dropped.
    """

    problem: str
    states: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.states)

    def has(self, key: str, stored: int) -> bool:
        """Return whether a document was dropped as it is now.

        Parameters
        ----------
        key : str
            The document's id; see `perennial.documents.keys.document_key`.
        stored : int
            Digest of what MongoDB sends of it.
        """
        # An id takes longer to digest than a number to look up, and most documents are not meant.
        if stored not in self._stored:
            return False
        return self.states.get(digest_of_id(self.problem, key)) == stored

    @cached_property
    def _stored(self) -> frozenset[int]:
        return frozenset(self.states.values())


def read_dropped(database: Database[Document], problem: str) -> Dropped:
    """Return the documents of a problem that were dropped."""
    found = database[COLLECTION].find({"problem": problem}, {"document": 1, "stored": 1})
    return Dropped(problem, {each["document"]: int(each["stored"]) for each in found})


def drop(
    database: Database[Document],
    problem: str,
    documents: Iterable[tuple[str, int]],
    *,
    by: str,
    why: str,
) -> None:
    """Note that documents are of no use.

    Parameters
    ----------
    database : Database
        That of the problem.
    problem : str
        Name of the problem.
    documents : iterable of (str, int)
        The id of each, and the digest of what MongoDB sends of it.
    by, why : str
        Who said so, and the reason.
    """
    said = {"problem": problem, "by": by, "why": why, "at": datetime.now(UTC)}
    marks = [
        {"document": digest_of_id(problem, key), "stored": stored, **said}
        for key, stored in documents
    ]
    known = database[COLLECTION]
    # The mark of another state of the same document has done its work.
    known.delete_many({"problem": problem, "document": {"$in": [m["document"] for m in marks]}})
    if marks:
        known.insert_many(marks)


def take_back(database: Database[Document], problem: str) -> int:
    """Forget what was dropped of a problem; return how many documents that were."""
    return int(database[COLLECTION].delete_many({"problem": problem}).deleted_count)
