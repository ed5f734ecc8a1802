"""Judge the canary: does it go on, become Production, or is it taken back?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pymongo.database import Database

from perennial.config.problem import Problem
from perennial.promotion.canary_analysis import (
    CanaryAnalysis,
    CanaryOutcome,
    Check,
    choose_outcome,
    compute_checks,
)
from perennial.registry.client import ModelVersion, Registry, open_registry
from perennial.settings import get_serving_settings, get_settings
from perennial.stores import mongodb
from perennial.stores.measurements import Gauge, record
from tasks.orchestration.retries import NETWORK
from tasks.production.lock import production_lock
from tasks.rollout import canary
from tasks.rollout.canary import Canary
from tasks.rollout.paired import compare_on_log
from tasks.rollout.traffic import count_outcomes
from tasks.tables.promotion import checks_table


@task(name="judge canary", cache_policy=NO_CACHE, **NETWORK)
def judge_canary(problem: Problem) -> CanaryAnalysis | None:
    """Judge the canary of a problem by what it has done since its step began, and act on it.

    It may be called at any time and as often as one likes: looking more often takes back no good
    version more often (see `perennial.promotion.canary_analysis`).

    Parameters
    ----------
    problem : Problem
        The problem, with the rules of its rollout.

    Returns
    -------
    CanaryAnalysis or None
        None if no rollout has a canary.

    Raises
    ------
    OutsideError
        If MLflow or MongoDB (which has the log, and keeps the lock) cannot be used.
    """
    registry = open_registry(get_settings())
    if canary.current(registry, problem) is None:
        return None
    with mongodb.connect(get_settings()) as client:
        log = client[get_serving_settings().log_database]
        # Promotions and rollbacks wait for each other: what is judged is what is acted on.
        with production_lock(problem):
            found = canary.current(registry, problem)
            if found is None:
                return None
            analysis = _analyse(problem, registry, found, log)
            _act(problem, registry, found, analysis)
    _show(problem, analysis)
    get_run_logger().info(
        "Canary %s, %s of the requests: %s (%s).",
        analysis.canary,
        f"{analysis.share:.0%}",
        analysis.outcome,
        analysis.reason,
    )
    return analysis


def _analyse(
    problem: Problem, registry: Registry, found: Canary, log: Database[mongodb.Document]
) -> CanaryAnalysis:
    rollout, number, against = problem.rollout, found.version.version, found.against
    step = min(found.step, len(rollout.steps) - 1)
    outcome: CanaryOutcome = "take back"
    checks: tuple[Check, ...] = ()
    production = registry.production(problem.name)
    if found.taken_back is not None:
        reason = found.taken_back
    elif production is not None and production.version == number:
        outcome, reason = "promote", "it is Production already"
    elif production is None or production.version != against:
        now = "there is none" if production is None else f"it is version {production.version}"
        reason = f"Production is not version {against} any more, with which it is compared: {now}"
    elif rollout.mode != "canary":
        reason = f"rollout in problems/{problem.name}.yaml is {rollout.mode} by now"
    else:
        seen = count_outcomes(log, problem.name, (number, against), found.since)
        shift = _expected_shift(found.version, production)
        paired = None
        if rollout.must_see is not None:
            versions = (found.version, production)
            paired = compare_on_log(problem, registry, log, *versions, found.since)
        checks = compute_checks(rollout, seen[number], seen[against], shift, paired)
        age = datetime.now(UTC) - found.since
        outcome, reason = choose_outcome(rollout, step, seen[number], checks, age)
    share = canary.share_of(rollout, found)
    return CanaryAnalysis(outcome, reason, number, against, step, share, checks)


def _show(problem: Problem, analysis: CanaryAnalysis) -> None:
    """Keep the analysis for the Prefect UI, and its gauges for Prometheus."""
    heading = f"{problem.name}: canary {analysis.canary}, {analysis.outcome}: {analysis.reason}"
    create_markdown_artifact(
        key=f"canary-{problem.name}",
        markdown=f"# {heading}\n\n{checks_table(analysis).markdown()}",
        description=heading,
    )
    share = analysis.share if analysis.outcome in {"wait", "next step"} else 0.0
    record("judge", problem, [Gauge("canary_requests_ratio", share), *_gauges(analysis)])


def _gauges(analysis: CanaryAnalysis) -> Iterator[Gauge]:
    for check in analysis.checks:
        labels = {"figure": check.name, "version": str(analysis.canary)}
        yield Gauge("canary_worse_by_at_least", check.worse.low, labels)
        yield Gauge("canary_worse_allowed", check.limit, labels)


def _expected_shift(version: ModelVersion, production: ModelVersion) -> dict[str, float]:
    """Return each label's share of a version's predictions for the holdout, minus Production's."""
    one, other = version.predicted_shares, production.predicted_shares
    return {label: one[label] - other[label] for label in one.keys() & other.keys()}


def _act(problem: Problem, registry: Registry, found: Canary, analysis: CanaryAnalysis) -> None:
    match analysis.outcome:
        case "wait":
            canary.keep_share(problem, registry, found)
        case "next step":
            canary.go_on(problem, registry, found)
        case "promote":
            production = registry.version(problem.name, analysis.production)
            canary.make_production(problem, registry, found, production, analysis.reason)
        case "take back":
            canary.take_back(problem, registry, found, analysis.reason)
