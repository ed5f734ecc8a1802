"""Words for what the console shows: filters of its templates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from perennial.commands import counted
from perennial.redaction import redact
from perennial.registry.model_version import PRODUCTION, ModelVersion
from perennial.status.facts import Facts, Live
from perennial.times import rounded

# An empty text stands for what is not known; templates show a dash for it.
_VERDICTS = {"promoted": "promoted", "kept": "kept", "waiting": "waits for a person"}


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was, or how far off it is."""
    if moment is None:
        return ""
    return f"in {rounded(moment - now)}" if moment > now else f"{rounded(now - moment)} ago"


def stamp(moment: datetime | None) -> str:
    """Return a moment to the minute, in UTC."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def figure(value: float | None) -> str:
    """Return a figure with three digits."""
    return "" if value is None else f"{value:.3f}"


def live(found: Live | None) -> str:
    """Return the accuracy by feedback."""
    return "" if found is None else figure(found.value)


def interval(found: Live | None) -> str:
    """Return the interval of the accuracy by feedback."""
    if found is None or found.low is None or found.high is None:
        return ""
    return f"[{found.low:.3f}, {found.high:.3f}]"


def since(facts: Facts) -> datetime | None:
    """Return since when Production is Production."""
    production = facts.versions.production
    return None if production is None else production.since(PRODUCTION)


def drift(facts: Facts) -> str:
    """Return in what there is drift."""
    if "monitor" not in facts.measured:
        return ""
    return ", ".join(facts.drifting) or "none"


def quarantined(facts: Facts) -> str:
    """Return how many documents are in quarantine."""
    held, every = facts.quarantined
    return f"{held:,}" if every else ""


def of_documents(facts: Facts) -> str:
    """Return of how many documents."""
    _, every = facts.quarantined
    return f"of {every:,}" if every else ""


def reasons(facts: Facts) -> str:
    """Return why documents are in quarantine as JSON: key, and a sentence with their number."""
    return json.dumps(
        [(reason.key, f"{reason}: {counted(count, 'document')}") for reason, count in facts.held]
    )


def canary(facts: Facts) -> str:
    """Return which version is tried."""
    found = facts.versions.canary
    return "" if found is None else f"v{found.version}"


def canary_share(facts: Facts) -> str:
    """Return which share of the requests the canary gets."""
    found = facts.versions.canary
    if found is None:
        return ""
    return f"sees {found.share:.0%}" if found.is_shadow else f"answers {found.share:.0%}"


def last_retraining(facts: Facts) -> str:
    """Return what the last retraining said about its version."""
    run, measured = facts.automatic.last, facts.measured.get("retrain")
    if run is not None and (measured is None or run.at > measured.at):
        return run.state.lower()
    if measured is None:
        return ""
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


def shortener(folder: Path) -> Callable[[object], str]:
    """Return a filter that hides passwords, and the part of paths that is the same for all files.

    Parameters
    ----------
    folder : Path
        The folder of the project, which people know.
    """
    prefix = f"{folder}/"
    return lambda text: redact(str(text).replace(prefix, ""))


FILTERS: Mapping[str, Callable[..., object]] = {
    each.__name__: each
    for each in (
        ago, stamp, figure, live, interval, since, drift, quarantined, of_documents, reasons,
        canary, canary_share, last_retraining, retrained, verdict,
    )
}  # fmt: skip
