"""The database of MLflow: whether its tables are those of the installed MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.errors import OutsideError
from perennial.packages.private_parts import PrivatePart
from perennial.redaction import redact

if TYPE_CHECKING:
    from sqlalchemy import Engine

_UTILS = "mlflow.store.db.utils"
_CONFIGURATION = PrivatePart("mlflow", _UTILS, "_get_alembic_config", ("db_url", "alembic_dir"))
_CURRENT = PrivatePart("mlflow", _UTILS, "_get_schema_version", ("engine",))
_UPGRADE = PrivatePart("mlflow", _UTILS, "_upgrade_db", ("engine",))


@dataclass(frozen=True)
class Schema:
    """The revision of a database's tables.

    Attributes
    ----------
    found : str
        The revision that the database has.
    wanted : str
        The one of the installed library.
    is_known : bool
        Whether the library knows the one that was found; if not, a newer one has made it.
    """

    found: str
    wanted: str
    is_known: bool

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to do."""
        return self.found == self.wanted


def schema_of(address: str) -> Schema:
    """Return the revision of MLflow's tables at an address of SQLAlchemy.

    Raises
    ------
    OutsideError
        If the database cannot be read.
    """
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_CONFIGURATION.require()(""))
    known = {each.revision for each in script.walk_revisions()}
    with explained():
        found = _CURRENT.require()(_engine(address))
    return Schema(str(found), str(script.get_current_head()), found in known)


def upgrade(address: str) -> None:
    """Bring MLflow's tables at an address to those of the installed MLflow.

    Raises
    ------
    OutsideError
        If it fails.
    """
    with explained():
        _UPGRADE.require()(_engine(address))


@contextmanager
def explained() -> Iterator[None]:
    """Say in a sentence that the database of MLflow cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, ImportError, OSError) as error:
        reason = redact(str(error).splitlines()[0])
        raise OutsideError(
            f"The database of MLflow cannot be used; check MLFLOW_BACKEND_STORE_URI: {reason}"
        ) from error


def _engine(address: str) -> Engine:
    from sqlalchemy import create_engine

    return create_engine(address, **_options(address))


def _options(address: str) -> dict[str, Any]:
    # A lock of SQLite is waited for; others have time-outs of their own.
    return {"connect_args": {"timeout": 60}} if address.startswith("sqlite") else {}
