"""Accounts: what has become of each document between two snapshots, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.reasons import Reason, ReasonCode

COMPARED = ("id", "raw_label", "digest", "status")


@dataclass(frozen=True)
class Accounts:
    """The documents of a snapshot, and how they differ from those of the one before.

    Attributes
    ----------
    live : int
        How many documents the collection had: those used, in quarantine, and duplicates.
    used, duplicates : int
        Documents that are used, and copies of them.
    in_quarantine : mapping of Reason to int
        Why others cannot be used now.
    new, corrected, edited, deleted : int
        Documents that came, that got another label, of which something else changed, and that are
        gone.
    quarantined : mapping of Reason to int
        Why documents cannot be used that were used before, or are new.
    released : int
        Documents that were in quarantine, and are not any more.
    """

    live: int = 0
    used: int = 0
    duplicates: int = 0
    in_quarantine: Mapping[Reason, int] = field(default_factory=dict)
    new: int = 0
    corrected: int = 0
    edited: int = 0
    deleted: int = 0
    quarantined: Mapping[Reason, int] = field(default_factory=dict)
    released: int = 0

    @property
    def changed(self) -> int:
        """How many documents differ from those of the snapshot before."""
        return self.new + self.corrected + self.edited + self.deleted

    def without_changes(self) -> Accounts:
        """Return the accounts of the next snapshot if nothing happens until then."""
        return Accounts(self.live, self.used, self.duplicates, self.in_quarantine)

    def as_json(self) -> dict[str, Any]:
        """Return the accounts as JSON has them."""
        return {
            name: {reason.key: count for reason, count in value.items()}
            if isinstance(value, Mapping)
            else value
            for name, value in vars(self).items()
        }

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Accounts:
        """Return accounts from what `as_json` returned."""
        parts: dict[str, Any] = {
            name: {Reason.parse(key): count for key, count in value.items()}
            if isinstance(value, Mapping)
            else value
            for name, value in said.items()
        }
        return cls(**parts)


def account(before: pa.Table | None, after: pa.Table) -> Accounts:
    """Compare the judged documents of two snapshots.

    Parameters
    ----------
    before, after : Table
        What `perennial.documents.judgement.judge` returned, with ``digest``. `before` may be None,
        and needs the columns `COMPARED` only.
    """
    if before is None:
        before = after.slice(0, 0)
    places = pc.index_in(after["id"], before["id"].combine_chunks())
    is_new = places.is_null().to_numpy()
    known = np.flatnonzero(~is_new)
    earlier = places.drop_null().to_numpy()
    differs = _differ(_at(before["digest"], earlier), _at(after["digest"], known))
    changed = np.flatnonzero(differs)
    earlier_labels = _at(before["raw_label"], earlier[changed])
    corrected = _differ(earlier_labels, _at(after["raw_label"], known[changed]))
    was_held = np.zeros(len(after), np.bool_)
    was_held[known] = _is(before, "quarantined")[earlier]
    held = _is(after, "quarantined")
    accounts = Accounts(
        live=len(after),
        used=int(_is(after, "used").sum()),
        duplicates=int(_is(after, "duplicate").sum()),
        in_quarantine=reasons_of(after, held),
        new=int(is_new.sum()),
        corrected=int(corrected.sum()),
        edited=int((~corrected).sum()),
        deleted=len(before) - len(known),
        quarantined=reasons_of(after, held & ~was_held),
        released=int((was_held & ~held).sum()),
    )
    _require_sums(accounts, len(before))
    return accounts


def _require_sums(accounts: Accounts, before: int) -> None:
    parts = accounts.used + accounts.duplicates + sum(accounts.in_quarantine.values())
    if accounts.live != parts or accounts.live != before + accounts.new - accounts.deleted:
        raise AssertionError(f"documents are unaccounted for: {accounts}, after {before}")


def _at(values: pa.ChunkedArray, rows: NDArray[np.integer[Any]]) -> pa.ChunkedArray:
    return values.take(pa.array(rows))


def _is(rows: pa.Table, status: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.equal(rows["status"], status).to_numpy()
    return found


def _differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> NDArray[np.bool_]:
    both_null = pc.and_(pc.is_null(one), pc.is_null(other))
    same = pc.or_(pc.fill_null(pc.equal(one, other), fill_value=False), both_null)
    differ: NDArray[np.bool_] = ~same.to_numpy()
    return differ


def reasons_of(rows: pa.Table, where: NDArray[np.bool_]) -> dict[Reason, int]:
    """Return why some judged documents cannot be used, the most frequent reason first."""
    some = rows.select(["code", "field"]).filter(pa.array(where))
    counts = some.group_by(["code", "field"], use_threads=False).aggregate([([], "count_all")])
    found = {
        Reason(ReasonCode(row["code"]), row["field"]): row["count_all"]
        for row in counts.to_pylist()
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
