"""Staleness: the candidate as it would be today, had nothing been learned since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from rich.console import Console

from perennial import times
from perennial.commands import command, counted
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.metrics import Predictions, compute, difference
from perennial.monitoring.staleness import Aged, propose
from perennial.promotion.confirmation import specification_of
from perennial.registry.client import ModelVersion
from perennial.settings import get_settings
from perennial.splits.split import CREATED_AT, microseconds
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from tasks.data.prepare import Dataset, prepare
from tasks.tables.base import TextTable
from tasks.training.train import choose, predict, train
from tasks.training.tune_threshold import decide

# Each twice as old as the one before, as far as there are snapshots.
_YOUNGEST = timedelta(days=7)
_MOST = 6
# On fewer documents hardly any loss could be proved.
_LEAST_JUDGED = 100


def snapshots_of_ages(problem: Problem) -> tuple[Snapshot, tuple[Snapshot, ...]]:
    """Return the newest snapshot, and older ones, each about twice as old as the one before.

    Raises
    ------
    OutsideError
        If there are no two snapshots of different times.
    """
    every = list(SnapshotStore(problem.name, get_settings()).snapshots())
    dated = [each for each in every if _time(each) is not None]
    if not dated:
        raise OutsideError(_nothing_older(problem))
    newest, older = dated[0], []
    wanted = _YOUNGEST
    for each in dated[1:]:
        age = age_of(each, newest)
        if age >= wanted or (each is dated[-1] and age > timedelta(0)):
            older.append(each)
            wanted = max(2 * wanted, 2 * age)
    if not older:
        raise OutsideError(_nothing_older(problem))
    return newest, tuple(older[:_MOST])


def age_of(snapshot: Snapshot, newest: Snapshot) -> timedelta:
    """Return by how much the newest documents of a snapshot are older than those of another."""
    one, other = _time(snapshot), _time(newest)
    return timedelta(0) if one is None or other is None else other - one


@task(name="measure staleness", cache_policy=NO_CACHE)
def measure_staleness(
    problem: Problem, name: str, newest: Snapshot, older: Sequence[Snapshot], run_id: str
) -> tuple[int, tuple[Aged, ...]]:
    """Fit a candidate on snapshots of several ages, and judge all on the newest documents.

    Parameters
    ----------
    problem : Problem
        The problem.
    name : str
        The candidate.
    newest : Snapshot
        The newest snapshot, with the documents that are judged on.
    older : sequence of Snapshot
        Older ones, the youngest first.
    run_id : str
        The run of which those of the fits are parts.

    Returns
    -------
    tuple of int and tuple of Aged
        On how many documents they were judged, and how much each loses.

    Raises
    ------
    OutsideError
        If a snapshot cannot be read, or has too few documents of a label.
    """
    today = prepare(problem, newest)
    rows = _newest_rows(today, _time(older[0]))
    fresh = _answers(today.problem, name, today, today, rows, run_id)
    aged = []
    for snapshot in older:
        then = prepare(problem, snapshot)
        answers = _answers(then.problem, name, then, today, rows, run_id)
        # Better by a negative amount is worse by as much.
        gain = difference(
            problem.metric, fresh, answers, confidence=problem.gates.confidence, seed=problem.seed
        )
        value = compute(problem.metric, answers)
        aged.append(Aged(age_of(snapshot, newest), snapshot.version, value, gain))
        get_run_logger().info("Snapshot %s: %s %.4f.", snapshot.version, problem.metric, value)
    return len(fresh), tuple(aged)


def candidate_of(problem: Problem, production: ModelVersion | None) -> str:
    """Return the candidate of Production, or where the file has it no more, the baseline."""
    wanted = None if production is None else production.specification
    same = (name for name in problem.candidates if specification_of(problem, name) == wanted)
    return next(same, problem.baseline or next(iter(problem.candidates)))


def show_staleness(
    problem: Problem, name: str, documents: int, aged: Sequence[Aged]
) -> timedelta | None:
    """Show how much is lost with age, in the terminal and in Prefect; return the proposal."""
    proposed = propose(aged)
    table = TextTable(
        f"Staleness of {name} on {counted(documents, 'document')}",
        ("age", "snapshot", problem.metric, "lost", "interval"),
        [
            (
                times.rounded(each.age),
                f"{each.snapshot}",
                f"{each.value:.4f}",
                f"{each.loss.value:+.4f}",
                f"{each.loss.low:+.4f} to {each.loss.high:+.4f}",
            )
            for each in aged
        ],
    )
    sentence = " ".join(_advice(problem, aged, proposed))
    create_markdown_artifact(
        key=f"staleness-{problem.name}",
        markdown=f"# {sentence}\n\n{table.markdown()}",
        description=sentence,
    )
    Console().print(table.rich(), f"[bold]{sentence}[/bold]")
    return proposed


def _advice(problem: Problem, aged: Sequence[Aged], proposed: timedelta | None) -> Iterator[str]:
    oldest = max(aged, key=lambda each: each.age)
    if proposed is None:
        yield (
            f"{problem.name}: no loss is proved, even for a model that is "
            f"{times.rounded(oldest.age)} old; it could be up to {max(oldest.loss.high, 0.0):.4f}."
        )
    else:
        yield (
            f"{problem.name}: retrain every {times.rounded(proposed)} or more often; older models "
            "are proved to be worse."
        )
    now = problem.schedule.retrain
    if now is not None:
        yield f"schedule.retrain is {now!r} now."


def _answers(
    problem: Problem,
    name: str,
    dataset: Dataset,
    today: Dataset,
    rows: np.ndarray,
    run_id: str,
) -> Predictions:
    """Fit a candidate on a dataset, and let it answer the newest documents."""
    fitted = train(problem, name, dataset, run_id)
    challenger = choose(problem, dataset, [fitted])
    if problem.goal is not None:
        challenger = decide(problem, dataset, challenger)
    inputs, labels = today.holdout_inputs.take(rows), today.holdout_labels[rows]
    return predict(today.problem, challenger.model, inputs, labels)


def _newest_rows(today: Dataset, since: datetime | None) -> np.ndarray:
    """Return the holdout documents after a time, or so many of the newest as are needed."""
    created = microseconds(today.holdout_keys[CREATED_AT])
    order = np.argsort(-created, kind="stable")
    limit = 0 if since is None else int(since.timestamp() * 1e6)
    wanted = max(int((created > limit).sum()), min(_LEAST_JUDGED, len(order)))
    return np.sort(order[:wanted])


def _time(snapshot: Snapshot) -> datetime | None:
    return snapshot.watermark or snapshot.taken_at


def _nothing_older(problem: Problem) -> str:
    return (
        f"{problem.name!r} has no two snapshots with documents of different times; staleness is "
        f"measured once `{command('retrain', problem.name)}` has run before and after documents "
        "have arrived."
    )
