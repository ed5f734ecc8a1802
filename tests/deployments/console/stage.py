"""A registry and measurements as months of operation leave them, made in a second."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.config.problem import Problem
from perennial.registry.history import Change
from perennial.registry.tags import HISTORY, SINCE, TAG
from perennial.settings import Settings
from perennial.stores.measurements import Gauge, record

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOW = datetime.now(UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """One version: how long ago it was made, its accuracy and its verdict."""

    ago: timedelta
    accuracy: float
    verdict: str = "kept"
    reason: str = "accuracy: +0.001 [-0.004, 0.006], required above 0"
    tags: dict[str, str] = field(default_factory=dict)


class Stage:
    """Writes what MLflow and MongoDB of a machine would have."""

    def __init__(self, settings: Settings, client: MlflowClient) -> None:
        self._client = client
        self._database = settings.data_dir / "mlflow" / "mlflow.db"
        self._problems = settings.problems_dir

    def copy(self, problem: Problem, name: str) -> Problem:
        """Give a problem another name, in a file of its own."""
        text = (self._problems / f"{problem.name}.yaml").read_text()
        (self._problems / f"{name}.yaml").write_text(text)
        return problem.model_copy(update={"name": name})

    def versions(self, problem: str, *made: Made) -> None:
        self._client.create_registered_model(problem)
        for each in made:
            low, high = each.accuracy - 0.012, each.accuracy + 0.012
            tags = {
                "holdout.accuracy": f"{each.accuracy:.4f} [{low:.4f}, {high:.4f}]",
                "verdict": each.verdict,
                "verdict.reason": each.reason,
            }
            named = {TAG + key: value for key, value in (tags | each.tags).items()}
            self._client.create_model_version(problem, "source", tags=named)
        with closing(sqlite3.connect(self._database, timeout=30)) as database:
            for number, each in enumerate(made, start=1):
                at = int((NOW - each.ago).timestamp() * 1000)
                database.execute(
                    "UPDATE model_versions SET creation_time = ? WHERE name = ? AND version = ?",
                    (at, problem, number),
                )
            database.commit()

    def changes(self, problem: str, *changes: tuple[timedelta, str, int | None, int]) -> None:
        """Write the history of Production, and let its alias name the last version."""
        for ago, kind, before, after in changes:
            change = Change(
                at=NOW - ago,
                kind=kind,  # type: ignore[arg-type]
                before=before,
                after=after,
                by="on call" if kind == "rollback" else "scheduler",
                flow="rollback" if kind == "rollback" else "retrain",
                why="short texts came out wrong"
                if kind == "rollback"
                else "every gate is passed; confirmed on 412 newer documents",
            )
            key, value = change.tag
            assert key.startswith(HISTORY)
            self._client.set_registered_model_tag(problem, key, value)
        ago, _, _, last = changes[-1]
        self._client.set_registered_model_alias(problem, "production", str(last))
        since = (NOW - ago).isoformat()
        self._client.set_model_version_tag(problem, str(last), SINCE + "production", since)
        if changes[-1][2] is not None:
            self._client.set_registered_model_alias(problem, "previous", str(changes[-1][2]))

    def watched(
        self, problem: str, version: int, live: Sequence[tuple[timedelta, float, int]]
    ) -> None:
        """Write what monitoring found: how long ago, accuracy by feedback, runs with drift."""
        from mlflow.entities import Metric

        found = self._client.get_experiment_by_name(problem)
        experiment = found.experiment_id if found else self._client.create_experiment(problem)
        tags = {TAG + "kind": "monitor", TAG + "watched_version": str(version)}
        run = self._client.create_run(experiment, tags=tags)
        metrics: list[Any] = []
        for ago, accuracy, drift in live:
            at = int((NOW - ago).timestamp() * 1000)
            for end, distance in (("", 0.0), ("_low", -0.02), ("_high", 0.02)):
                key = f"live_accuracy{end}.{version}"
                metrics.append(Metric(key, accuracy + distance, at, 0))
            metrics.append(Metric("drift_runs", drift, at, 0))
        self._client.log_batch(run.info.run_id, metrics=metrics)
        self._client.set_terminated(run.info.run_id)


def healthy(problem: Problem, version: int, accuracy: float) -> None:
    """Record what the last retraining and the last monitoring of a healthy problem measured."""
    record(
        "retrain",
        problem,
        [
            Gauge("documents", 20_480, {"outcome": "used"}),
            Gauge("documents", 31, {"outcome": "quarantined"}),
        ],
    )
    of = {"version": str(version)}
    record(
        "monitor",
        problem,
        [
            Gauge("drift_found", 0, {"test": "words", "of": "documents"}),
            Gauge("live_accuracy", accuracy, of),
            Gauge("live_accuracy_low", accuracy - 0.02, of),
            Gauge("live_accuracy_high", accuracy + 0.02, of),
            Gauge("live_answers", 412, of),
        ],
    )
