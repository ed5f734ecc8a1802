"""What follows from the facts about a problem: findings by written rules, and one word for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from perennial.commands import command
from perennial.registry.model_version import TAKEN_BACK
from perennial.status.facts import Facts

State = Literal["failing", "attention", "new", "ok", "retired"]
# The worst first: the state of a problem is that of its worst finding.
STATES: Final[tuple[State, ...]] = ("failing", "attention", "new", "ok", "retired")
# A few documents that cannot be used are in every collection.
QUARANTINED_SHARE: Final = 0.05
LEAST_ANSWERS: Final = 30
_RETIRED: Final = "is_retired"


@dataclass(frozen=True)
class Finding:
    """Something about a problem that a person should know.

    Attributes
    ----------
    rule : str
        Name of the rule, as in the documentation.
    state : State
        What it makes of the problem.
    sentence : str
        What was found, and what to do.
    """

    rule: str
    state: State
    sentence: str


@dataclass(frozen=True)
class Rule:
    """One rule by which a problem is judged.

    Attributes
    ----------
    name : str
        What findings call it.
    state : State
        What its findings make of the problem.
    when : str
        When it finds something, in a sentence for the documentation.
    find : callable
        Returns a sentence for each finding, given the facts and the moment.
    """

    name: str
    state: State
    when: str
    find: Callable[[Facts, datetime], Iterator[str]]


def _file_cannot_be_used(facts: Facts, _: datetime) -> Iterator[str]:
    if "problem file" in facts.unknown:
        yield facts.unknown["problem file"]


def _source_is_away(facts: Facts, _: datetime) -> Iterator[str]:
    yield from (why for source, why in facts.unknown.items() if source != "problem file")


def _production_is_lost(facts: Facts, _: datetime) -> Iterator[str]:
    if facts.versions.lost:
        remedy = command("rollback", facts.name, "--version", "N")
        yield f"{facts.versions.lost} `{remedy}` puts another version in its place."


def _never_promoted(facts: Facts, _: datetime) -> Iterator[str]:
    versions = facts.versions
    if versions.newest and not versions.production and not versions.lost and not versions.waiting:
        yield (
            f"No version has become Production yet. Version {versions.newest.version}: "
            f"{versions.newest.verdict_reason or 'there is no verdict on it.'}"
        )


def _flow_is_overdue(facts: Facts, now: datetime) -> Iterator[str]:
    for flow, until in sorted(facts.due.items()):
        if until < now and flow not in facts.automatic.paused:
            measured = facts.measured.get(flow)
            last = (
                f"last succeeded on {measured.at:%Y-%m-%d %H:%M} UTC" if measured else "never has"
            )
            yield (
                f"{flow} should have succeeded by {until:%Y-%m-%d %H:%M} UTC by its schedule, and "
                f"{last}; its runs are in Prefect, and `{command('up')}` starts a worker on this "
                "machine."
            )


def _run_has_failed(facts: Facts, _: datetime) -> Iterator[str]:
    for flow, run in sorted(facts.automatic.failed.items()):
        yield (
            f"The last run of {flow} ended as {run.state}; it began on "
            f"{run.at:%Y-%m-%d %H:%M} UTC, and its log is in Prefect."
        )


def _question_waits(facts: Facts, _: datetime) -> Iterator[str]:
    for version in facts.versions.waiting:
        until = f" until {version.question.until:%Y-%m-%d %H:%M} UTC" if version.question else ""
        yield (
            f"Version {version.version} waits for an answer{until}; "
            f"run `{command('approve', facts.name)}`."
        )


def _schedule_is_paused(facts: Facts, _: datetime) -> Iterator[str]:
    pause = facts.automatic.pause
    for flow in sorted(facts.automatic.paused):
        if pause is not None and flow == "retrain":
            yield f"The schedule of {flow} was paused by {pause.by}: {pause.why}"
        else:
            yield f"The schedule of {flow} is paused; resume it in Prefect or in the console."


def _documents_drift(facts: Facts, _: datetime) -> Iterator[str]:
    if facts.drifting:
        yield f"The last monitoring found drift: {', '.join(facts.drifting)}."


def _answers_are_worse(facts: Facts, _: datetime) -> Iterator[str]:
    live, claimed = facts.live, facts.claimed_accuracy
    if live is None or claimed is None or live.high is None:
        return
    if live.answers >= LEAST_ANSWERS and live.high < claimed:
        yield (
            f"By feedback on {live.answers:,} answers accuracy is {live.value:.3f} "
            f"[{live.low:.3f}, {live.high:.3f}]; it was {claimed:.3f} on the holdout."
        )


def _documents_are_held(facts: Facts, _: datetime) -> Iterator[str]:
    held, every = facts.quarantined
    if every and held / every > QUARANTINED_SHARE:
        yield (
            f"{held:,} of {every:,} documents are in quarantine; "
            f"`{command('quarantine', facts.name)}` says why."
        )


def _documents_are_unexpected(facts: Facts, _: datetime) -> Iterator[str]:
    whole = facts.figure("retrain", "checked_documents")
    for labels, count in facts.figures("retrain", "unexpected_documents"):
        what = "have no value" if labels["what"] == "missing" else "are outside of what is usual"
        yield (
            f"{labels['field']}: {count:,.0f} of {whole or count:,.0f} new documents {what}; the "
            "report of the last retraining has what was expected."
        )


def _canary_was_taken_back(facts: Facts, _: datetime) -> Iterator[str]:
    newest = facts.versions.newest
    if newest and newest.canary_outcome == TAKEN_BACK:
        yield f"Version {newest.version} was taken back as a canary: {newest.canary_reason or ''}"


def _nothing_trained(facts: Facts, _: datetime) -> Iterator[str]:
    away = facts.unknown.keys() & {"registry", "problem file"}
    if not facts.versions.newest and not facts.versions.lost and not away:
        yield f"Nothing has been trained yet; run `{command('retrain', facts.name)}`."


def _is_retired(facts: Facts, _: datetime) -> Iterator[str]:
    if facts.versions.retired is not None:
        yield (
            f"It is retired since {facts.versions.retired[:10]}, and not retrained or answered; "
            f"`{command('retire', facts.name, '--undo')}` brings it back."
        )


RULES: Final = (
    Rule(
        "file_cannot_be_used",
        "failing",
        "The file of the problem has a mistake, so that none of its flows can run.",
        _file_cannot_be_used,
    ),
    Rule(
        "source_is_away",
        "failing",
        "The registry, MongoDB or Prefect does not answer, so that not everything is known.",
        _source_is_away,
    ),
    Rule(
        "production_is_lost",
        "failing",
        "There was a Production, and its version or its alias is gone.",
        _production_is_lost,
    ),
    Rule(
        "flow_is_overdue",
        "failing",
        "A flow has missed two times of its schedule since its last success, and is not paused.",
        _flow_is_overdue,
    ),
    Rule(
        "run_has_failed",
        "attention",
        "The last run of a flow that is over has failed or crashed.",
        _run_has_failed,
    ),
    Rule(
        "never_promoted",
        "attention",
        "Versions exist, and none has ever become Production.",
        _never_promoted,
    ),
    Rule(
        "question_waits",
        "attention",
        "A version has passed its gates, and waits for a person.",
        _question_waits,
    ),
    Rule(
        "schedule_is_paused",
        "attention",
        "Somebody has paused the schedule of a flow in Prefect.",
        _schedule_is_paused,
    ),
    Rule(
        "documents_drift",
        "attention",
        "The last monitoring has found drift.",
        _documents_drift,
    ),
    Rule(
        "answers_are_worse",
        "attention",
        "By feedback, Production is proved worse than it was on the holdout.",
        _answers_are_worse,
    ),
    Rule(
        "documents_are_held",
        "attention",
        "More than a twentieth of the documents is in quarantine.",
        _documents_are_held,
    ),
    Rule(
        "documents_are_unexpected",
        "attention",
        "New documents lack values, or have unusual ones, more often than Production's.",
        _documents_are_unexpected,
    ),
    Rule(
        "canary_was_taken_back",
        "attention",
        "The newest version was tried as a canary, and taken back.",
        _canary_was_taken_back,
    ),
    Rule(
        "nothing_trained",
        "new",
        "No version exists yet.",
        _nothing_trained,
    ),
    Rule(
        _RETIRED,
        "retired",
        "The problem is retired; then no other rule finds anything.",
        _is_retired,
    ),
)


def find(facts: Facts, now: datetime) -> tuple[Finding, ...]:
    """Return what the rules find, the worst first.

    Parameters
    ----------
    facts : Facts
        What is known about the problem.
    now : datetime
        The moment for which it is judged.
    """
    is_retired = facts.versions.retired is not None
    found = (
        Finding(rule.name, rule.state, sentence)
        for rule in RULES
        if not is_retired or rule.name == _RETIRED
        for sentence in rule.find(facts, now)
    )
    return tuple(sorted(found, key=lambda each: STATES.index(each.state)))


def state_of(findings: tuple[Finding, ...]) -> State:
    """Return the state of the worst finding, ``ok`` without one."""
    return findings[0].state if findings else "ok"
