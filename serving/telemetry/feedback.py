"""Feedback on its way to MongoDB: a request waits until it is stored, and for nothing else."""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Literal

from perennial.errors import OutsideError, ProblemError
from perennial.settings import ServingSettings, Settings
from perennial.stores.feedback import (
    Settled,
    create_indexes,
    find_waiting,
    give_up,
    settle,
    statement_id,
    write_statements,
)
from perennial.stores.prediction_log import Feedback, Prediction, find_by_id, open_predictions
from serving.problem_files import ProblemFiles
from serving.telemetry.metrics import Metrics
from serving.telemetry.signing import Signing

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

    from perennial.config.problem import Problem
    from perennial.stores.mongodb import Document

_log = logging.getLogger(__name__)
_FEEDBACK = "feedback"
# Why feedback may be lost, or make no document.
LOSSES = (
    *("queue_full", "unknown_prediction", "refused"),
    *("no_problem_file", "text_not_kept", "unknown_label"),
)
# What became of a feedback: it is stored, its prediction is not there, or it is not stored.
Receipt = Literal["kept", "forgotten", "lost"]
# So many at a time: whoever sends masses must not keep MongoDB busy.
_AT_ONCE = 500
# Statements that a dead worker has left are looked for so often, when they are as old as that.
_SWEEP_SECONDS = 60.0
# A problem's own MongoDB is waited for so long, and tried again after that time.
_OWN_SECONDS, _AWAY_SECONDS = 2.0, 30.0


@dataclass(frozen=True)
class _Told:
    """A feedback whose sender waits for a receipt."""

    feedback: Feedback
    receipt: Future[Receipt]


@dataclass(frozen=True)
class _Waiting:
    """A stored statement whose prediction is still to come into the log."""

    feedback: Feedback
    sender: str | None
    is_first: bool

    @property
    def identifier(self) -> str:
        return statement_id(self.feedback.prediction_id, self.sender)


