"""Words for what the console shows: filters of its templates."""

from __future__ import annotations

from datetime import UTC, datetime

from perennial.redaction import redact
from perennial.registry.model_version import PRODUCTION, ModelVersion
from perennial.status.facts import Facts, Live
from perennial.times import rounded

NONE = "—"
_VERDICTS = {"promoted": "promoted", "kept": "kept", "waiting": "waits for a person"}


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was, or how far off it is."""
    if moment is None:
        return NONE
    return f"in {rounded(moment - now)}" if moment > now else f"{rounded(now - moment)} ago"


def stamp(moment: datetime | None) -> str:
    """Return a moment to the minute, in UTC."""
    return NONE if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def figure(value: float | None) -> str:
    """Return a figure with three digits."""
    return NONE if value is None else f"{value:.3f}"


def live(found: Live | None) -> str:
    """Return the accuracy by feedback with its interval."""
    if found is None:
        return NONE
    if found.low is None or found.high is None:
        return figure(found.value)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def since(facts: Facts) -> datetime | None:
    """Return since when Production is Production."""
    production = facts.versions.production
    return None if production is None else production.since(PRODUCTION)


def drift(facts: Facts) -> str:
    """Return in what there is drift."""
    if "monitor" not in facts.measured:
        return NONE
    return ", ".join(facts.drifting) or "none"


def quarantine(facts: Facts) -> str:
    """Return how many documents are in quarantine, of how many."""
    held, every = facts.quarantined
    return f"{held:,} of {every:,}" if every else NONE


def canary(facts: Facts) -> str:
    """Return which version is tried, and by how many requests."""
    found = facts.versions.canary
    if found is None:
        return NONE
    what = "sees" if found.is_shadow else "answers"
    return f"v{found.version} {what} {found.share:.0%}"


def last_retraining(facts: Facts) -> str:
    """Return what the last retraining said about its version."""
    run, measured = facts.automatic.last, facts.measured.get("retrain")
    if run is not None and (measured is None or run.at > measured.at):
        return run.state.lower()
    if measured is None:
        return NONE
    outcomes = [labels["outcome"] for labels, value in facts.figures("retrain", "verdict") if value]
    return _VERDICTS.get(outcomes[0], outcomes[0]) if outcomes else "nothing new"


def retrained(facts: Facts) -> datetime | None:
    """Return when the last retraining succeeded, or began if it has not."""
    run, measured = facts.automatic.last, facts.measured.get("retrain")
    times = [each.at for each in (run, measured) if each is not None]
    return max(times, default=None)


def verdict(version: ModelVersion) -> str:
    """Return the verdict on a version in words."""
    said = _VERDICTS.get(version.verdict or "", version.verdict or "no verdict")
    if version.rolled_back is not None:
        said += ", rolled back"
    return said


def redacted(text: object) -> str:
    """Return a text without what stands in addresses and is nobody's business."""
    return redact(str(text))
