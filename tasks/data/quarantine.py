"""Quarantine: which documents cannot be used now, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from rich.console import Console

from perennial.commands import command
from perennial.config.loader import how_to_change
from perennial.config.problem import Problem
from perennial.documents.judgement import Rules
from perennial.documents.revisions import reading_digest
from perennial.errors import OutsideError
from perennial.inputs.base import inputs_of
from perennial.reasons import Reason, ReasonCode
from perennial.settings import get_settings
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from tasks.orchestration.retries import NETWORK
from tasks.tables.base import TextTable

_EXAMPLES = 3
_SHOWN = 80
# What another reading of a file mends.
_BY_READING = {ReasonCode.MISSING, ReasonCode.UNKNOWN_LABEL, ReasonCode.WRONG_TYPE}
_OF_LIMITS = {ReasonCode.EMPTY, ReasonCode.TOO_SHORT, ReasonCode.TOO_LONG}


@dataclass(frozen=True, eq=False)
class Held:
    """Documents that are in quarantine for one reason.

    Attributes
    ----------
    reason : Reason
        What is wrong with them.
    count : int
        How many they are.
    examples : sequence of str
        What is wrong with some of them, each differently, with the value.
    remedy : str
        What a person can do, as a sentence.
    """

    reason: Reason
    count: int
    examples: Sequence[str]
    remedy: str


@task(name="quarantine", cache_policy=NO_CACHE, **NETWORK)
def show_quarantine(problem: Problem, show: str | None, limit: int) -> tuple[Held, ...]:
    """Print which documents of the newest snapshot cannot be used, as the file judges them now.

    Parameters
    ----------
    problem : Problem
        The problem.
    show : str or None
        A reason as the list names it, or its key; its documents are printed instead.
    limit : int
        How many of these at most.

    Raises
    ------
    OutsideError
        If there is no snapshot yet, or no document for this reason.
    """
    store = SnapshotStore(problem.name, get_settings())
    snapshot = require_snapshot(problem, store)
    rows = store.quarantine(snapshot, rules_of_now(problem, snapshot))
    held = held_documents(problem, rows)
    if show is not None:
        Console().print(examples_table(rows, require_reason(held, show), limit).rich())
    elif held:
        Console().print(quarantine_table(problem, held).rich())
    elif not snapshot.accounts.live:
        get_run_logger().info(
            "The last snapshot of %s has no documents: there were none to be used.", problem.name
        )
    else:
        get_run_logger().info(
            "Every one of the %s documents of %s can be used.",
            f"{snapshot.accounts.live:,}",
            problem.name,
        )
    return tuple(held)


def require_snapshot(problem: Problem, store: SnapshotStore) -> Snapshot:
    """Return the newest snapshot, by which quarantine is known.

    Raises
    ------
    OutsideError
        If there is none yet.
    """
    snapshot = store.latest()
    if snapshot is None or snapshot.is_of_earlier_layout:
        raise OutsideError(
            f"No snapshot of {problem.name!r} says yet what is in quarantine; run "
            f"`{command('retrain', problem.name)}` first."
        )
    return snapshot


def require_reason(held: Sequence[Held], name: str) -> Reason:
    """Return the reason that a person names.

    Raises
    ------
    OutsideError
        If no document is in quarantine for it.
    """
    found = next((each.reason for each in held if name in _names(each.reason)), None)
    if found is None:
        names = ", ".join(f'"{each.reason}"' for each in held) or "none now"
        raise OutsideError(f"No document is in quarantine for {name!r}; reasons are: {names}.")
    return found


def rules_of_now(problem: Problem, snapshot: Snapshot) -> Rules | None:
    """Return the rules of the problem's file of now; None if its documents must be read first."""
    draft, logger = snapshot.draft, get_run_logger()
    assert draft is not None
    if reading_digest(problem, draft.identity) != draft.reading:
        logger.warning(
            "These are the documents as snapshot %s has read them; problems/%s.yaml reads them in "
            "another way now, which `%s` tries.",
            snapshot.version,
            problem.name,
            command("quarantine", problem.name, "--retry"),
        )
        return None
    rules = Rules.of(problem)
    if rules != draft.rules:
        logger.info(
            "Labels and limits in problems/%s.yaml have changed since snapshot %s: this is what "
            "the next retraining finds.",
            problem.name,
            snapshot.version,
        )
    return rules


