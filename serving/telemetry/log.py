"""The prediction log: kept in MongoDB from a queue, never by a request, and feedback beside it.

What cannot be kept is counted and forgotten: a prediction never waits for MongoDB.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from concurrent.futures import Future
from datetime import timedelta
from typing import TYPE_CHECKING

from perennial.errors import OutsideError
from perennial.settings import ServingSettings, Settings
from perennial.stores.prediction_log import (
    Failure,
    Feedback,
    Logged,
    create_indexes,
    open_failures,
    open_predictions,
)
from serving.telemetry import feedback as keeping
from serving.telemetry.feedback import FeedbackKeeper, Receipt
from serving.telemetry.metrics import Metrics
from serving.telemetry.rate_limiter import TokenBucket
from serving.telemetry.signing import Signing

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection

    from perennial.stores.mongodb import Document

_log = logging.getLogger(__name__)
_PREDICTION, _FEEDBACK, _FAILURE = "prediction", "feedback", "failure"
# Why each of them may be lost.
_LOSSES = {
    _PREDICTION: ("queue_full", "over_rate", "not_storable", "refused", "shutdown"),
    _FEEDBACK: keeping.LOSSES,
    _FAILURE: ("queue_full", "refused", "shutdown"),
}
_FLUSH_SECONDS = 0.25
_WRITE_SECONDS = 10.0
_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 60.0
_LAST_SECONDS = 3.0
# A full queue whose last turn is longer ago is MongoDB's doing; otherwise more is answered than is
# to be written.
_BEHIND_SECONDS = 2.0
# A prediction may wait in another worker's queue when its feedback comes: as long as it takes to
# write a full one, and so much longer.
_PATIENCE_SECONDS = 5.0


class PredictionLog:
    """Keeps predictions and feedback in MongoDB.

    Parameters
    ----------
    settings : Settings
        Where MongoDB and the problem files are.
    serving : ServingSettings
        How much is kept, and for how long.
    metrics : Metrics
        Told what is dropped.

    Attributes
    ----------
    signing : Signing
        Issues the ids of predictions, with the key that the log's database keeps.
    """

    def __init__(self, settings: Settings, serving: ServingSettings, metrics: Metrics) -> None:
        self._settings, self._serving, self._metrics = settings, serving, metrics
        self._entries: deque[Logged] = deque()
        # Each is written by one thread only: the one that adds, and the one that keeps.
        self._added = self._taken = 0
        self._last_turn = -math.inf
        self._bucket = TokenBucket(int(serving.log_per_second * _FLUSH_SECONDS))
        self.signing = Signing(serving, settings.data_dir / "serving")
        patience = _PATIENCE_SECONDS + serving.log_queue / serving.log_per_second
        self._feedback = FeedbackKeeper(settings, serving, metrics, self.signing, patience)
        self._failures: deque[Failure] = deque()
        self._failed: list[Document] = []
        self._batch: list[Document] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        for kind, reasons in _LOSSES.items():
            self._metrics.announce_losses(kind, reasons)
        self._thread.start()

    def end(self) -> None:
        """Write what is waiting, if MongoDB takes it within seconds, and stop."""
        self._ending.set()
        self._thread.join(_LAST_SECONDS)

    def takes(self, count: int) -> bool:
        """Return whether so many answers can be added now; count them as dropped if not."""
        if self._added - self._taken + count > self._serving.log_queue:
            behind = time.monotonic() - self._last_turn > _BEHIND_SECONDS
            self._metrics.dropped(_PREDICTION, "queue_full" if behind else "over_rate", count)
            return False
        return True

    def add(self, entry: Logged) -> None:
        """Keep the answers to a request, which `takes` has allowed."""
        self._added += len(entry.ids)
        self._entries.append(entry)

    def add_feedback(self, feedback: Feedback) -> Future[Receipt] | None:
        """Return the receipt of a feedback, which comes when it is stored; None if it is full."""
        return self._feedback.add(feedback)

    def add_failure(self, failure: Failure) -> None:
        """Take a request that was not answered, unless too many wait already."""
        if len(self._failures) >= self._serving.log_queue:
            self._metrics.dropped(_FAILURE, "queue_full")
            return
        self._failures.append(failure)

    def _run(self) -> None:
        try:
            self._write()
        finally:
            self._feedback.end()

    def _write(self) -> None:
        """Write whenever something waits and MongoDB is there."""
        pause, said = _RETRY_SECONDS, False
        while not self._ending.wait(_FLUSH_SECONDS) or self._has_work():
            if not self._has_work():
                continue
            try:
                self._write_while_connected()
                return
            except OutsideError as error:
                if not said:
                    _log.warning("%s Nothing is kept in the log meanwhile.", error)
                said = True
            except Exception as error:  # noqa: BLE001 - one entry must not end the log
                _log.warning("Log entries cannot be stored: %s.", type(error).__name__)
                self._drop_batch("not_storable")
                continue
            if self._ending.wait(pause):
                break
            pause = min(2 * pause, _LONGEST_RETRY_SECONDS)
        self._drop_batch("shutdown")
        self._metrics.dropped(_PREDICTION, "shutdown", self._added - self._taken)
        self._metrics.dropped(_FAILURE, "shutdown", len(self._failures) + len(self._failed))

    def _has_work(self) -> bool:
        waiting = self._entries, self._failures, self._batch, self._failed, self._feedback
        return any(waiting) or self.signing.is_wanted

    def _write_while_connected(self) -> None:
        """Write until `end`.

        Raises
        ------
        OutsideError
            When MongoDB fails; what was not written is kept for the next try.
        """
        import pymongo

        from perennial.stores import mongodb

        with mongodb.connect(self._settings) as client:
            with pymongo.timeout(_WRITE_SECONDS):
                predictions = self._open(client)
            while True:
                ending = self._ending.wait(_FLUSH_SECONDS)
                self._take_batch()
                # One batch each time, and no more: writing must leave the processor to the answers.
                while self._batch or (ending and self._entries):
                    with pymongo.timeout(_WRITE_SECONDS):
                        self._write_predictions(predictions)
                    if not ending:
                        break
                    self._take_batch()
                with pymongo.timeout(_WRITE_SECONDS):
                    self._write_failures(predictions)
                    self._feedback.turn(client)
                while ending and self._feedback.is_told:
                    with pymongo.timeout(_WRITE_SECONDS):
                        self._feedback.turn(client)
                self._show_depth()
                self._last_turn = time.monotonic()
                if ending:
                    return

    def _open(self, client: MongoClient[Document]) -> Collection[Document]:
        """Return the log's collection, with its indexes."""
        from pymongo import WriteConcern

        # A log entry may be lost with the server's last moments; to wait for its disk costs more.
        log = client.get_database(self._serving.log_database, write_concern=WriteConcern(w=1))
        create_indexes(log, kept=timedelta(days=self._serving.log_days))
        self._feedback.prepare(client)
        return open_predictions(log)

    def _write_predictions(self, predictions: Collection[Document]) -> None:
        if not self._batch:
            return
        self._insert(predictions, self._batch, _PREDICTION)
        self._batch = []

    def _take_batch(self) -> None:
        """Take what may be written now, unless something waits for another try."""
        self._bucket.renew()
        if self._batch:
            return
        while self._entries and self._bucket.is_left():
            entry = self._entries.popleft()
            self._batch += entry.documents(with_texts=self._serving.log_texts)
            self._taken += len(entry.ids)
            self._bucket.spend(len(entry.ids))

    def _write_failures(self, predictions: Collection[Document]) -> None:
        """Keep the requests that were not answered beside those that were."""
        while self._failures:
            self._failed.append(self._failures.popleft().document())
        if self._failed:
            self._insert(open_failures(predictions.database), self._failed, _FAILURE)
            self._failed = []

    def _insert(
        self, collection: Collection[Document], documents: list[Document], kind: str
    ) -> None:
        from pymongo.errors import BulkWriteError

        from perennial.stores import mongodb

        try:
            collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            # An earlier try may have written some of them before its connection broke.
            self._metrics.dropped(kind, "refused", len(mongodb.refusals(error)))

    def _drop_batch(self, reason: str) -> None:
        self._metrics.dropped(_PREDICTION, reason, len(self._batch))
        self._batch = []

    def _show_depth(self) -> None:
        waiting = self._added - self._taken + len(self._feedback)
        waiting += len(self._failures) + len(self._failed)
        self._metrics.queue_depth.set(waiting)
