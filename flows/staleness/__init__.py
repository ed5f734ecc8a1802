"""Staleness: how much a model loses with its age, and how often to retrain.

perennial staleness sentiment
"""

from __future__ import annotations

from datetime import timedelta

from prefect import flow

from perennial.config.loader import load_problem
from perennial.registry.tags import RunTags
from perennial.settings import get_settings
from tasks.orchestration.connect import connect
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.training.staleness import (
    candidate_of,
    measure_staleness,
    show_staleness,
    snapshots_of_ages,
)
from tasks.training.vectors import vectors_kept


@flow(name="staleness", flow_run_name="staleness {problem}")
def staleness(problem: str = "sentiment") -> timedelta | None:
    """Fit Production's candidate on older snapshots, and see what it loses on today's documents.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.

    Returns
    -------
    timedelta or None
        After which time the problem should be retrained; None if no loss is proved.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem)).for_retraining()
    registry = connect()
    newest, older = snapshots_of_ages(spec)
    name = candidate_of(spec, registry.production(spec.name))
    tags = RunTags(kind="staleness").as_tags()
    with (
        vectors_kept(spec),
        registry.run(spec.name, f"staleness {spec.name}", tags=tags) as run_id,
    ):
        documents, aged = measure_staleness(spec, name, newest, older, run_id)
        lost = {f"lost.{each.age // timedelta(hours=1)}_hours": each.loss.value for each in aged}
        registry.log(run_id, metrics=lost)
    return show_staleness(spec, name, documents, aged)
