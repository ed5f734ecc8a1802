"""What the registry says about model versions: plain values, without MLflow.

Tags are texts that people may write, too. A property of a tag that does not say what the project
writes there is None (or empty), as if there were none. Where a version cannot be used without it,
one `OutsideError` names the tag.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from perennial.commands import command
from perennial.errors import OutsideError
from perennial.registry.tags import METRIC, SHADOW, SINCE, VersionKey

T = TypeVar("T")

PRODUCTION: Final = "production"
PREVIOUS: Final = "previous"
CANARY: Final = "canary"
WAITING: Final = "waiting"
# How a canary ends that was worse than Production.
TAKEN_BACK: Final = "taken back"
# What versions did before feedback was kept out of the holdout, and still do where it is trusted.
_FEEDBACK_BY_HASH = "holdout"
# What all versions were before there was a choice.
_BY_CONTENT = "content"
_SHARES = TypeAdapter(dict[str, FiniteFloat])
# Versions, documents and bytes have fewer digits; Delta Lake and MongoDB hold no more.
_LONGEST_COUNT = 18


@dataclass(frozen=True)
class Question:
    """What a person is asked about a version: may it become Production?

    Attributes
    ----------
    asked : datetime
        When.
    until : datetime
        Until when it may be answered.
    """

    asked: datetime
    until: datetime


@dataclass(frozen=True)
class CanaryStep:
    """Where a rollout has got to with its canary.

    Attributes
    ----------
    step : int
        Position of the step, from 0.
    since : datetime
        When the step began.
    against : int
        The version that was Production when the rollout began.
    """

    step: int
    since: datetime
    against: int


@dataclass(frozen=True)
class ModelVersion:
    """One version of a problem's model in the registry."""

    problem: str
    version: int
    run_id: str
    tags: Mapping[str, str]
    created: datetime | None = field(default=None, compare=False)

    @property
    def format(self) -> int:
        """The format of its tags and files; the first one where nothing says it."""
        return self._count(VersionKey.FORMAT) or 1

    @property
    def sha256(self) -> str | None:
        """Hexadecimal digest of the model's file, as it was registered."""
        return self._text(VersionKey.SHA256)

    @property
    def file_bytes(self) -> int | None:
        """Size of the model's file, as it was registered."""
        return self._count(VersionKey.BYTES)

    @property
    def model_id(self) -> str | None:
        """MLflow's id of the stored model, if this project has registered the version."""
        return self._text(VersionKey.MODEL_ID)

    @property
    def metrics(self) -> dict[str, float]:
        """What the version achieved on the holdout when it was made."""
        found = {
            key.removeprefix(METRIC): _number(value)
            for key, value in self.tags.items()
            if key.startswith(METRIC)
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def holdout(self) -> float | None:
        """The share of the documents that it has not learned from, if that was written down."""
        share = self._number(VersionKey.HOLDOUT)
        return share if share is not None and 0 < share < 1 else None

    @property
    def split(self) -> str:
        """What decided on which side a document was: by content where it is not written down."""
        return self._text(VersionKey.SPLIT) or _BY_CONTENT

    @property
    def split_field(self) -> str | None:
        """The field of the groups that were on one side, if there were groups."""
        return self._text(VersionKey.SPLIT_FIELD)

    @property
    def split_cut(self) -> datetime | None:
        """The time after which it has learned from nothing, if its split was by time."""
        return self._time(VersionKey.SPLIT_CUT)

    def rare_labels(self, kind: type[T]) -> T | None:
        """Return what became of rare labels when it was made, if anything did."""
        return self._parsed(VersionKey.RARE_LABELS, TypeAdapter(kind))

    @property
    def learned_all_feedback(self) -> bool:
        """Whether it has learned from all feedback of its snapshot, the holdout's share, too."""
        use = self._text(VersionKey.FEEDBACK) or _FEEDBACK_BY_HASH
        return use != _FEEDBACK_BY_HASH and self._count(VersionKey.FEEDBACK_DOCUMENTS) != 0

    @property
    def snapshot(self) -> tuple[int, str] | None:
        """Version and digest of the snapshot it has learned from, if both were written down."""
        number = self._count(VersionKey.SNAPSHOT_VERSION)
        digest = self._text(VersionKey.SNAPSHOT_DIGEST)
        return (number, digest) if number is not None and digest else None

    @property
    def erased(self) -> int:
        """How many of the documents that it has learned from have been erased since."""
        return self._count(VersionKey.ERASED) or 0

    def require_snapshot(self) -> tuple[int, str]:
        """Return version and digest of the snapshot it has learned from.

        Raises
        ------
        OutsideError
            If its tags do not say them.
        """
        if self.snapshot is None:
            tags = f"{VersionKey.SNAPSHOT_VERSION.tag} and {VersionKey.SNAPSHOT_DIGEST.tag}"
            raise OutsideError(
                f"Version {self.version} of {self.problem!r} names no snapshot in its tags {tags} "
                f"(MLFLOW_TRACKING_URI); run `{command('retrain', self.problem)}` for the next one."
            )
        return self.snapshot

    @property
    def problem_digest(self) -> str | None:
        """Digest of the problem's file from which it was made."""
        return self._text(VersionKey.PROBLEM_DIGEST)

    @property
    def identity(self) -> tuple[str, str] | None:
        """Digests of snapshot and problem: a retraining repeats itself when both are the same."""
        snapshot, problem = self._text(VersionKey.SNAPSHOT_DIGEST), self.problem_digest
        return (snapshot, problem) if snapshot and problem else None

    @property
    def threshold(self) -> float | None:
        """The probability above which the positive class is given, if a problem's goal chose it."""
        found = self._number(VersionKey.THRESHOLD)
        return found if found is not None and 0 <= found <= 1 else None

    def decision_floor(self, kind: type[T]) -> T | None:
        """Return what became of the decision's floor, if the problem had one.

        Nothing else knows it, and a gate asks for it: a damaged tag does not count as absent.

        Parameters
        ----------
        kind : type
            What it is returned as.

        Raises
        ------
        OutsideError
            If the tag is damaged.
        """
        stored = self._text(VersionKey.FLOOR)
        found = self._parsed(VersionKey.FLOOR, TypeAdapter(kind))
        if stored is not None and found is None:
            raise OutsideError(
                f"The tag {VersionKey.FLOOR.tag} of version {self.version} of {self.problem!r} is "
                f"{stored!r}, which a retraining does not write (MLFLOW_TRACKING_URI); run "
                f"`{command('retrain', self.problem)}` for the next version."
            )
        return found

    @property
    def predicted_shares(self) -> dict[str, float]:
        """How often it predicts each label for the holdout; empty if that was not written down."""
        return self._parsed(VersionKey.PREDICTED_SHARES, _SHARES) or {}

    @property
    def share(self) -> float:
        """The share of the requests that this version answers, or sees, while it is the canary."""
        return min(1.0, max(0.0, self._number(VersionKey.CANARY_SHARE) or 0.0))

    @property
    def is_shadow(self) -> bool:
        """Whether this version only sees the requests while it is the canary."""
        return self._text(VersionKey.CANARY_MODE) == SHADOW

    @property
    def canary_step(self) -> CanaryStep | None:
        """Where a rollout has got to with this version, if one has started it."""
        step, against = self._count(VersionKey.CANARY_STEP), self._count(VersionKey.CANARY_AGAINST)
        since = self._time(VersionKey.CANARY_STEP_SINCE)
        if step is None or since is None or against is None:
            return None
        return CanaryStep(step, since, against)

    @property
    def canary_outcome(self) -> str | None:
        """How this version ended as a canary, if it was one."""
        return self._text(VersionKey.CANARY_OUTCOME)

    @property
    def canary_reason(self) -> str | None:
        """Why this version ended as a canary, if it was one."""
        return self._text(VersionKey.CANARY_REASON)

    @property
    def rolled_back(self) -> str | None:
        """Why Production was rolled back from this version, if it was."""
        return self._text(VersionKey.ROLLED_BACK)

    @property
    def is_kept(self) -> bool:
        """Whether a person wants to keep it, whatever its age."""
        return VersionKey.KEEP.tag in self.tags

    @property
    def verdict(self) -> str | None:
        """The outcome of its last comparison with Production."""
        return self._text(VersionKey.VERDICT)

    @property
    def verdict_reason(self) -> str | None:
        """Why its last comparison with Production ended so."""
        return self._text(VersionKey.VERDICT_REASON)

    @property
    def compared_with(self) -> int | None:
        """The version that was Production at that comparison, if there was one."""
        return self._count(VersionKey.COMPARED_WITH)

    def verdict_gates(self, kind: type[T]) -> tuple[T, ...]:
        """Return the gates of its last comparison with Production, each as a value of a type."""
        gates: TypeAdapter[tuple[T, ...]] = TypeAdapter(tuple[kind, ...])  # type: ignore[valid-type]
        return self._parsed(VersionKey.VERDICT_GATES, gates) or ()

    def selection(self, kind: type[T]) -> T | None:
        """Return how it was chosen on a holdout, if that was written down, as a value of a type."""
        return self._parsed(VersionKey.SELECTION, TypeAdapter(kind))

    def since_made(self, kind: type[T]) -> T | None:
        """Return what documents say that arrived after it, if that was measured."""
        return self._parsed(VersionKey.SINCE, TypeAdapter(kind))

    @property
    def specification(self) -> str | None:
        """Digest of what its candidate is; versions of the same one are made alike."""
        return self._text(VersionKey.SPECIFICATION)

    @property
    def confirmation(self) -> str | None:
        """Whether its gain is confirmed, if it has passed every other gate; see `VerdictTags`."""
        return self._text(VersionKey.CONFIRMATION)

    @property
    def anchor(self) -> int:
        """The best version when its verdict was reached: an earlier one, or this one."""
        return self._count(VersionKey.ANCHOR) or self.version

    @property
    def steps(self) -> int:
        """How many versions have followed its anchor, with this one."""
        return self._count(VersionKey.STEPS) or 0

    @property
    def waits(self) -> bool:
        """Whether a person has not said yet if this version becomes Production."""
        return self.verdict == WAITING

    @property
    def question(self) -> Question | None:
        """The question about this version, answered or not, if a person was asked."""
        asked, until = self._time(VersionKey.ASKED), self._time(VersionKey.UNTIL)
        return None if asked is None or until is None else Question(asked, until)

    @property
    def answer(self) -> str | None:
        """How the question about this version was answered: yes or no, by whom, and why."""
        return self._text(VersionKey.ANSWER)

    def since(self, alias: str) -> datetime | None:
        """Return since when an alias has named this version, if that was written down."""
        return _time(self.tags.get(SINCE + alias, ""))

    def _text(self, key: VersionKey) -> str | None:
        return self.tags.get(key.tag)

    def _number(self, key: VersionKey) -> float | None:
        return _number(self.tags.get(key.tag, ""))

    def _count(self, key: VersionKey) -> int | None:
        text = self.tags.get(key.tag, "")
        return int(text) if text.isdecimal() and len(text) <= _LONGEST_COUNT else None

    def _time(self, key: VersionKey) -> datetime | None:
        return _time(self.tags.get(key.tag, ""))

    def _parsed(self, key: VersionKey, adapter: TypeAdapter[T]) -> T | None:
        with suppress(ValidationError):
            return adapter.validate_json(self.tags.get(key.tag, ""))
        return None


@dataclass(frozen=True)
class Aliases:
    """The versions of a problem that have an alias: alias -> number.

    Attributes
    ----------
    problem : str
        Name of the problem.
    versions : mapping of str to int
        Alias -> number of the version.
    erasure : str or None
        When documents of the problem were last erased, if any were.
    had_production : bool
        Whether a version has ever been Production.
    retired : str or None
        When the problem was retired, if it was.
    changed : str or None
        When tags of one of its versions were last written, if that was noted.
    """

    problem: str
    versions: Mapping[str, int]
    erasure: str | None = None
    had_production: bool = False
    retired: str | None = None
    changed: str | None = None


def _number(text: str) -> float | None:
    """Return the number that a text begins with; an interval may follow it."""
    with suppress(ValueError):
        found = float(text.partition(" ")[0])
        return found if math.isfinite(found) else None
    return None


def _time(text: str) -> datetime | None:
    """Return the time that a text says, in UTC; it is meant so if the text does not say where."""
    # The first and the last hours of the calendar have no equivalent in UTC.
    with suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return None
