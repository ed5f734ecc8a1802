"""Rows that MLflow keeps of what was removed: they would grow with every version for ever.

MLflow only marks versions as deleted, with all of their tags, and leaves the links of datasets and
models to runs that are gone. Only rows of the problem that is tidied are touched, and no number of
a version is given a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perennial.registry.storage.database import explained

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

# Of a SQLite database, above which its file is made smaller.
_FREE_SHARE = 0.1


def forget_links(engine: Engine, identifier: str) -> None:
    """Remove the links of datasets, runs and models to a run or a model that is to be removed.

    Raises
    ------
    OutsideError
        If the database cannot be used.
    """
    from mlflow.store.tracking.dbmodels.models import SqlInput
    from sqlalchemy import or_, select
    from sqlalchemy.orm import Session

    links = select(SqlInput.input_uuid).where(
        or_(SqlInput.destination_id == identifier, SqlInput.source_id == identifier)
    )
    with explained(), Session(engine) as session, session.begin():
        _remove_links(session, session.scalars(links).all())


def remove_remains(engine: Engine, problem: str, experiment: str) -> None:
    """Remove what is left in the database of versions and runs that were removed.

    Parameters
    ----------
    engine : Engine
        Of MLflow's database.
    problem : str
        Name of the registered model.
    experiment : str
        Id of the problem's experiment.

    Raises
    ------
    OutsideError
        If the database cannot be used.
    """
    from sqlalchemy.orm import Session

    with explained(), Session(engine) as session, session.begin():
        _remove_versions(session, problem)
        _remove_datasets(session, int(experiment))
    _give_back(engine)


def _remove_versions(session: Session, problem: str) -> None:
    from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag
    from sqlalchemy import delete, exists, select

    is_deleted = exists().where(
        SqlModelVersion.workspace == SqlModelVersionTag.workspace,
        SqlModelVersion.name == SqlModelVersionTag.name,
        SqlModelVersion.version == SqlModelVersionTag.version,
        SqlModelVersion.current_stage == STAGE_DELETED_INTERNAL,
    )
    tags = delete(SqlModelVersionTag).where(SqlModelVersionTag.name == problem, is_deleted)
    session.execute(tags, execution_options={"synchronize_session": False})
    columns = SqlModelVersion.workspace, SqlModelVersion.version, SqlModelVersion.current_stage
    known = session.execute(select(*columns).where(SqlModelVersion.name == problem)).all()
    # The next version is the highest number and one: the highest stays.
    newest = {workspace: number for workspace, number, _ in sorted(known, key=lambda row: row[1])}
    for workspace, number, stage in known:
        if stage == STAGE_DELETED_INTERNAL and number != newest[workspace]:
            session.execute(
                delete(SqlModelVersion).where(
                    SqlModelVersion.workspace == workspace,
                    SqlModelVersion.name == problem,
                    SqlModelVersion.version == number,
                )
            )


def _remove_datasets(session: Session, experiment: int) -> None:
    """Remove the links of an experiment's datasets to runs that are gone, and datasets of none."""
    from mlflow.store.tracking.dbmodels.models import SqlDataset, SqlInput, SqlRun
    from sqlalchemy import delete, exists, select

    links = (
        select(SqlInput.input_uuid)
        .join(SqlDataset, SqlDataset.dataset_uuid == SqlInput.source_id)
        .where(
            SqlDataset.experiment_id == experiment,
            SqlInput.destination_type == "RUN",
            ~exists().where(SqlRun.run_uuid == SqlInput.destination_id),
        )
    )
    _remove_links(session, session.scalars(links).all())
    unused = delete(SqlDataset).where(
        SqlDataset.experiment_id == experiment,
        ~exists().where(SqlInput.source_id == SqlDataset.dataset_uuid),
    )
    session.execute(unused, execution_options={"synchronize_session": False})


def _remove_links(session: Session, links: Sequence[str]) -> None:
    from mlflow.store.tracking.dbmodels.models import SqlInput, SqlInputTag
    from sqlalchemy import delete

    for link in links:
        for table in (SqlInputTag, SqlInput):
            of_link: Any = delete(table).where(table.input_uuid == link)
            session.execute(of_link, execution_options={"synchronize_session": False})


def _give_back(engine: Engine) -> None:
    """Make the file of a SQLite database smaller where much of it is free, if nobody holds it."""
    from sqlalchemy import text
    from sqlalchemy.exc import OperationalError

    if engine.dialect.name != "sqlite":
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        free, pages = (
            connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("freelist_count", "page_count")
        )
        if free <= pages * _FREE_SHARE:
            return
        try:
            connection.execute(text("VACUUM"))
        except OperationalError:
            # A server writes at this moment: what is free is used again, and the next time comes.
            return
