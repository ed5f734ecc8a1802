"""Ingest: what has changed in MongoDB since the last snapshot, into the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pymongo.collection import Collection

from perennial import times
from perennial.commands import command, counted
from perennial.concurrency import ahead
from perennial.config.problem import Problem
from perennial.documents.accounts import Accounts
from perennial.documents.judgement import Rules
from perennial.documents.keys import document_key
from perennial.documents.revisions import Found, deletions, reading_digest, schema_of, to_revisions
from perennial.errors import OutsideError
from perennial.inputs.base import inputs_of
from perennial.inputs.identity import CURRENT_IDENTITY, FIRST_IDENTITY
from perennial.settings import get_settings
from perennial.stores import mongodb
from perennial.stores.change_stream import current_token, touched_since
from perennial.stores.changes import Changes, Known, read_arrivals, read_ids, reconcile
from perennial.stores.documents import open_documents
from perennial.stores.dropped import Dropped, read_dropped
from perennial.stores.snapshots.store import Draft, Snapshot, SnapshotConflictError, SnapshotStore
from tasks.data.quarantine import explain_quarantine
from tasks.orchestration.retries import NETWORK

_CONFLICTS = 5


@dataclass(frozen=True)
class IngestResult:
    """What one ingestion did.

    Attributes
    ----------
    snapshot : Snapshot
        The newest snapshot, whether this ingestion wrote it or found it.
    accounts : Accounts
        Its documents, and what this ingestion changed.
    read_anew : bool
        Whether the problem's file reads documents in another way than before, so that what changed
        may have changed by that.
    erased : int
        Documents that were erased, and are not read even if MongoDB has them.
    dropped : int
        Documents that were dropped from quarantine, and are not read until they change.
    """

    snapshot: Snapshot
    accounts: Accounts
    read_anew: bool = False
    erased: int = 0
    dropped: int = 0


@task(name="ingest", cache_policy=NO_CACHE, **NETWORK)
def ingest(problem: Problem, *, rescan: bool = False) -> IngestResult:
    """Bring the problem's snapshots up to what MongoDB has now.

    Parameters
    ----------
    problem : Problem
        Where the documents are and what makes them usable.
    rescan : bool
        Compare every document of the collection with the last snapshot, whatever its size.

    Raises
    ------
    OutsideError
        If MongoDB or the snapshots cannot be used, or if there is no usable document at all.
    """
    store = SnapshotStore(problem.name, get_settings())
    result = bring_up_to_date(problem, store, rescan=rescan)
    _report(problem, result)
    return result


def bring_up_to_date(
    problem: Problem, store: SnapshotStore, *, rescan: bool = False, identity: int | None = None
) -> IngestResult:
    """Do what `ingest` does, without a report.

    Parameters
    ----------
    problem, rescan
        As for `ingest`.
    store : SnapshotStore
        The snapshots of the problem.
    identity : int, optional
        Version of the identity of the inputs; that of the last snapshot unless given.
    """
    for _ in range(_CONFLICTS):
        try:
            result = _ingest_once(problem, store, rescan=rescan, identity=identity)
        except SnapshotConflictError:
            get_run_logger().info("Another retraining ingested at the same time; reading again.")
        else:
            _require_documents(problem, store, result.snapshot)
            return result
    raise OutsideError(
        f"{_CONFLICTS} ingestions in a row lost to another one at {store.uri} (DATA_URI); "
        "run one retraining of a problem at a time."
    )


def _report(problem: Problem, result: IngestResult) -> None:
    logger, done = get_run_logger(), result.accounts
    logger.info(
        "Compared %s.%s with the last snapshot: %s new, %s corrected, %s edited, %s deleted, "
        "%s released from quarantine.",
        problem.source.database,
        problem.source.collection,
        *(f"{n:,}" for n in (done.new, done.corrected, done.edited, done.deleted, done.released)),
    )
    if result.read_anew:
        logger.info(
            "Every document was read anew, as problems/%s.yaml or this release reads them in "
            "another way than before; so documents may count as changed that nobody has changed.",
            problem.name,
        )
    if result.erased:
        logger.info(
            "Documents that were erased, and are not read even if they are in the collection: %s.",
            f"{result.erased:,}",
        )
    if result.dropped:
        logger.info(
            "Documents that were dropped from quarantine, and are not read until they change: %s.",
            f"{result.dropped:,}",
        )
    held = sum(done.in_quarantine.values())
    logger.info(
        "Snapshot %s has %s: %s used, %s in quarantine, %s.",
        result.snapshot.version,
        counted(done.live, "document"),
        f"{done.used:,}",
        f"{held:,}",
        counted(done.duplicates, "duplicate"),
    )
    for reason, count in done.quarantined.items():
        logger.warning("Quarantined %s: %s", f"{count:,}", reason)
    if done.quarantined:
        logger.warning("`%s` shows them.", command("quarantine", problem.name))


def _ingest_once(
    problem: Problem, store: SnapshotStore, *, rescan: bool, identity: int | None
) -> IngestResult:
    before = store.latest()
    with mongodb.connect(get_settings(), problem.name) as client:
        collection = open_documents(client, problem)
        identity = identity or _identity_of(before)
        dropped = read_dropped(client[problem.source.database], problem.name)
        look = _Look(problem, store, before, collection, dropped, identity=identity, rescan=rescan)
        revisions = _revisions(problem, look)
        first = next(revisions, None)
        if first is None and before is not None and not look.judges_anew:
            unchanged = before.accounts.without_changes()
            return IngestResult(before, unchanged, erased=look.erased, dropped=len(dropped))
        if first is None and before is None:
            raise _empty(problem)
        rows = revisions if first is None else chain([first], revisions)
        snapshot = store.append(rows, look.draft(), before)
    read_anew = before is not None and look.read_anew
    return IngestResult(snapshot, snapshot.accounts, read_anew, look.erased, len(dropped))


def _identity_of(before: Snapshot | None) -> int:
    """Return the version of the identity with which a problem goes on."""
    if before is None:
        return CURRENT_IDENTITY
    return FIRST_IDENTITY if before.draft is None else before.draft.identity


class _Look:
    """How one ingestion looks for changes.

    The place in the change stream is noted before anything is read: what changes meanwhile is read
    once more next time.
    """

    def __init__(
        self,
        problem: Problem,
        store: SnapshotStore,
        before: Snapshot | None,
        collection: Collection[mongodb.Document],
        dropped: Dropped,
        *,
        identity: int,
        rescan: bool,
    ) -> None:
        draft = before.draft if before is not None else None
        self._draft = Draft(
            rules=Rules.of(problem),
            reading=reading_digest(problem, identity),
            identity=identity,
            kinds=inputs_of(problem).fields,
            reconciled_at=draft.reconciled_at if draft else None,
        )
        self.identity = identity
        read_anew = draft is None or draft.reading != self._draft.reading
        self.read_anew = read_anew
        # What is the same is said by other hashes, though no document has changed.
        self.hashes_anew = draft is not None and draft.identity != identity
        # Documents of the last snapshot may have been erased: the next one is without them.
        has_gaps = before is not None and before.remains is not None
        self.judges_anew = (
            read_anew or has_gaps or draft is None or draft.rules != self._draft.rules
        )
        self._erased, self._dropped = store.erased(), dropped
        now = datetime.now(UTC)
        touched = None
        if draft is not None and draft.resume_token and not read_anew and not rescan:
            touched = touched_since(collection, draft.resume_token)
        ids, token = touched if touched is not None else (None, current_token(collection))
        is_small = collection.estimated_document_count() <= problem.source.reconcile.up_to
        is_due = (
            draft is None
            or draft.reconciled_at is None
            or (now >= times.after(draft.reconciled_at, problem.source.reconcile.every))
        )
        if ids == [] and not is_due:
            self.known, self.changes = Known(store.known_ids(None)), Changes(iter(()))
        else:
            watermark = before.watermark if before is not None else None
            self.known = Known(store.known_ids(before), watermark, read_anew)
            if read_anew or rescan or is_due or (ids is None and is_small):
                self.changes = reconcile(collection, problem, self.known)
            elif ids is not None:
                self.changes = read_ids(collection, problem, self.known, ids)
            else:
                since = before.taken_at if before is not None else None
                self.changes = read_arrivals(collection, problem, self.known, since)
        self._token = token
        self._now = now

    @property
    def erased(self) -> int:
        """How many documents were erased, and are never read again."""
        return len(self._erased)

    def found(self) -> Iterator[list[Found]]:
        """Yield the documents that are new or may have changed, but for those that are let go."""
        for some in ahead(self.changes.found):
            kept = [each for each in some if not self._lets_go(each)]
            if kept:
                yield kept

    def _lets_go(self, found: Found) -> bool:
        """Return whether a document was erased, or dropped as it is now."""
        if not (self._erased or self._dropped):
            return False
        key = document_key(found.document["_id"])
        return key in self._erased or self._dropped.has(key, found.stored)

    def deleted(self) -> list[str]:
        """Return the ids of the known documents that are gone, or known and to be let go."""
        if not (self._erased or self._dropped):
            return self.changes.deleted
        known = zip(self.known.documents["id"].to_pylist(), self.known.stored.tolist(), strict=True)
        let_go = [
            key for key, stored in known if key in self._erased or self._dropped.has(key, stored)
        ]
        return list(dict.fromkeys([*self.changes.deleted, *let_go]))

    def draft(self) -> Draft:
        """Return what is known of the next snapshot."""
        complete = self.changes.is_complete
        return replace(
            self._draft,
            resume_token=self._token,
            reconciled_at=self._now if complete else self._draft.reconciled_at,
        )


def _revisions(problem: Problem, look: _Look) -> Iterator[pa.Table]:
    """Yield the revisions of what has really changed, batch by batch."""
    for found in look.found():
        rows = to_revisions(found, problem, look.identity)
        if not look.hashes_anew:
            stored = [each.stored for each in found]
            same = look.known.are_same(rows["id"].to_pylist(), stored, rows["digest"])
            rows = rows.filter(pa.array(~same))
        if len(rows):
            yield rows
    if deleted := look.deleted():
        yield deletions(deleted, schema_of(inputs_of(problem)))


def _require_documents(problem: Problem, store: SnapshotStore, snapshot: Snapshot) -> None:
    if not snapshot.accounts.live and not snapshot.documents:
        raise _empty(problem)
    if not snapshot.documents:
        raise OutsideError(explain_quarantine(problem, store, snapshot))


def _empty(problem: Problem) -> OutsideError:
    where = f"{problem.source.database}.{problem.source.collection}"
    seed = command("seed", problem.name)
    if problem.source.query:
        return OutsideError(
            f"The MongoDB collection {where} has no document that source.query finds; check "
            f"MONGODB_URI and the source and its query in problems/{problem.name}.yaml, or load "
            f"documents with `{seed}`."
        )
    return OutsideError(
        f"The MongoDB collection {where} is empty; check MONGODB_URI and the source and fields "
        f"in problems/{problem.name}.yaml, or load documents with `{seed}`."
    )
