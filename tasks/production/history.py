"""History: who changed Production, when and why."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

from prefect.runtime import flow_run

from perennial.commands import counted
from perennial.registry.client import Change, ModelVersion, Note
from tasks.tables.base import TextTable

_NOBODY = "-"


def note(why: str, by: str | None = None) -> Note:
    """Return the note that the history keeps about a change by this flow run.

    Parameters
    ----------
    why : str
        Reason for the change, in one sentence.
    by : str, optional
        Person who makes the change; by default the user of this process.
    """
    return Note(
        why=why,
        by=by or getpass.getuser(),
        flow=str(flow_run.flow_name or ""),
        run=str(flow_run.id or ""),
    )


def history_table(problem: str, changes: Sequence[Change]) -> TextTable:
    """Return a table of the changes of Production, the newest first."""
    rows = [
        (
            change.at.strftime("%Y-%m-%d %H:%M:%S %Z"),
            change.kind,
            _NOBODY if change.before is None else str(change.before),
            str(change.after),
            change.by or _NOBODY,
            change.flow or _NOBODY,
            change.run or _NOBODY,
            change.why or _NOBODY,
        )
        for change in reversed(changes)
    ]
    return TextTable(
        f"Production of {problem}", ("when", "what", "from", "to", "by", "flow", "run", "why"), rows
    )


def erasure_notes(versions: Sequence[ModelVersion]) -> list[str]:
    """Return a sentence for each version of whose documents some have been erased since."""
    return [
        f"Of the documents that version {version.version} has learned from, "
        f"{counted(version.erased, 'has', 'have')} been erased since."
        for version in sorted(versions, key=lambda each: each.version)
        if version.erased
    ]
