"""Questions: which version waits for a person's yes or no, and how that ends.

A question is kept by tags of its version in MLflow and by nothing else. No process waits for the
answer, so that nothing has to stay alive for a day, and a restart of any server loses nothing. A
version waits from the moment when its verdict says so until the verdict says something else.
"""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.gates.approval import Approval
from perennial.promotion.verdict import Verdict
from perennial.registry.client import ModelVersion, Registry, StaleComparisonError, open_registry
from perennial.registry.tags import QuestionTags
from perennial.settings import get_settings
from tasks.orchestration.events import emit
from tasks.orchestration.retries import NETWORK
from tasks.production.lock import production_lock
from tasks.promotion.verdicts import answer_command, read_verdict, write_verdict

NOBODY = "nobody"


def describe(problem: str, verdict: Verdict) -> str:
    """Return one sentence about a question: until when, and how it is answered."""
    until = "" if verdict.until is None else f" until {moment(verdict.until)}"
    return (
        f"{problem} version {verdict.challenger} has passed every gate and waits{until} for a "
        f"person: {answer_command(problem, verdict.challenger)}, or with --refuse; in Prefect, "
        f"run the deployment approve/{problem}."
    )


def moment(time: datetime) -> str:
    """Return a time for people."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def ask(
    problem: Problem,
    registry: Registry,
    version: ModelVersion,
    production: ModelVersion | None,
    verdict: Verdict,
) -> Verdict:
    """Ask about a challenger that has passed every gate; the caller holds the problem's lock.

    One version of a problem waits at a time, the newest: an older one is kept, and says so.

    Returns
    -------
    Verdict
        With the time until when it may be answered.

    Raises
    ------
    StaleComparisonError
        If Production is not the version any more with which the challenger was compared.
    OutsideError
        If MLflow cannot be used.
    """
    now = registry.production(problem.name)
    if (now and now.version) != (production and production.version):
        raise StaleComparisonError(f"Production is {now}, not {production}")
    for other in registry.waiting(problem.name):
        if other.version > version.version:
            newer = f"version {other.version}, which is newer, waits for an answer already"
            verdict = verdict.answered(Approval(approved=False, by=NOBODY, why=newer))
            write_verdict(registry, version, verdict)
            return verdict
        if other.version < version.version:
            _give_up(registry, other, f"version {version.version} is asked about in its place")
    asked = datetime.now(UTC)
    until = asked + problem.gates.answer_within
    verdict = verdict.model_copy(update={"until": until})
    write_verdict(registry, version, verdict, QuestionTags(asked=asked, until=until))
    return verdict


def require_open(registry: Registry, version: ModelVersion, approval: Approval) -> None:
    """See to it that a version still waits for this answer; the caller holds the problem's lock.

    A task that is tried again may have given it already, before a server went away.

    Raises
    ------
    OutsideError
        If it does not.
    """
    now = registry.version(version.problem, version.version)
    if not now.waits and now.answer != str(approval):
        raise OutsideError(_why_it_does_not_wait(now))


def close(registry: Registry, version: ModelVersion, verdict: Verdict, approval: Approval) -> None:
    """Write the verdict that follows from an answer; the caller holds the problem's lock."""
    answer = QuestionTags(answer=str(approval), answered=datetime.now(UTC))
    write_verdict(registry, version, verdict, answer)


@task(name="find question", cache_policy=NO_CACHE, **NETWORK)
def find_question(problem: Problem, registry: Registry, number: int) -> ModelVersion:
    """Return a version that waits for an answer, and whose time is not over.

    Raises
    ------
    OutsideError
        If there is no such version, or nobody is asked about it, or not any more.
    """
    version = registry.version(problem.name, number)
    production = registry.production(problem.name)
    if production is not None and production.version == number:
        raise OutsideError(f"Version {number} of {problem.name!r} is Production already.")
    if version.waits and _is_over(version):
        _close_late(problem, registry, version)
        version = registry.version(problem.name, number)
    if not version.waits:
        raise OutsideError(_why_it_does_not_wait(version))
    return version


@task(name="refuse", cache_policy=NO_CACHE, **NETWORK)
def refuse(
    problem: Problem, registry: Registry, version: ModelVersion, approval: Approval
) -> Verdict:
    """Keep a version that waits, because a person says so; nothing is compared again for that.

    Raises
    ------
    OutsideError
        If it does not wait any more, or MLflow or MongoDB (which keeps the lock) cannot be used.
    """
    with production_lock(problem):
        require_open(registry, version, approval)
        verdict = read_verdict(version).answered(approval)
        close(registry, version, verdict, approval)
    get_run_logger().info("Version %s is kept (%s).", version.version, verdict.reason)
    return verdict


@task(name="close unanswered", cache_policy=NO_CACHE, **NETWORK)
def close_unanswered(problem: Problem) -> None:
    """Keep what nobody has answered in time, and say in the log what still waits.

    Raises
    ------
    OutsideError
        If MLflow or MongoDB (which keeps the lock) cannot be used.
    """
    registry = open_registry(get_settings())
    for version in registry.waiting(problem.name):
        if _is_over(version):
            _close_late(problem, registry, version)
        else:
            get_run_logger().info("%s", describe(problem.name, read_verdict(version)))


def _close_late(problem: Problem, registry: Registry, version: ModelVersion) -> None:
    """Keep a version whose time is over, unless it was answered a moment before."""
    with production_lock(problem):
        now = registry.version(problem.name, version.version)
        if not (now.waits and _is_over(now)):
            return
        production = registry.production(problem.name)
        if production is not None and production.version == now.version:
            # Somebody has moved the alias by other means.
            yes = Approval(approved=True, by=NOBODY, why="it is Production already")
            close(registry, now, read_verdict(now).answered(yes), yes)
            return
        question = now.question
        time = "in time" if question is None else f"until {moment(question.until)}"
        _give_up(registry, now, f"no answer {time}")


def _give_up(registry: Registry, version: ModelVersion, why: str) -> None:
    """Answer no in place of a person."""
    approval = Approval(approved=False, by=NOBODY, why=why)
    verdict = read_verdict(version).answered(approval)
    close(registry, version, verdict, approval)
    emit("version.kept", version.problem, version=version.version, reason=verdict.reason)


def _is_over(version: ModelVersion) -> bool:
    """Return whether it is too late to answer; it is when nobody can say until when."""
    question = version.question
    return question is None or question.until <= datetime.now(UTC)


def _why_it_does_not_wait(version: ModelVersion) -> str:
    name = f"Version {version.version} of {version.problem!r}"
    if version.answer is not None:
        return f"{name} waits for no answer any more, it has one: {version.answer}."
    if version.verdict is None:
        return f"{name} waits for no answer: it has no verdict."
    return f"{name} waits for no answer: its verdict is {version.verdict!r}."
