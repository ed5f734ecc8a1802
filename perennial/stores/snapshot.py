"""The record of a snapshot: what it is, where it is, and by which rules it is judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from perennial.inputs.accounts import Accounts
from perennial.inputs.judgement import Rules

_TIMES = ("watermark", "taken_at", "reconciled_at")


@dataclass(frozen=True)
class Draft:
    """What is known of a snapshot before its revisions are written.

    Attributes
    ----------
    rules : Rules
        The labels and limits by which it is judged.
    reading : str
        Digest of how documents were read.
    identity : int
        Version of the identity that its contents are of.
    kinds : mapping of str to str, or None
        The fields of its records with their kinds; None if its inputs are texts.
    reconciled_at : datetime or None
        When the whole collection was last compared with the history.
    resume_token : str or None
        Where MongoDB's change stream goes on, as JSON; None if the server has none.
    """

    rules: Rules
    reading: str
    identity: int
    kinds: Mapping[str, str] | None
    reconciled_at: datetime | None = None
    resume_token: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """What one retraining sees.

    Attributes
    ----------
    problem : str
        Name of the problem.
    version : int
        Its number; a problem's snapshots are numbered from 0.
    digest : str
        Digest of the documents in it, whatever their order and files.
    documents : int
        How many documents can be used.
    uri : str
        Where the table is.
    watermark : datetime or None
        Newest time of creation of a document that was read, those dated in the future left out:
        they must not hide what arrives until then. None if no document had a date.
    draft : Draft or None
        How it was read and judged; None for one of the earlier layout.
    accounts : Accounts
        What has become of the documents since the snapshot before.
    taken_at : datetime or None
        When it was written; None for one of the earlier layout.
    began : int
        The first version whose revisions belong to it: what the earlier layout wrote does not.
    erased : int
        How many of the documents that could be used have been erased since.
    remains : str or None
        Digest of the documents that are left after an erasure; `digest`, by which versions name the
        snapshot, stays what it was.
    """

    problem: str
    version: int
    digest: str
    documents: int
    uri: str
    watermark: datetime | None = None
    draft: Draft | None = None
    accounts: Accounts = field(default_factory=Accounts)
    taken_at: datetime | None = None
    began: int = 0
    erased: int = 0
    remains: str | None = None

    @property
    def is_of_earlier_layout(self) -> bool:
        """Whether it was written before there were revisions."""
        return self.draft is None

    def as_json(self) -> str:
        """Return the record as JSON, without what names the problem and the place of the table."""
        said = {name: value for name, value in vars(self).items() if name not in ("problem", "uri")}
        said["accounts"] = self.accounts.as_json()
        if self.draft is not None:
            said["draft"] = vars(self.draft) | {"rules": vars(self.draft.rules)}
        return json.dumps(said, default=lambda value: value.isoformat())


def from_json(problem: str, uri: str, record: str) -> Snapshot:
    """Return a snapshot from its record."""
    said = _with_times(json.loads(record))
    said["accounts"] = Accounts.read(said["accounts"])
    if said["draft"] is not None:
        draft = _with_times(said["draft"])
        said["draft"] = Draft(**draft | {"rules": Rules.read(draft["rules"])})
    return Snapshot(problem=problem, uri=uri, **said)


def _with_times(said: dict[str, Any]) -> dict[str, Any]:
    times = {
        name: datetime.fromisoformat(said[name]) for name in _TIMES if said.get(name) is not None
    }
    return said | times
