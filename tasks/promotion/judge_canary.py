"""Judge: does the canary go on, become Production, or is it taken back?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pymongo.database import Database

from perennial.config.problem import Problem
from perennial.promotion.canary_analysis import Check, Judgement, Outcome, compare, decide
from perennial.registry.client import TAG, ModelVersion, Registry, open_registry
from perennial.settings import get_serving_settings, get_settings
from perennial.stores import mongodb
from perennial.stores.measurements import Gauge, record
from tasks.orchestration.retries import NETWORK
from tasks.promotion import canary
from tasks.promotion.canary import Canary
from tasks.promotion.lock import production_lock
from tasks.promotion.traffic import observe
from tasks.reporting.tables import checks_table


@task(name="judge", cache_policy=NO_CACHE, **NETWORK)
def judge(problem: Problem) -> Judgement | None:
    """Judge the canary of a problem by what it has done since its step began, and act on it.

    It may be called at any time and as often as one likes: looking more often takes back no good
    version more often (see `perennial.promotion.canary_analysis`).

    Parameters
    ----------
    problem : Problem
        With the rules of its rollout.

    Returns
    -------
    Judgement or None
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
            judgement = _judge(problem, registry, found, log)
            _act(problem, registry, found, judgement)
    _show(problem, judgement)
    get_run_logger().info(
        "Canary %s, %s of the requests: %s (%s).",
        judgement.canary,
        f"{judgement.share:.0%}",
        judgement.outcome,
        judgement.reason,
    )
    return judgement


def _judge(
    problem: Problem, registry: Registry, found: Canary, log: Database[mongodb.Document]
) -> Judgement:
    rollout, number, against = problem.rollout, found.version.version, found.against
    step = min(found.step, len(rollout.steps) - 1)
    outcome: Outcome = "take back"
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
        seen = observe(log, problem.name, (number, against), found.since)
        shift = _expected_shift(found.version, production)
        checks = compare(rollout, seen[number], seen[against], shift)
        age = datetime.now(UTC) - found.since
        outcome, reason = decide(rollout, step, seen[number], checks, age)
    share = canary.share_of(rollout, found)
    return Judgement(outcome, reason, number, against, step, share, checks)


def _show(problem: Problem, judgement: Judgement) -> None:
    """Keep the judgement for the Prefect UI, and its numbers for Prometheus."""
    heading = f"{problem.name}: canary {judgement.canary}, {judgement.outcome}: {judgement.reason}"
    create_markdown_artifact(
        key=f"canary-{problem.name}",
        markdown=f"# {heading}\n\n{checks_table(judgement).markdown()}",
        description=heading,
    )
    share = judgement.share if judgement.outcome in {"wait", "next step"} else 0.0
    record("judge", problem, [Gauge("canary_requests_ratio", share), *_gauges(judgement)])


def _gauges(judgement: Judgement) -> Iterator[Gauge]:
    for check in judgement.checks:
        labels = {"figure": check.name, "version": str(judgement.canary)}
        yield Gauge("canary_worse_by_at_least", check.worse.low, labels)
        yield Gauge("canary_worse_allowed", check.limit, labels)


def _expected_shift(version: ModelVersion, production: ModelVersion) -> dict[str, float]:
    """Return by how much more often a version predicted each label for the holdout."""
    one, other = (_predicted_shares(each) for each in (version, production))
    return {label: one[label] - other[label] for label in one.keys() & other.keys()}


def _predicted_shares(version: ModelVersion) -> dict[str, float]:
    try:
        shares = json.loads(version.tags[f"{TAG}predicted_shares"])
        return {str(label): float(share) for label, share in shares.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        # An older version does not say it, or a person has changed it.
        return {}


def _act(problem: Problem, registry: Registry, found: Canary, judgement: Judgement) -> None:
    match judgement.outcome:
        case "wait":
            canary.keep_share(problem, registry, found)
        case "next step":
            canary.go_on(problem, registry, found)
        case "promote":
            production = registry.version(problem.name, judgement.production)
            canary.promote(problem, registry, found, production, judgement.reason)
        case "take back":
            canary.take_back(problem, registry, found, judgement.reason)
