"""A world that changes: documents arrive, clients ask and tell what was right, flows run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from flows.monitor import monitor
from flows.retrain import retrain
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.feedback import document_id
from perennial.promotion.verdict import Verdict
from perennial.registry.client import open_registry
from perennial.settings import ServingSettings, get_serving_settings, get_settings
from perennial.stores import mongodb
from perennial.stores.feedback import open_statements
from perennial.stores.prediction_log import (
    Feedback,
    Logged,
    count_with_feedback,
    delete_predictions,
)
from serving.telemetry.log import PredictionLog
from serving.telemetry.metrics import Metrics
from tasks.monitoring.result import MonitorResult

# A text and the value of its label in the documents.
Row = tuple[str, Any]
_PATIENCE = 300.0
_LOG_QUEUE = 100_000
_AT_ONCE = 50


@dataclass(frozen=True, eq=False)
class Change:
    """What happened when the world changed.

    Attributes
    ----------
    noticed : MonitorResult
        The next monitor run after the change.
    again : MonitorResult
        The one after that.
    verdict : Verdict
        Of the retraining that the event asks for.
    after : MonitorResult
        A monitor run after clients have asked about texts that nobody had seen.
    """

    noticed: MonitorResult
    again: MonitorResult
    verdict: Verdict
    after: MonitorResult


class World:
    """A problem, its documents and its clients, in the MongoDB and MLflow of the settings."""

    def __init__(self, problem: str) -> None:
        self.problem: Problem = load_problem(get_settings().problem_file(problem))
        self.seconds: list[float] = []
        self._ids = count()
        self._names = {value: label for label, value in self.problem.labels.items()}

    def train(self, rows: Sequence[Row]) -> Verdict:
        """Let documents arrive and retrain."""
        self.arrive(rows)
        return self.retrain()

    def retrain(self) -> Verdict:
        """Retrain on what is there, as somebody does who has no time for a confirmation."""
        verdict = retrain(self.problem.name, urgent=True).verdict
        if verdict is None:
            raise AssertionError("a retraining on new documents gave no verdict")
        return verdict

    def monitor(self) -> MonitorResult:
        """Run the monitor flow, and remember how long it took."""
        start = time.perf_counter()
        monitored = monitor(self.problem.name)
        self.seconds.append(time.perf_counter() - start)
        if monitored is None:
            raise AssertionError("there is no Production version to monitor")
        return monitored

    def arrive(self, rows: Sequence[Row]) -> list[str]:
        """Insert rows as documents that were created now; return their ids."""
        fields = self.problem.source.fields
        now = datetime.now(UTC)
        documents = [
            {
                "_id": f"arrived-{next(self._ids)}",
                fields.text: text,
                fields.label: label,
                fields.created_at: now,
                fields.source: "benchmark",
            }
            for text, label in rows
        ]
        with mongodb.connect(get_settings()) as client:
            self._documents(client).insert_many(documents)
        return [str(document["_id"]) for document in documents]

    def ask(self, rows: Sequence[Row]) -> list[str]:
        """Classify rows with Production, and tell what is right, through the service's own log.

        Returns
        -------
        list of str
            The ids of the predictions.
        """
        registry = open_registry(get_settings())
        production = registry.production(self.problem.name)
        if production is None:
            raise AssertionError("there is no Production version to ask")
        model, texts = registry.load(production), [text for text, _ in rows]
        labels, probabilities = model.predict(texts), model.predict_proba(texts).max(axis=1)
        ids = [f"asked-{next(self._ids)}" for _ in rows]
        now = time.time()
        with self._log() as log:
            log.add(
                Logged(
                    now,
                    self.problem.name,
                    production.version,
                    ids,
                    [str(label) for label in labels],
                    probabilities.tolist(),
                    texts,
                )
            )
            told = [
                Feedback(now, key, self.problem.name, production.version, self._names[label])
                for key, (_, label) in zip(ids, rows, strict=True)
            ]
            # People do not answer all at once.
            for start in range(0, len(told), _AT_ONCE):
                some = told[start : start + _AT_ONCE]
                for feedback in some:
                    log.add_feedback(feedback)
                self._wait_for([feedback.prediction_id for feedback in some])
        return ids

    def forget(self, documents: Sequence[str], predictions: Sequence[str]) -> None:
        """Remove documents and predictions, with the documents that feedback made of these."""
        told = [document_id(key) for key in predictions]
        with mongodb.connect(get_settings()) as client:
            self._documents(client).delete_many({"_id": {"$in": [*documents, *told]}})
            log = self._log_database(client)
            open_statements(log).delete_many({"prediction_id": {"$in": list(predictions)}})
            delete_predictions(log, predictions)

    def _documents(self, client: Any) -> Any:
        return client[self.problem.source.database][self.problem.source.collection]

    def _log_database(self, client: Any) -> Any:
        return client[get_serving_settings().log_database]

    @contextmanager
    def _log(self) -> Iterator[PredictionLog]:
        serving = ServingSettings(log_queue=_LOG_QUEUE, log_per_second=_LOG_QUEUE)
        log = PredictionLog(get_settings(), serving, Metrics())
        log.start()
        try:
            yield log
        finally:
            log.end()

    def _wait_for(self, ids: Sequence[str]) -> None:
        """Wait until the log has kept all feedback."""
        deadline = time.monotonic() + _PATIENCE
        with mongodb.connect(get_settings()) as client:
            log = self._log_database(client)
            while count_with_feedback(log, ids) < len(ids):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"The log kept no feedback within {_PATIENCE:.0f} s.")
                time.sleep(0.05)


def stay_calm(world: World, chunks: Sequence[Sequence[Row]]) -> list[MonitorResult]:
    """Let chunks of more of the same come, one after the other, and monitor each.

    Half of a chunk arrives as documents, clients ask about the other half and give feedback. Each
    chunk is gone before the next one comes, so that every run judges other documents.
    """
    runs = []
    for chunk in chunks:
        half = len(chunk) // 2
        documents, predictions = world.arrive(chunk[:half]), world.ask(chunk[half:])
        runs.append(world.monitor())
        world.forget(documents, predictions)
    return runs


def change(
    world: World, arriving: Sequence[Row], asked: Sequence[Row], later: Sequence[Row]
) -> Change:
    """Let the world change, monitor it, retrain, and see whether that has helped.

    Parameters
    ----------
    world : World
        With a Production version.
    arriving, asked, later : sequence of Row
        What arrives as documents, what clients ask about and give feedback on, and what they ask
        about after the retraining: texts that it has not seen.
    """
    world.arrive(arriving)
    world.ask(asked)
    noticed, again = world.monitor(), world.monitor()
    verdict = world.retrain()
    world.ask(later)
    return Change(noticed, again, verdict, world.monitor())
