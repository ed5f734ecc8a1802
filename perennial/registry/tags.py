"""The tags of versions and runs in MLflow: every key, and the text of every value.

Keys stand here without `TAG`, the prefix of this project, which `perennial.registry` alone puts
before them. Tags of versions are read by the properties of `ModelVersion`. Names never change:
versions that were registered long ago have them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from perennial.formats import VERSION

TAG: Final = "perennial."
# What the keys of whole families begin with: changes of Production in the tags of a registered
# model, since when an alias names a version, metrics on the holdout, and libraries of a run.
HISTORY: Final = f"{TAG}history."
SINCE: Final = f"{TAG}since."
METRIC: Final = f"{TAG}holdout."
LIBRARY: Final = f"{TAG}version."
# When documents of a problem were last erased, as a tag of its registered model.
ERASURE: Final = f"{TAG}erasure"
# When a problem was retired, as a tag of its registered model.
RETIRED: Final = f"{TAG}retired"
# When tags of one of a problem's versions were last written, as a tag of its registered model.
CHANGED: Final = f"{TAG}changed"
SHADOW: Final = "shadow"
RunKind = Literal[
    "retrain", "candidate", "experiment", "explored", "monitor", "reproduce", "staleness"
]


class VersionKey(StrEnum):
    """The key of a tag of a model version, without the prefix."""

    FORMAT = "format"
    SHA256 = "sha256"
    BYTES = "bytes"
    MODEL_ID = "model_id"
    CANDIDATE = "candidate"
    SPECIFICATION = "specification"
    PROBLEM_DIGEST = "problem_digest"
    HOLDOUT = "holdout"
    SPLIT = "split"
    SPLIT_FIELD = "split.field"
    SPLIT_CUT = "split.cut"
    RARE_LABELS = "rare_labels"
    FEEDBACK = "feedback"
    FEEDBACK_DOCUMENTS = "feedback_documents"
    THRESHOLD = "threshold"
    WEIGHTS = "weights"
    FLOOR = "decision.floor"
    SNAPSHOT_VERSION = "snapshot_version"
    SNAPSHOT_DIGEST = "snapshot_digest"
    ERASED = "erased"
    FIELDS = "fields"
    PREDICTED_SHARES = "predicted_shares"
    VERDICT = "verdict"
    VERDICT_REASON = "verdict.reason"
    VERDICT_GATES = "verdict.gates"
    COMPARED_WITH = "verdict.compared_with"
    CONFIRMATION = "verdict.confirmation"
    ANCHOR = "verdict.anchor"
    STEPS = "verdict.steps"
    SELECTION = "verdict.selection"
    SINCE = "since"
    ASKED = "question.asked"
    UNTIL = "question.until"
    ANSWER = "question.answer"
    ANSWERED = "question.answered"
    ROLLED_BACK = "rolled-back"
    # Written by people.
    KEEP = "keep"
    CANARY_SHARE = "canary.share"
    CANARY_MODE = "canary.mode"
    CANARY_STEP = "canary.step"
    CANARY_STEP_SINCE = "canary.step_since"
    CANARY_AGAINST = "canary.against"
    CANARY_OUTCOME = "canary.outcome"
    CANARY_REASON = "canary.reason"

    @property
    def tag(self) -> str:
        """The key as MLflow has it."""
        return TAG + self.value


class RunKey(StrEnum):
    """The key of a tag of a run, without the prefix."""

    KIND = "kind"
    PROBLEM_DIGEST = "problem_digest"
    SNAPSHOT_DIGEST = "snapshot_digest"
    WATCHED_VERSION = "watched_version"
    REPRODUCED_VERSION = "version"
    VERDICT = "verdict"
    WINNER = "winner"
    OUTCOME = "outcome"
    REASON = "reason"

    @property
    def tag(self) -> str:
        """The key as MLflow has it."""
        return TAG + self.value


@dataclass(frozen=True)
class VersionTags:
    """Facts about a version that are known when it is registered; what is None is left out.

    Attributes
    ----------
    candidate : str or None
        Name of the candidate that became the challenger.
    specification : str or None
        Digest of what that candidate is, by which a later retraining finds the same again.
    problem_digest : str or None
        Digest of the problem's file.
    holdout : float or None
        Share of the documents that the version has not learned from.
    split, split_field : str or None
        What decided on which side a document was, and the field of the groups.
    split_cut : datetime or None
        By time: the version has learned from nothing that was created after it.
    rare_labels : mapping of str to value, or None
        What became of rare labels.
    feedback : str or None
        What feedback was used for.
    feedback_documents : int or None
        Number of documents from feedback in the snapshot.
    threshold : float or None
        Probability above which the positive class is given.
    weights : mapping of str to float, or None
        Weight of each label, where more than two labels have no threshold.
    floor : mapping of str to value, or None
        The metric of the decision's floor and what became of it.
    snapshot : tuple of int and str, or None
        Version and digest of the snapshot.
    fields : mapping of str to str, or None
        Kind of each field of a record.
    predicted_shares : mapping of str to float, or None
        How often the version predicts each label for the holdout.
    metrics : mapping of str to value
        Each metric on the holdout, with or without its interval.
    """

    candidate: str | None = None
    specification: str | None = None
    problem_digest: str | None = None
    holdout: float | None = None
    split: str | None = None
    split_field: str | None = None
    split_cut: datetime | None = None
    rare_labels: Mapping[str, Any] | None = None
    feedback: str | None = None
    feedback_documents: int | None = None
    threshold: float | None = None
    weights: Mapping[str, float] | None = None
    floor: Mapping[str, Any] | None = None
    snapshot: tuple[int, str] | None = None
    fields: Mapping[str, str] | None = None
    predicted_shares: Mapping[str, float] | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)

    def as_tags(self) -> dict[str, str]:
        """Return keys, without the prefix, and values."""
        number, digest = self.snapshot or (None, None)
        values = {
            VersionKey.CANDIDATE: self.candidate,
            VersionKey.SPECIFICATION: self.specification,
            VersionKey.PROBLEM_DIGEST: self.problem_digest,
            VersionKey.HOLDOUT: self.holdout,
            VersionKey.SPLIT: self.split,
            VersionKey.SPLIT_FIELD: self.split_field,
            VersionKey.SPLIT_CUT: self.split_cut,
            VersionKey.RARE_LABELS: self.rare_labels,
            VersionKey.FEEDBACK: self.feedback,
            VersionKey.FEEDBACK_DOCUMENTS: self.feedback_documents,
            VersionKey.THRESHOLD: self.threshold,
            VersionKey.WEIGHTS: self.weights,
            VersionKey.FLOOR: self.floor,
            VersionKey.SNAPSHOT_VERSION: number,
            VersionKey.SNAPSHOT_DIGEST: digest,
            VersionKey.FIELDS: self.fields,
            VersionKey.PREDICTED_SHARES: self.predicted_shares,
        }
        prefix = METRIC.removeprefix(TAG)
        return _texts(values) | {prefix + name: str(found) for name, found in self.metrics.items()}


@dataclass(frozen=True)
class FileTags:
    """The file of a version, by which it is recognised and found."""

    sha256: str
    bytes: int
    model_id: str

    def as_tags(self) -> dict[str, str]:
        """Return keys, without the prefix, and values."""
        return _texts(
            {
                VersionKey.FORMAT: VERSION,
                VersionKey.SHA256: self.sha256,
                VersionKey.BYTES: self.bytes,
                VersionKey.MODEL_ID: self.model_id,
            }
        )


@dataclass(frozen=True)
class ErasureTags:
    """How many of the documents that a version has learned from have been erased since."""

    documents: int

    def as_tags(self) -> dict[str, str]:
        """Return keys, without the prefix, and values."""
        return _texts({VersionKey.ERASED: self.documents})


@dataclass(frozen=True)
class QuestionTags:
    """The question whether a version becomes Production, and its answer; None is left out."""

    asked: datetime | None = None
    until: datetime | None = None
    answer: str | None = None
    answered: datetime | None = None

    def as_tags(self) -> dict[str, str]:
        """Return keys, without the prefix, and values."""
        return _texts(
            {
                VersionKey.ASKED: self.asked,
                VersionKey.UNTIL: self.until,
                VersionKey.ANSWER: self.answer,
                VersionKey.ANSWERED: self.answered,
            }
        )


@dataclass(frozen=True)
class VerdictTags:
    """A verdict on a version.

    Attributes
    ----------
    outcome, reason : str
        What becomes of the version, and why.
    compared_with : int or None
        The version that was Production.
    gates : sequence of mapping
        Every gate with the figure that was found.
    confirmation : str or None
        Whether a version that has passed every other gate is confirmed; None for the others.
    anchor : int or None
        The best version so far, below which it and its successors may not sink; None for itself.
    steps : int or None
        How many versions, with this one, have followed that anchor.
    selection : mapping or None
        How a version that has passed was chosen, see `perennial.promotion.figure.Selection`.
    """

    outcome: str
    reason: str
    compared_with: int | None
    gates: Sequence[Mapping[str, Any]]
    confirmation: str | None = None
    anchor: int | None = None
    steps: int | None = None
    selection: Mapping[str, Any] | None = None

    def as_tags(self) -> dict[str, str]:
        """Return keys, without the prefix, and values; the outcome last."""
        return _texts(
            {
                VersionKey.VERDICT_REASON: self.reason,
                VersionKey.COMPARED_WITH: str(self.compared_with),
                VersionKey.VERDICT_GATES: self.gates,
                VersionKey.CONFIRMATION: self.confirmation,
                VersionKey.ANCHOR: self.anchor,
                VersionKey.STEPS: self.steps,
                VersionKey.SELECTION: self.selection,
                VersionKey.VERDICT: self.outcome,
            }
        )


@dataclass(frozen=True)
class SinceTags:
    """What documents that arrived after Production say, see `perennial.promotion.figure.Since`."""

    since: Mapping[str, Any]

    def as_tags(self) -> dict[str, str]:
        """Return keys, without the prefix, and values."""
        return _texts({VersionKey.SINCE: self.since})


@dataclass(frozen=True)
class CanaryTags:
    """What a rollout notes about its canary; what is None stays as it was.

    Attributes
    ----------
    share : float or None
        Share of the requests that the canary answers, or sees.
    shadow : bool or None
        Whether it only sees them.
    step : int or None
        Position of its step, from 0.
    step_since : datetime or None
        When that step began.
    against : int or None
        The version with which it is compared.
    outcome, reason : str or None
        How it ended, and why.
    """

    share: float | None = None
    shadow: bool | None = None
    step: int | None = None
    step_since: datetime | None = None
    against: int | None = None
    outcome: str | None = None
    reason: str | None = None

    def as_tags(self) -> dict[str, str]:
        """Return keys, without the prefix, and values."""
        mode = None if self.shadow is None else SHADOW if self.shadow else "answer"
        return _texts(
            {
                VersionKey.CANARY_SHARE: self.share,
                VersionKey.CANARY_MODE: mode,
                VersionKey.CANARY_STEP: self.step,
                VersionKey.CANARY_STEP_SINCE: self.step_since,
                VersionKey.CANARY_AGAINST: self.against,
                VersionKey.CANARY_OUTCOME: self.outcome,
                VersionKey.CANARY_REASON: self.reason,
            }
        )


@dataclass(frozen=True)
class RunTags:
    """Facts about a run, by which it is found again; what is None is left out.

    Attributes
    ----------
    kind : RunKind or None
        What the run is for.
    problem_digest, snapshot_digest : str or None
        What it learned from.
    watched_version, reproduced_version : int or None
        The version that is monitored, or made again.
    verdict : str or None
        The verdict's outcome on the challenger of a retraining.
    winner : str or None
        Name of an experiment's best candidate.
    outcome, reason : str or None
        How the exploration of a candidate ended, and why.
    """

    kind: RunKind | None = None
    problem_digest: str | None = None
    snapshot_digest: str | None = None
    watched_version: int | None = None
    reproduced_version: int | None = None
    verdict: str | None = None
    winner: str | None = None
    outcome: str | None = None
    reason: str | None = None

    def as_tags(self) -> dict[str, str]:
        """Return keys, without the prefix, and values."""
        return _texts(
            {
                RunKey.KIND: self.kind,
                RunKey.PROBLEM_DIGEST: self.problem_digest,
                RunKey.SNAPSHOT_DIGEST: self.snapshot_digest,
                RunKey.WATCHED_VERSION: self.watched_version,
                RunKey.REPRODUCED_VERSION: self.reproduced_version,
                RunKey.VERDICT: self.verdict,
                RunKey.WINNER: self.winner,
                RunKey.OUTCOME: self.outcome,
                RunKey.REASON: self.reason,
            }
        )


def _texts(values: Mapping[VersionKey, Any] | Mapping[RunKey, Any]) -> dict[str, str]:
    """Return the values that are there, as texts."""
    return {key.value: _text(value) for key, value in values.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value)
