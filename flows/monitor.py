"""Monitor: has the world changed, is Production as good as it was, and what of the canary?

perennial monitor sentiment

A run takes seconds, and so may come every few minutes: it looks at the newest documents and
predictions, at most `monitoring.sample` of each (5,000), and at as many of the snapshot's holdout,
which the retraining has laid aside: it reads nothing else of the snapshot, however large that is.
"""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow
from prefect.logging import get_run_logger

from perennial.commands import command
from perennial.config.loader import load_problem
from perennial.settings import get_settings
from tasks.monitoring.alarm import raise_alarm
from tasks.monitoring.drift import look_for_drift
from tasks.monitoring.quality import measure_freshness, measure_quality
from tasks.monitoring.report import report_monitoring
from tasks.monitoring.result import MonitorResult
from tasks.monitoring.samples import read_recent, read_reference
from tasks.orchestration.connect import connect
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.promotion.questions import close_unanswered
from tasks.rollout.judge_canary import judge_canary


@flow(name="monitor", flow_run_name="monitor {problem}")
def monitor(problem: str = "sentiment") -> MonitorResult | None:
    """Judge the canary, compare what is recent with what Production learned from, raise alarms.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.

    Returns
    -------
    MonitorResult or None
        None while the problem has no Production version to watch.
    """
    quiet_prefect_logs()
    now = datetime.now(UTC)
    spec = load_problem(get_settings().problem_file(problem))
    registry = connect()
    # First, as it may change what is Production, and requests are waiting for it.
    judge_canary(spec)
    close_unanswered(spec)
    production = registry.production(spec.name)
    if production is None:
        get_run_logger().warning(
            "%s has no Production version; run `%s`.", spec.name, command("retrain", spec.name)
        )
        return None
    reference = read_reference(spec, production)
    recent = read_recent(spec, reference, now)
    drift = look_for_drift(spec, reference, recent)
    quality = measure_quality(spec, reference, recent, now)
    freshness = measure_freshness(spec, reference, recent, now)
    alarm = raise_alarm(spec, production, drift, now)
    monitored = MonitorResult(now, reference, recent, drift, quality, freshness, alarm)
    report_monitoring(spec, monitored)
    return monitored


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(monitor)
