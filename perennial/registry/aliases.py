"""How Production moves in MLflow: what is written down, what is marked, and the aliases last."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from perennial.registry.history import Change, Kind, Note, following, happened, way_back, written
from perennial.registry.model_version import PREVIOUS, PRODUCTION, ModelVersion
from perennial.registry.tags import SINCE, VersionKey


class StaleComparisonError(Exception):
    """Production has changed since the challenger was compared with it; compare again."""


def read_history(
    client: MlflowClient, problem: str, production: ModelVersion | None
) -> tuple[Change, ...]:
    """Return every change of Production that happened, the oldest first."""
    try:
        tags = client.get_registered_model(problem).tags
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return ()
        raise
    return happened(written(tags), _number(production))


def promote(
    client: MlflowClient,
    version: ModelVersion,
    before: ModelVersion | None,
    note: Note,
    *,
    can_go_back: bool,
) -> None:
    """Let a version follow Production, which becomes ``previous`` if one can go back to it.

    MLflow moves one alias at a time, atomically. ``previous`` moves first: whenever the process
    ends, both aliases name versions that work.

    Raises
    ------
    StaleComparisonError
        If somebody else has moved Production since the change was written down.
    """
    change = _write_down(client, "promotion", version, before, note)[-1]
    if before is not None and can_go_back:
        give_alias(client, before, PREVIOUS)
    _move_production(client, version, change)


def roll_back(
    client: MlflowClient, version: ModelVersion, before: ModelVersion | None, note: Note
) -> None:
    """Put a version in the place of Production, which is marked if it is the newer of the two.

    ``previous`` moves last, to what was Production before the version: until then a process that
    ends has either done nothing that anybody reads, or moved Production.

    Raises
    ------
    StaleComparisonError
        If somebody else has moved Production since the change was written down.
    """
    changes = _write_down(client, "rollback", version, before, note)
    if before is not None and version.version < before.version:
        client.set_model_version_tag(
            before.problem, str(before.version), VersionKey.ROLLED_BACK.tag, changes[-1].why
        )
    if version.rolled_back is not None:
        client.delete_model_version_tag(
            version.problem, str(version.version), VersionKey.ROLLED_BACK.tag
        )
    _move_production(client, version, changes[-1])
    _name_previous(client, version, way_back(changes, version.version))


def _move_production(client: MlflowClient, version: ModelVersion, change: Change) -> None:
    """Give the alias ``production`` to a version, unless a later change was written down.

    The time of a change is its fencing token: each is later than all that were written before it.
    A process that was stopped between its note and its alias finds the note of another one, and
    loses. MLflow cannot compare and set in one step; if the other one has written in the very
    moment in which the alias moved, what it has decided is put in its place.
    """
    _require_newest(client, version.problem, change)
    give_alias(client, version, PRODUCTION)
    try:
        _require_newest(client, version.problem, change)
    except StaleComparisonError:
        later = _newest(client, version.problem)
        if later is not None:
            give_alias(client, replace(version, version=later.after), PRODUCTION)
        raise


def _require_newest(client: MlflowClient, problem: str, change: Change) -> None:
    newest = _newest(client, problem)
    if newest is not None and newest.at > change.at:
        raise StaleComparisonError(
            f"Production of {problem} has been moved to version {newest.after} since"
        )


def _newest(client: MlflowClient, problem: str) -> Change | None:
    changes = written(client.get_registered_model(problem).tags)
    return changes[-1] if changes else None


def give_alias(client: MlflowClient, version: ModelVersion, alias: str) -> None:
    """Give an alias to a version, and write down since when.

    The alias moves last: until then the tag is only a note that nobody reads.
    """
    number, now = str(version.version), datetime.now(UTC).isoformat()
    client.set_model_version_tag(version.problem, number, SINCE + alias, now)
    client.set_registered_model_alias(version.problem, alias, number)


def _write_down(
    client: MlflowClient,
    kind: Kind,
    version: ModelVersion,
    before: ModelVersion | None,
    note: Note,
) -> tuple[Change, ...]:
    """Write down a change that is about to be made; return the history with it."""
    changes = read_history(client, version.problem, before)
    change = following(changes, kind, _number(before), version.version, note)
    client.set_registered_model_tag(version.problem, *change.tag)
    return (*changes, change)


def _name_previous(client: MlflowClient, version: ModelVersion, numbers: tuple[int, ...]) -> None:
    """Give the alias ``previous`` to the first of these versions that still exists, or to none."""
    for number in numbers:
        try:
            give_alias(client, replace(version, version=number), PREVIOUS)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        else:
            return
    client.delete_registered_model_alias(version.problem, PREVIOUS)


def _number(version: ModelVersion | None) -> int | None:
    return None if version is None else version.version
