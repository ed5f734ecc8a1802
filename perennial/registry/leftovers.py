"""Leftovers: versions and runs of the past that nothing needs any more; plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from perennial.registry.model_version import ModelVersion


@dataclass(frozen=True)
class PastRun:
    """A run of MLflow, as far as it matters for how long it is kept.

    Attributes
    ----------
    run_id : str
        Its id.
    kind : str or None
        What it was for; None for a run of another program.
    parent : str or None
        The id of the run that it is part of.
    started : datetime
        When it began.
    is_running : bool
        Whether it has not ended.
    """

    run_id: str
    kind: str | None
    parent: str | None
    started: datetime
    is_running: bool


def needed_versions(
    versions: Sequence[ModelVersion],
    *,
    aliased: Collection[int],
    line: Collection[int],
    newest: int,
) -> dict[int, str]:
    """Return why versions are kept: number -> the reason, as a noun.

    Parameters
    ----------
    versions : sequence of ModelVersion
        All versions of a problem.
    aliased : collection of int
        The versions that an alias names.
    line : collection of int
        The versions that are or were Production.
    newest : int
        How many of the newest are kept in any case.
    """
    last = sorted((each.version for each in versions), reverse=True)[:newest]
    reasons: dict[int, str] = {}
    for each in versions:
        number = each.version
        if number in aliased:
            reasons[number] = "an alias"
        elif number in line:
            reasons[number] = "Production's line"
        elif each.is_kept:
            reasons[number] = "the tag perennial.keep"
        elif each.waits:
            reasons[number] = "an open question"
        elif each.rolled_back is not None:
            # A retraining that makes the same model again must not promote it.
            reasons[number] = "a rollback"
        elif number in last:
            reasons[number] = "among the newest"
    anchors = {each.anchor for each in versions if each.version in reasons}
    there = {each.version for each in versions}
    return dict.fromkeys(anchors & there, "an anchor") | reasons


def expendable_runs(
    runs: Sequence[PastRun], *, needed: Collection[str], since: datetime
) -> list[PastRun]:
    """Return the runs that can be removed, those below others first.

    A run is kept with everything above and below it if one of these is needed, still runs, or
    began after `since`. Of each kind the newest run is kept: it says what there was last.

    Parameters
    ----------
    runs : sequence of PastRun
        All runs of a problem.
    needed : collection of str
        The ids of runs that made a version that is kept.
    since : datetime
        Until when runs must have begun to be removed.
    """
    families: dict[str, list[PastRun]] = {}
    parents = {run.run_id: run.parent for run in runs}
    for run in runs:
        families.setdefault(_root(run.run_id, parents), []).append(run)
    newest: dict[str | None, PastRun] = {}
    for run in sorted(runs, key=lambda run: run.started):
        newest[run.kind] = run
    spared = {run.run_id for run in newest.values()} | set(needed)
    found = [
        run
        for family in families.values()
        if not any(
            run.run_id in spared or run.is_running or run.started >= since or run.kind is None
            for run in family
        )
        for run in family
    ]
    return deepest_first(found)


def deepest_first(runs: Sequence[PastRun]) -> list[PastRun]:
    """Return runs in the order in which they are removed: none before what is below it."""
    parents = {run.run_id: run.parent for run in runs}
    return sorted(runs, key=lambda run: _depth(run.run_id, parents), reverse=True)


def _root(run_id: str, parents: Mapping[str, str | None]) -> str:
    while (above := parents.get(run_id)) is not None and above in parents:
        run_id = above
    return run_id


def _depth(run_id: str, parents: Mapping[str, str | None]) -> int:
    depth = 0
    while (above := parents.get(run_id)) is not None and above in parents:
        run_id, depth = above, depth + 1
    return depth
