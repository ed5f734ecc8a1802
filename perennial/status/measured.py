"""What flows have measured, as MongoDB keeps it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from perennial.config.problem import Problem
from perennial.errors import OutsideError, UnavailableError
from perennial.settings import Settings
from perennial.stores import mongodb
from perennial.stores.measurements import Measurement, latest

_log = logging.getLogger(__name__)
Measured = dict[str, dict[str, Measurement]]


def read_measurements(
    settings: Settings, problems: Sequence[Problem]
) -> tuple[Measured, dict[str, str]]:
    """Return what the last success of each flow measured, and why that is not known of others.

    Returns
    -------
    measured : dict of str to dict
        Problem -> flow -> measurement.
    away : dict of str to str
        Problem -> why MongoDB says nothing about it.
    """
    found: Measured = {}
    away: dict[str, str] = {}
    known = {problem.name: problem for problem in problems}
    for server, names in mongodb.by_server(settings, known).items():
        of_server = [known[name] for name in names]
        away |= _read_server(settings, server, of_server, found)
    return found, away


def _read_server(
    settings: Settings, server: str | None, problems: Sequence[Problem], found: Measured
) -> dict[str, str]:
    """Add what a server has, and return why it says nothing about some problems."""
    names: dict[str, list[str]] = {}
    for problem in problems:
        names.setdefault(problem.source.database, []).append(problem.name)
    away: dict[str, str] = {}
    read: set[str] = set()
    try:
        # An embedded server is started once for all databases.
        with mongodb.connect(settings, server):
            for database, members in sorted(names.items()):
                if why := _read(settings, server, database, members, found):
                    away |= dict.fromkeys(members, why)
                read.update(members)
    except OutsideError as error:
        away |= {each.name: str(error) for each in problems if each.name not in read}
    return away


def _read(
    settings: Settings,
    server: str | None,
    database: str,
    members: Collection[str],
    found: Measured,
) -> str:
    """Add what a database has, and return why it cannot be read, or nothing."""
    try:
        with mongodb.connect(settings, server) as client:
            for measurement in latest(client[database]):
                if measurement.problem not in members:
                    continue
                found.setdefault(measurement.problem, {})[measurement.flow] = measurement
    except UnavailableError:
        # Every other database is on the same server.
        raise
    except OutsideError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - no failure of one database hides the others
        _log.exception("The measurements in %s cannot be read.", database)
        return (
            f"The measurements in MongoDB's database {database!r} cannot be read "
            f"({type(error).__name__}); the log says more."
        )
    return ""
