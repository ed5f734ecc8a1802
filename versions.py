"""What the registry says about model versions: plain values, without MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

PRODUCTION: Final = "production"
PREVIOUS: Final = "previous"
CANARY: Final = "canary"
TAG = "perennial."
SINCE_TAG = f"{TAG}since."
CANARY_SHARE_TAG = f"{TAG}canary.share"
CANARY_MODE_TAG = f"{TAG}canary.mode"
SHADOW = "shadow"
_METRIC_TAG = f"{TAG}holdout."


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
    def metrics(self) -> dict[str, float]:
        """What the version achieved on the holdout when it was made."""
        return {
            key.removeprefix(_METRIC_TAG): float(value)
            for key, value in self.tags.items()
            if key.startswith(_METRIC_TAG)
        }

    @property
    def share(self) -> float:
        """The share of the requests that this version answers, or sees, while it is the canary."""
        return float(self.tags.get(CANARY_SHARE_TAG, 0))

    @property
    def is_shadow(self) -> bool:
        """Whether this version only sees the requests while it is the canary."""
        return self.tags.get(CANARY_MODE_TAG) == SHADOW

    def since(self, alias: str) -> datetime | None:
        """Return since when an alias has named this version, if that was written down."""
        found = self.tags.get(SINCE_TAG + alias)
        return datetime.fromisoformat(found) if found else None


@dataclass(frozen=True)
class Aliases:
    """The versions of a problem that have an alias: alias -> number."""

    problem: str
    versions: Mapping[str, int]
