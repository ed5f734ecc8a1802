"""Migrate: the same documents with the identity of today, and which of them change sides."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.config.problem import Problem
from perennial.documents.documents import from_feedback
from perennial.errors import OutsideError
from perennial.inputs.identity import CURRENT_IDENTITY
from perennial.settings import get_settings
from perennial.splits.split import SplitRule, split_documents
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from tasks.data.ingest import bring_up_to_date
from tasks.orchestration.retries import NETWORK


@dataclass(frozen=True)
class Migration:
    """What the identity of today has changed.

    Attributes
    ----------
    snapshot : Snapshot
        The first one with it.
    into_holdout, into_training : int
        Documents that changed sides.
    released, duplicates : int
        Documents that were duplicates or in quarantine and are used now, and the other way round.
    """

    snapshot: Snapshot
    into_holdout: int
    into_training: int
    released: int
    duplicates: int


@task(name="migrate identity", cache_policy=NO_CACHE, **NETWORK)
def migrate_identity(problem: Problem) -> Migration | None:
    """Write a snapshot with the identity of today; return None where it is used already.

    Raises
    ------
    OutsideError
        If there is no snapshot, or if MongoDB or the snapshots cannot be used.
    """
    store, logger = SnapshotStore(problem.name, get_settings()), get_run_logger()
    before = store.latest()
    if before is None:
        raise OutsideError(
            f"There is no snapshot of {problem.name!r} yet, so that there is nothing to migrate: "
            "its first retraining uses the identity of today."
        )
    if before.draft is not None and before.draft.identity == CURRENT_IDENTITY:
        logger.info("%s uses the identity of today already; nothing to do.", problem.name)
        return None
    # Otherwise what has changed in the collection since would count as moved.
    before = bring_up_to_date(problem, store).snapshot
    after = bring_up_to_date(problem, store, identity=CURRENT_IDENTITY).snapshot
    migration = _compare(problem, store, before, after)
    logger.info(
        "Snapshot %s of %s has the identity of today. Documents that went from training into the "
        "holdout: %s, the other way: %s; used and were not before: %s, not used any more: %s.",
        after.version,
        problem.name,
        *(
            f"{count:,}"
            for count in (
                migration.into_holdout,
                migration.into_training,
                migration.released,
                migration.duplicates,
            )
        ),
    )
    return migration


def _compare(
    problem: Problem, store: SnapshotStore, before: Snapshot, after: Snapshot
) -> Migration:
    then, now = (_sides(problem, store.read_keys(each)) for each in (before, after))
    places = pc.index_in(now["id"], then["id"].combine_chunks())
    known = places.is_valid()
    earlier = then["in_holdout"].take(places.filter(known))
    later = now["in_holdout"].filter(known)
    return Migration(
        snapshot=after,
        into_holdout=_count(pc.and_(later, pc.invert(earlier))),
        into_training=_count(pc.and_(earlier, pc.invert(later))),
        released=len(now) - _count(known),
        duplicates=len(then) - _count(known),
    )


def _sides(problem: Problem, keys: pa.Table) -> pa.Table:
    may_judge = ~from_feedback(keys) | problem.feedback.is_judged_on
    sides = split_documents(keys, SplitRule.of(problem), may_judge)
    return pa.table({"id": keys["id"], "in_holdout": pa.array(sides.holdout)})


def _count(where: pa.ChunkedArray | pa.Array) -> int:
    return int(pc.sum(where).as_py() or 0)
