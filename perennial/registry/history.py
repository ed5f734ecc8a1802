"""The history of Production: every change, who made it, when and why; plain values, without MLflow.

A change is written down before the alias moves, so that none is ever missing. One whose process
ended in between never happened, which shows: the next change starts where it had started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from perennial.registry.tags import HISTORY

Kind = Literal["promotion", "rollback"]
# MLflow's databases hold 5,000 characters per tag; the rest of a change needs a few hundred.
_LONGEST = 1_000


@dataclass(frozen=True)
class Note:
    """Who changes Production, by what, and why.

    Attributes
    ----------
    why : str
        For people; only its first 1,000 characters are kept.
    by : str
        The person or account.
    flow : str
        Name of the flow.
    run : str
        Id of the flow's run.
    """

    why: str = ""
    by: str = ""
    flow: str = ""
    run: str = ""


class Change(BaseModel):
    """One change of Production.

    Attributes
    ----------
    at : datetime
        When.
    kind : Kind
        ``promotion`` after a verdict, or ``rollback`` by a person.
    before : int or None
        The version that was Production until then, if any.
    after : int
        The version that is Production since.
    why, by, flow, run : str
        As in `Note`.
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    kind: Kind
    before: int | None
    after: int
    why: str = ""
    by: str = ""
    flow: str = ""
    run: str = ""

    @property
    def tag(self) -> tuple[str, str]:
        """Key and value of the tag that keeps this change; keys sort by time."""
        # MLflow allows no plus sign in a key.
        moment = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return HISTORY + moment, self.model_dump_json()


def following(
    changes: Iterable[Change], kind: Kind, before: int | None, after: int, note: Note
) -> Change:
    """Return a change that is about to be made, later than all of these even if clocks disagree."""
    latest = max((change.at for change in changes), default=datetime.min.replace(tzinfo=UTC))
    return Change(
        at=max(datetime.now(UTC), latest + timedelta(microseconds=1)),
        kind=kind,
        before=before,
        after=after,
        why=_shortened(note.why),
        by=_shortened(note.by),
        flow=note.flow,
        run=note.run,
    )


def written(tags: Mapping[str, str]) -> tuple[Change, ...]:
    """Return the changes in the tags of a registered model, the oldest first.

    A tag that a person has damaged is left out.
    """
    changes = []
    for key, value in tags.items():
        if key.startswith(HISTORY):
            with suppress(ValidationError):
                changes.append(Change.model_validate_json(value))
    return tuple(sorted(changes, key=lambda change: change.at))


def happened(changes: Iterable[Change], production: int | None) -> tuple[Change, ...]:
    """Return the changes that happened, given the version that is Production now."""
    ordered = tuple(changes)
    starts = [later.before for _, later in pairwise(ordered)] + [production]
    return tuple(
        change
        for change, start in zip(ordered, starts, strict=False)
        if start == change.after or start != change.before
    )


def way_back(changes: Iterable[Change], production: int | None) -> tuple[int, ...]:
    """Return the versions to go back to from Production, the last one first.

    A rollback forgets the versions that it leaves behind. One to a newer version leaves none
    behind, and counts like a promotion.
    """
    line: list[int] = []
    for change in changes:
        # Somebody may have moved the alias by other means.
        _advance(line, change.before)
        if change.kind == "rollback" and change.after in line:
            del line[line.index(change.after) + 1 :]
        elif change.kind == "rollback" and change.before and change.after < change.before:
            line.remove(change.before)
        _advance(line, change.after)
    _advance(line, production)
    return tuple(reversed(line[:-1]))


def _advance(line: list[int], version: int | None) -> None:
    """Put a version at the end of the line."""
    if version is None:
        return
    if version in line:
        line.remove(version)
    line.append(version)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
