"""The alarm: from what each run finds to an event that is raised once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from perennial import times
from perennial.config.sections.monitoring import Monitoring


@dataclass(frozen=True)
class Alarm:
    """What is remembered of a problem from run to run.

    Attributes
    ----------
    version : int
        The Production version that the rest is about.
    runs : int
        How many runs in a row have found drift, up to the latest.
    raised_at : datetime or None
        When the event was last raised about this version.
    """

    version: int
    runs: int = 0
    raised_at: datetime | None = None


@dataclass(frozen=True)
class Step:
    """The alarm after a run, whether the event is raised now, and why or why not."""

    alarm: Alarm
    raised: bool
    reason: str


def advance(
    before: Alarm | None,
    *,
    version: int,
    drifted: bool,
    near: bool = False,
    retraining: bool,
    now: datetime,
    monitoring: Monitoring,
) -> Step:
    """Return what a run's finding makes of the alarm.

    Parameters
    ----------
    before : Alarm or None
        What earlier runs left; what they knew of another version is forgotten.
    version : int
        Production at this run.
    drifted : bool
        Whether this run found drift.
    near : bool
        Whether it found nearly as much. The runs before still count then: what lies at a limit
        is now above and now below it.
    retraining : bool
        Whether a retraining of the problem is under way, which is what the event asks for.
    now : datetime
        The time of this run.
    monitoring : Monitoring
        How many runs in a row it takes, and how long the event is not raised again.
    """
    alarm = before if before is not None and before.version == version else Alarm(version)
    if not drifted and near and alarm.runs:
        return Step(alarm, raised=False, reason="less than the limit, and not yet as usual")
    if not drifted:
        return Step(replace(alarm, runs=0), raised=False, reason="no drift")
    alarm = replace(alarm, runs=alarm.runs + 1)
    quiet_until = alarm.raised_at and times.after(alarm.raised_at, monitoring.cool_down)
    if alarm.runs < monitoring.runs:
        reason = f"found in {alarm.runs} of the {monitoring.runs} runs in a row that it takes"
    elif quiet_until is not None and now < quiet_until:
        reason = f"raised before; quiet until {quiet_until:%Y-%m-%d %H:%M} UTC"
    elif retraining:
        reason = "a retraining is under way"
    else:
        return Step(replace(alarm, raised_at=now), raised=True, reason="raised now")
    return Step(alarm, raised=False, reason=reason)