def _names(reason: Reason) -> tuple[str, str]:
    """Return what a person may call a reason: the sentence of the list, or the key of metrics."""
    return str(reason), reason.key


def held_documents(problem: Problem, rows: pa.Table) -> list[Held]:
    """Return the documents in quarantine by reason, the most frequent first.

    Parameters
    ----------
    problem : Problem
        The problem.
    rows : Table
        What `SnapshotStore.quarantine` returned.
    """
    grouped = rows.group_by(["code", "field"], use_threads=False).aggregate([("id", "count")])
    found = []
    for row in grouped.to_pylist():
        reason = Reason(ReasonCode(row["code"]), row["field"])
        examples = pc.unique(of_reason(rows, reason)["reason"]).slice(0, _EXAMPLES).to_pylist()
        found.append(Held(reason, row["id_count"], examples, remedy(problem, reason)))
    return sorted(found, key=lambda held: (-held.count, held.reason))


def of_reason(rows: pa.Table, reason: Reason) -> pa.Table:
    """Return the rows that are in quarantine for a reason."""
    same = pc.and_(pc.equal(rows["code"], reason.code.value), pc.equal(rows["field"], reason.field))
    return rows.filter(same)


def explain_quarantine(problem: Problem, store: SnapshotStore, snapshot: Snapshot) -> str:
    """Return why a snapshot has no document that can be used, with counts and examples."""
    held = held_documents(problem, store.quarantine(snapshot))
    live = snapshot.accounts.live
    reasons = "; ".join(f"{each.count:,} of {live:,}: {each.examples[0]}" for each in held)
    where = f"{problem.source.database}.{problem.source.collection}"
    said = (
        f"The MongoDB collection {where} has no document that can be used. {reasons}. "
        f"{held[0].remedy}"
    )
    if not {each.reason.code for each in held} & _BY_READING:
        return said
    seed = command("seed", problem.name, "--file FILE")
    return f"{said} If they come from a file that is right, `{seed}` reads it anew."


def remedy(problem: Problem, reason: Reason) -> str:
    """Return what a person can do about a reason, with the line of the problem's file."""
    if reason.code is ReasonCode.CONFLICTING_LABEL:
        return "Correct the label of one of the copies in MongoDB."
    path = get_settings().problem_file(problem.name)
    change = how_to_change(path, *_place(problem, reason))
    return f"Correct the documents in MongoDB, or {change}."


def _place(problem: Problem, reason: Reason) -> tuple[str, ...]:
    """Return the place in the problem's file that decides about a reason."""
    names = problem.source.fields
    if reason.code in _OF_LIMITS and problem.inputs is None:
        key = "max_characters" if reason.code is ReasonCode.TOO_LONG else "min_words"
        return "limits", key
    if reason.code in (ReasonCode.UNKNOWN_LABEL, ReasonCode.WRONG_TYPE) and (
        reason.field == names.label
    ):
        return ("labels",)
    if problem.inputs is not None and reason.field in inputs_of(problem).names:
        return "inputs", reason.field
    key = next((key for key, name in names if name == reason.field), "text")
    return "source", "fields", key


def quarantine_table(problem: Problem, held: Sequence[Held]) -> TextTable:
    """Return a table: why documents cannot be used, how many, an example, and what to do."""
    rows = [
        (str(each.reason), f"{each.count:,}", _cut(each.examples[0]), each.remedy) for each in held
    ]
    heading = f"In quarantine: documents of {problem.name} that cannot be used now"
    return TextTable(heading, ("reason", "documents", "example", "what to do"), rows)


def examples_table(rows: pa.Table, reason: Reason, limit: int) -> TextTable:
    """Return a table of documents that are in quarantine for a reason."""
    some = of_reason(rows, reason).slice(0, limit).to_pylist()
    shown = [
        (row["id"], row["reason"], _cut(row.get("raw") or row.get("text") or "")) for row in some
    ]
    return TextTable(str(reason), ("_id", "reason", "document"), shown)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
