"""The product: `init`, `seed` and `retrain` without an edit, beside an expert."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.problems.base import DataSet, Labels

# The ids of the documents say which rows of the file they are.
_ID = "_id"


@dataclass(frozen=True)
class Measured:
    """What both sides reach on one data set.

    Attributes
    ----------
    rows, labels, holdout : int
        How many rows and labels the file has, and how many documents judge both sides.
    metric : str
        By what they are judged.
    ours, expert : float
        Its values on the holdout.
    challenger : str
        The candidate that the retraining has chosen.
    outcome : str
        Its verdict.
    seconds, expert_seconds : float
        Of processor: from the file to the verdict, and of the expert's fit.
    """

    rows: int
    labels: int
    holdout: int
    metric: str
    ours: float
    expert: float
    challenger: str
    outcome: str
    seconds: float
    expert_seconds: float


@contextmanager
def project() -> Iterator[None]:
    """Make this process one of an empty project, whose servers run as long as it does.

    Settings are read when libraries are imported: nothing of Prefect may be loaded before.
    """
    with TemporaryDirectory() as folder:
        os.environ["PROJECT_DIR"] = folder
        os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
        (Path(folder) / "problems").mkdir()
        from perennial.libraries import prepare_environment

        prepare_environment()
        from prefect.settings import (
            PREFECT_API_URL,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            temporary_settings,
        )

        from perennial.local import embedded
        from perennial.settings import get_settings

        with embedded.server(get_settings(), "prefect") as port:
            address = f"http://127.0.0.1:{port}/api"
            changes = {PREFECT_API_URL: address, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
            with temporary_settings(changes):
                yield


def measure(name: str, data: DataSet, folder: Path) -> Measured:
    """Return what both sides reach on one data set.

    Parameters
    ----------
    name : str
        Name of the problem.
    data : DataSet
        Its rows and its expert.
    folder : Path
        Where the file is written.

    Raises
    ------
    OutsideError
        If `init` or the retraining refuses the file.
    """
    file = folder / f"{name}.csv"
    ids = [f"row-{place}" for place in range(len(data.rows))]
    data.rows.assign(**{_ID: ids}).to_csv(file, index=False)
    start = time.process_time()
    retraining = _from_file_to_verdict(name, file)
    middle = time.process_time()
    sides = _sides(name, retraining.ingested.snapshot)
    predictions = retraining.evaluation.predictions
    between = time.process_time()
    expert = _expert(data, *sides)
    end = time.process_time()
    challenger = max(
        (each for each in retraining.candidates if not each.failure),
        key=lambda each: each.metrics.get(data.metric, 0.0),
    )
    return Measured(
        rows=len(data.rows),
        labels=data.rows[data.label].nunique(),
        holdout=len(sides[1]),
        metric=data.metric,
        ours=metric_of(data.metric, predictions.truth, predictions.predicted),
        expert=expert,
        challenger=challenger.name,
        outcome=retraining.verdict.outcome,
        seconds=middle - start,
        expert_seconds=end - between,
    )


def _from_file_to_verdict(name: str, file: Path) -> Any:
    from flows.retrain import retrain
    from flows.seed import seed
    from perennial.settings import get_settings
    from tasks.profiling.declare import declare

    declare(get_settings(), name, file=file)
    seed(name, file=file)
    return retrain(name)


def _sides(name: str, snapshot: Any) -> tuple[list[int], list[int]]:
    """Return the rows of the file that were learned from, and those that judged."""
    from prefect import flow

    from perennial.config.loader import load_problem
    from perennial.settings import get_settings
    from tasks.data.prepare import prepare

    @flow(name="divide")
    def divide() -> tuple[list[str], list[str]]:
        dataset = prepare(load_problem(get_settings().problem_file(name)), snapshot)
        return dataset.ids.to_pylist(), dataset.holdout_keys["id"].to_pylist()

    learned, judging = divide()
    return _rows(learned), _rows(judging)


def _rows(ids: list[str]) -> list[int]:
    return [int(each.rpartition("-")[2]) for each in ids]


def _expert(data: DataSet, learned: list[int], judging: list[int]) -> float:
    fields = data.rows.drop(columns=data.label)
    labels = data.rows[data.label].astype(str).to_numpy(np.str_)
    said = data.expert(fields.iloc[learned], labels[learned], fields.iloc[judging])
    return scored(data.metric, labels[judging], said, learned=labels[learned])


def scored(name: str, truth: Labels, said: Labels, *, learned: Labels) -> float:
    """Return a metric of labels; F1 is that of the label that is rarest among those learned."""
    names, counts = np.unique(learned, return_counts=True)
    ordered = [*names[np.argsort(-counts, kind="stable")], *set(truth) - set(names)]
    codes = {name: place for place, name in enumerate(ordered)}
    return metric_of(name, *(np.array([codes[each] for each in part]) for part in (truth, said)))


def metric_of(name: str, truth: Any, predicted: Any) -> float:
    """Return accuracy, or the F1 of the last of two classes."""
    from sklearn.metrics import accuracy_score, f1_score

    if name == "f1":
        return float(f1_score(truth, predicted, pos_label=int(np.max(truth))))
    return float(accuracy_score(truth, predicted))