class FeedbackKeeper:
    """Stores feedback, and settles what it amounts to.

    Requests add from their thread; the thread of the prediction log does all the rest.

    Parameters
    ----------
    settings : Settings
        Where the problem files are.
    serving : ServingSettings
        How much waits, and how long the log remembers.
    metrics : Metrics
        Told what is kept and what is lost.
    signing : Signing
        Makes the digests of senders.
    patience : float
        After so many seconds a prediction that is not in the log will not come any more.
    """

    def __init__(
        self,
        settings: Settings,
        serving: ServingSettings,
        metrics: Metrics,
        signing: Signing,
        patience: float,
    ) -> None:
        self._files, self._serving = ProblemFiles(settings), serving
        # Others wait for the log meanwhile.
        patience_for_one = min(settings.mongodb_timeout, _OWN_SECONDS)
        self._settings = settings.model_copy(update={"mongodb_timeout": patience_for_one})
        self._away: dict[str, float] = {}
        self._metrics, self._signing = metrics, signing
        self._patience = patience
        self._told: deque[_Told] = deque()
        self._writing: list[_Told] = []
        self._waiting: deque[_Waiting] = deque()
        self._complained: dict[str, int] = {}
        self._next_sweep = time.monotonic() + _SWEEP_SECONDS

    def __len__(self) -> int:
        return len(self._told) + len(self._writing) + len(self._waiting)

    @property
    def is_told(self) -> bool:
        """Whether there is something that is not stored yet."""
        return bool(self._told or self._writing)

    def add(self, feedback: Feedback) -> Future[Receipt] | None:
        """Return the receipt that will come; None if too much waits already."""
        if len(self._told) >= self._serving.log_queue:
            self._metrics.dropped(_FEEDBACK, "queue_full")
            return None
        told = _Told(feedback, Future())
        self._told.append(told)
        return told.receipt

    def prepare(self, client: MongoClient[Document]) -> None:
        """Make the indexes of the ledger, and agree on the key of the senders."""
        log = client[self._serving.log_database]
        create_indexes(log)
        self._signing.share(log)

    def turn(self, client: MongoClient[Document]) -> None:
        """Store what was told, and settle what can be settled by now."""
        # Unlike a prediction, what somebody was told is kept must not be lost with the server.
        log = client[self._serving.log_database]
        self._store(log)
        self._settle(client, log)

    def end(self) -> None:
        """Say of all that is not stored that it is lost; what waits is left to other workers."""
        self._take(len(self._told))
        for told in self._writing:
            told.receipt.set_result("lost")
        self._writing = []

    def _take(self, count: int) -> None:
        """Take those whose senders have not given up; at any time each is counted somewhere."""
        for _ in range(min(count, len(self._told))):
            told = self._told[0]
            if told.receipt.set_running_or_notify_cancel():
                self._writing.append(told)
            self._told.popleft()

    def _store(self, log: Database[Document]) -> None:
        if not self._writing:
            self._take(_AT_ONCE)
        if not self._writing:
            return
        ids = [told.feedback.prediction_id for told in self._writing]
        found = find_by_id(open_predictions(log), ids)
        kept = [
            told
            for told in self._writing
            if told.feedback.prediction_id in found or not self._is_over(told.feedback)
        ]
        said = [(told.feedback, self._signing.sender(told.feedback.key)) for told in kept]
        first = write_statements(log, said)
        for told in self._writing:
            if told in kept:
                told.receipt.set_result("kept")
            else:
                self._metrics.dropped(_FEEDBACK, "unknown_prediction")
                told.receipt.set_result("forgotten")
        for feedback, sender in said:
            identifier = statement_id(feedback.prediction_id, sender)
            self._waiting.append(_Waiting(feedback, sender, identifier in first))
            first.discard(identifier)
        self._writing = []

    def _is_over(self, feedback: Feedback) -> bool:
        """Return whether a prediction that is not in the log by now will not come any more."""
        since = feedback.at if feedback.predicted_at is None else feedback.predicted_at
        return time.time() - since > self._patience

    def _settle(self, client: MongoClient[Document], log: Database[Document]) -> None:
        """Settle statements whose prediction is in the log; the others wait for another turn."""
        self._sweep(log)
        some = list(islice(self._waiting, _AT_ONCE))
        if not some:
            return
        found = find_by_id(open_predictions(log), [each.feedback.prediction_id for each in some])
        # What is done is done, should MongoDB fail or be too slow for the rest of them.
        for each in some:
            prediction = found.get(each.feedback.prediction_id)
            if prediction is not None:
                if not self._settle_there(client, log, each, prediction):
                    self._waiting.append(each)
            elif self._is_over(each.feedback):
                give_up(log, [each.identifier], kept=self._kept)
                self._metrics.dropped(_FEEDBACK, "unknown_prediction")
            else:
                self._waiting.append(each)
            self._waiting.popleft()

    def _settle_there(
        self,
        client: MongoClient[Document],
        log: Database[Document],
        waiting: _Waiting,
        prediction: Prediction,
    ) -> bool:
        """Settle a statement where the problem's documents are; return whether it was.

        A problem's own MongoDB that is away keeps the statements of that problem waiting, and
        nothing else.
        """
        name = waiting.feedback.problem
        if name not in self._settings.mongodb_uris:
            self._settle_one(client, log, waiting, prediction)
            return True
        if time.monotonic() < self._away.get(name, 0.0):
            return False
        from perennial.stores import mongodb

        try:
            with mongodb.connect(self._settings, name) as own:
                self._settle_one(own, log, waiting, prediction)
        except OutsideError as error:
            if name not in self._away:
                _log.warning("%s Feedback on %r waits meanwhile.", error, name)
            self._away[name] = time.monotonic() + _AWAY_SECONDS
            return False
        self._away.pop(name, None)
        return True

    def _settle_one(
        self,
        client: MongoClient[Document],
        log: Database[Document],
        waiting: _Waiting,
        prediction: Prediction,
    ) -> None:
        from pymongo.errors import WriteError

        feedback = waiting.feedback
        problem = self._problem(feedback.problem)
        try:
            settled: Settled = settle(client, log, problem, feedback.prediction_id, kept=self._kept)
        except WriteError:
            # Such as by a rule of the collection: another try would end like this one.
            give_up(log, [waiting.identifier], kept=self._kept)
            self._metrics.dropped(_FEEDBACK, "refused")
            return
        if settled.lack is not None:
            self._metrics.dropped(_FEEDBACK, settled.lack)
        if waiting.is_first:
            agrees = feedback.label == prediction.label
            self._metrics.feedback(feedback.problem, feedback.version, agrees=agrees)

    def _sweep(self, log: Database[Document]) -> None:
        """Take over what a worker that has died had stored, and not settled."""
        if time.monotonic() < self._next_sweep:
            return
        self._next_sweep = time.monotonic() + _SWEEP_SECONDS
        mine = {each.identifier for each in self._waiting}
        before = datetime.now(UTC) - timedelta(seconds=_SWEEP_SECONDS)
        for row in find_waiting(log, before, _AT_ONCE):
            if row["_id"] not in mine:
                feedback = Feedback(
                    row["updated_at"].timestamp(),
                    row["prediction_id"],
                    row["problem"],
                    row["version"],
                    row["label"],
                    row["request_id"],
                )
                self._waiting.append(_Waiting(feedback, row["sender"], is_first=False))

    @property
    def _kept(self) -> timedelta:
        return timedelta(days=self._serving.log_days)

    def _problem(self, name: str) -> Problem | None:
        """Return a problem of this machine; None if its file is not here or does not know it."""
        try:
            return self._files.read(name)
        except ProblemError as error:
            changed = self._files.changed(name)
            if self._complained.get(name) != changed:
                _log.warning("Feedback on %r becomes no documents: %s", name, error)
            self._complained[name] = changed
            return None
