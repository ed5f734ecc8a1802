"""A lost Production: its version or model was deleted in MLflow, or its alias was taken away."""

from __future__ import annotations

from perennial.commands import command
from perennial.errors import OutsideError
from perennial.registry.client import Registry
from perennial.registry.model_version import PRODUCTION, Aliases
from perennial.registry.tags import RunTags


def why_lost(registry: Registry, problem: str, aliases: Aliases | None = None) -> str | None:
    """Return in a sentence how a problem has lost its Production; None if it has not.

    Parameters
    ----------
    registry : Registry
        Where the versions are.
    problem : str
        Name of the problem.
    aliases : Aliases, optional
        Its aliases, if they are known already.

    Raises
    ------
    OutsideError
        If MLflow cannot be asked.
    """
    if aliases is None:
        aliases = registry.aliases_of(problem)
    number = None if aliases is None else aliases.versions.get(PRODUCTION)
    if number is not None:
        return _why_gone(registry, problem, number)
    had_one = aliases is not None and aliases.had_production
    # A model that was renamed has taken its history along; the run of its promotion has stayed.
    if had_one or registry.has_finished(problem, RunTags(verdict="promoted").as_tags()):
        return f"{problem!r} has no Production any more in MLflow, though it had one."
    return None


def require_active(problem: str, aliases: Aliases | None) -> None:
    """Raise if a problem was retired, by its aliases, of which it may have none.

    Raises
    ------
    OutsideError
        Which says when, and how to bring it back.
    """
    if aliases is not None and aliases.retired is not None:
        raise OutsideError(
            f"{problem!r} was retired on {aliases.retired[:10]}; "
            f"`{command('retire', problem, '--undo')}` brings it back."
        )


def _why_gone(registry: Registry, problem: str, number: int) -> str | None:
    version = registry.find(problem, number)
    if version is None:
        return f"Version {number} of {problem!r} is Production, and was deleted in MLflow."
    if not registry.is_stored(version):
        return (
            f"Version {number} of {problem!r} is Production, and its model was deleted in MLflow."
        )
    return None
