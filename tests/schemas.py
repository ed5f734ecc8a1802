"""Databases as an earlier version of their library would have left them, by its own migrations."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path


def make_mlflow_earlier(file: Path, steps: int = 3) -> None:
    """Take the last changes of MLflow's tables back."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from sqlalchemy import create_engine

    address = f"sqlite:///{file}"
    configuration = _get_alembic_config(address)
    with create_engine(address).begin() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, f"-{steps}")


def make_prefect_earlier(file: Path) -> None:
    """Take the last change of Prefect's tables back."""
    address = f"sqlite+aiosqlite:///{file}"
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "downgrade", "-r", "-1", "-y"],
        env=os.environ | {"PREFECT_API_DATABASE_CONNECTION_URL": address},
        capture_output=True,
        check=True,
    )


def make_newer(file: Path) -> None:
    """Let a database have a revision that no library knows that is installed here."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from-the-future'")
        connection.commit()
