"""Tombstones: which documents were erased, so that they are never read again.

A tombstone has no content, and not even the document's id, which may be an address or a name: it
has a digest of it, by which the document is recognised when it is met again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

import pyarrow as pa

from perennial.hashing import digest

TOMBSTONE = "tombstone"


def digest_of_id(problem: str, key: str) -> str:
    """Return the hexadecimal digest by which an erased document is recognised.

    Parameters
    ----------
    problem : str
        Name of the problem; the same id of another problem has another digest.
    key : str
        The document's id; see `perennial.documents.keys.document_key`.
    """
    return digest(f"{problem}\0{key}".encode("utf-8", "surrogatepass")).hex()


@dataclass(frozen=True)
class Tombstone:
    """What is kept of an erased document.

    Attributes
    ----------
    document : str
        Digest of its id.
    at : datetime
        When it was erased.
    by, why : str
        Who did it, and the reason.
    learned_by : tuple of int
        The registered versions that had learned from it.
    """

    document: str
    at: datetime
    by: str
    why: str
    learned_by: tuple[int, ...] = ()

    def as_json(self) -> str:
        """Return what the record of the tombstone says beside the digest."""
        said = {"at": self.at.isoformat(), "by": self.by, "why": self.why}
        return json.dumps(said | {"learned_by": self.learned_by})


@dataclass(frozen=True)
class Tombstones:
    """The tombstones of a problem: document ids are in it, as `in` says.

    Attributes
    ----------
    problem : str
        Name of the problem.
    documents : mapping of str to Tombstone
        The tombstone of each digest.
    """

    problem: str
    documents: dict[str, Tombstone] = field(default_factory=dict)

    @classmethod
    def read(cls, problem: str, rows: pa.Table) -> Self:
        """Return tombstones from the columns ``id`` and ``record`` of their rows."""
        found = {}
        for row in rows.to_pylist():
            said = json.loads(row["record"])
            at = datetime.fromisoformat(said["at"])
            learned_by = tuple(said.get("learned_by", ()))
            found[row["id"]] = Tombstone(row["id"], at, said["by"], said["why"], learned_by)
        return cls(problem, found)

    def __contains__(self, key: str) -> bool:
        return bool(self.documents) and digest_of_id(self.problem, key) in self.documents

    def __len__(self) -> int:
        return len(self.documents)

    def mask(self, keys: Iterable[str]) -> pa.Array:
        """Return which of some document ids were erased."""
        return pa.array([key in self for key in keys], pa.bool_())
