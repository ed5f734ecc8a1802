"""Versions of problems, as the registry has them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from perennial.errors import OutsideError, UnavailableError
from perennial.registry.client import Registry, open_registry
from perennial.registry.lost import why_lost
from perennial.registry.model_version import CANARY, PREVIOUS, PRODUCTION, Aliases, ModelVersion
from perennial.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Versions:
    """What the registry says about the versions of a problem.

    Attributes
    ----------
    production, canary, newest : ModelVersion or None
        The version that answers, the one that is tried, and the one that was registered last.
    waiting : tuple of ModelVersion
        Versions that wait for a person's answer.
    lost : str
        Why there is no Production although there was one; empty if that is not so.
    previous : int or None
        Number of the version that a rollback goes back to.
    retired : str or None
        When the problem was retired, if it was.
    """

    production: ModelVersion | None = None
    canary: ModelVersion | None = None
    newest: ModelVersion | None = None
    waiting: tuple[ModelVersion, ...] = ()
    lost: str = ""
    previous: int | None = None
    retired: str | None = None


NO_VERSIONS = Versions()


def read_versions(
    settings: Settings, names: Sequence[str], *, with_retired: bool = False
) -> tuple[dict[str, Versions], dict[str, str]]:
    """Return the versions of problems, and why those of others are not known.

    Parameters
    ----------
    settings : Settings
        Where the registry is.
    names : sequence of str
        The problems.
    with_retired : bool
        Whether problems that were retired are read as well, whatever their names.

    Returns
    -------
    versions : dict of str to Versions
        Problem -> what the registry says; one that has no versions is missing.
    away : dict of str to str
        Problem -> why the registry says nothing about it.
    """
    try:
        registry = open_registry(settings)
        aliases = {each.problem: each for each in registry.problems()}
        waiting = registry.waiting()
    except OutsideError as error:
        return {}, dict.fromkeys(names, str(error))
    wanted = [aliases[name] for name in names if name in aliases]
    if with_retired:
        wanted += [
            each for name, each in aliases.items() if each.retired is not None and name not in names
        ]
    return _each(registry, wanted, waiting)


def _each(
    registry: Registry, problems: Sequence[Aliases], waiting: Sequence[ModelVersion]
) -> tuple[dict[str, Versions], dict[str, str]]:
    found: dict[str, Versions] = {}
    away: dict[str, str] = {}
    for position, aliases in enumerate(problems):
        try:
            found[aliases.problem] = _of(registry, aliases, waiting)
        except UnavailableError as error:
            # Each of the others would wait for as long, and hear the same.
            away |= {each.problem: str(error) for each in problems[position:]}
            break
        except OutsideError as error:
            away[aliases.problem] = str(error)
        except Exception as error:  # noqa: BLE001 - no failure of one problem hides the others
            _log.exception("What MLflow has of %s cannot be read.", aliases.problem)
            away[aliases.problem] = (
                f"What MLflow has of {aliases.problem!r} cannot be read ({type(error).__name__}); "
                "the log says more."
            )
    return found, away


def _of(registry: Registry, aliases: Aliases, waiting: Sequence[ModelVersion]) -> Versions:
    problem = aliases.problem
    return Versions(
        _named(registry, aliases, PRODUCTION),
        _named(registry, aliases, CANARY),
        registry.newest(problem),
        tuple(version for version in waiting if version.problem == problem),
        why_lost(registry, problem, aliases) or "",
        aliases.versions.get(PREVIOUS),
        aliases.retired,
    )


def _named(registry: Registry, aliases: Aliases, alias: str) -> ModelVersion | None:
    number = aliases.versions.get(alias)
    return None if number is None else registry.find(aliases.problem, number)
