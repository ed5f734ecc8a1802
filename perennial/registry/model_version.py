"""What the registry says about model versions: plain values, without MLflow.

Tags are texts that people may write, too: what is no number or no time counts as absent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

PRODUCTION: Final = "production"
PREVIOUS: Final = "previous"
CANARY: Final = "canary"
TAG = "perennial."
SINCE_TAG = f"{TAG}since."
CANARY_SHARE_TAG = f"{TAG}canary.share"
THRESHOLD_TAG = f"{TAG}threshold"
CANARY_MODE_TAG = f"{TAG}canary.mode"
ROLLED_BACK_TAG = f"{TAG}rolled-back"
VERDICT_TAG = f"{TAG}verdict"
QUESTION_TAG = f"{TAG}question."
SHADOW = "shadow"
HOLDOUT_TAG = f"{TAG}holdout"
FEEDBACK_TAG = f"{TAG}feedback"
FEEDBACK_DOCUMENTS_TAG = f"{TAG}feedback_documents"
WAITING: Final = "waiting"
_METRIC_TAG = f"{TAG}holdout."
# What versions did before feedback was kept out of the holdout, and still do where it is trusted.
_FEEDBACK_BY_HASH = "holdout"


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
class ModelVersion:
    """One version of a problem's model in the registry."""

    problem: str
    version: int
    run_id: str
    tags: Mapping[str, str]

    @property
    def sha256(self) -> str | None:
        """Hexadecimal digest of the model's file, as it was registered."""
        return self.tags.get(TAG + "sha256")

    @property
    def file_bytes(self) -> int | None:
        """Size of the model's file, as it was registered."""
        size = _number(self.tags.get(TAG + "bytes", ""))
        return None if size is None else int(size)

    @property
    def metrics(self) -> dict[str, float]:
        """What the version achieved on the holdout when it was made."""
        found = {
            key.removeprefix(_METRIC_TAG): _number(value)
            for key, value in self.tags.items()
            if key.startswith(_METRIC_TAG)
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def holdout(self) -> float | None:
        """The share of the documents that it has not learned from, if that was written down."""
        return _number(self.tags.get(HOLDOUT_TAG, ""))

    @property
    def learned_all_feedback(self) -> bool:
        """Whether it has learned from all feedback of its snapshot, the holdout's share, too."""
        use = self.tags.get(FEEDBACK_TAG, _FEEDBACK_BY_HASH)
        return use != _FEEDBACK_BY_HASH and self.tags.get(FEEDBACK_DOCUMENTS_TAG) != "0"

    @property
    def snapshot(self) -> tuple[int, str] | None:
        """Version and digest of the snapshot it has learned from, if both were written down."""
        number = self.tags.get(f"{TAG}snapshot_version", "")
        digest = self.tags.get(f"{TAG}snapshot_digest")
        return (int(number), digest) if number.isdecimal() and digest else None

    @property
    def threshold(self) -> float | None:
        """The probability above which the positive class is given, if a problem's goal chose it."""
        return _number(self.tags.get(THRESHOLD_TAG, ""))

    @property
    def share(self) -> float:
        """The share of the requests that this version answers, or sees, while it is the canary."""
        return min(1.0, max(0.0, _number(self.tags.get(CANARY_SHARE_TAG, "0")) or 0.0))

    @property
    def is_shadow(self) -> bool:
        """Whether this version only sees the requests while it is the canary."""
        return self.tags.get(CANARY_MODE_TAG) == SHADOW

    @property
    def rolled_back(self) -> str | None:
        """Why Production was rolled back from this version, if it was."""
        return self.tags.get(ROLLED_BACK_TAG)

    @property
    def verdict(self) -> str | None:
        """The outcome of its last comparison with Production."""
        return self.tags.get(VERDICT_TAG)

    @property
    def waits(self) -> bool:
        """Whether a person has not said yet if this version becomes Production."""
        return self.verdict == WAITING

    @property
    def question(self) -> Question | None:
        """The question about this version, answered or not, if a person was asked."""
        asked, until = (_time(self.tags.get(QUESTION_TAG + key, "")) for key in ("asked", "until"))
        return None if asked is None or until is None else Question(asked, until)

    @property
    def answer(self) -> str | None:
        """How the question about this version was answered: yes or no, by whom, and why."""
        return self.tags.get(f"{QUESTION_TAG}answer")

    def since(self, alias: str) -> datetime | None:
        """Return since when an alias has named this version, if that was written down."""
        with suppress(ValueError):
            return datetime.fromisoformat(self.tags.get(SINCE_TAG + alias, ""))
        return None


@dataclass(frozen=True)
class Aliases:
    """The versions of a problem that have an alias: alias -> number."""

    problem: str
    versions: Mapping[str, int]


def _number(text: str) -> float | None:
    """Return the number that a text begins with; an interval may follow it."""
    with suppress(ValueError):
        found = float(text.partition(" ")[0])
        return found if math.isfinite(found) else None
    return None


def _time(text: str) -> datetime | None:
    """Return the time that a text says, in UTC if it does not say where."""
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return None
