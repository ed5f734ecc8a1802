"""The state of a problem: each finding says what was seen and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from perennial.registry.model_version import ModelVersion
from perennial.status.facts import Facts
from perennial.status.rules import RULES, STATES, find, state_of
from perennial.status.runs import Automatic, Run
from perennial.status.versions import Versions
from perennial.stores.measurements import Gauge, Measurement

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def version(number: int, **tags: str) -> ModelVersion:
    named = {"perennial." + key.replace("_", "."): value for key, value in tags.items()}
    return ModelVersion("reviews", number, "run", named)


def measured(flow: str, *gauges: Gauge) -> Mapping[str, Measurement]:
    return {flow: Measurement(flow, "reviews", NOW - timedelta(hours=9), gauges)}


HEALTHY = Facts(
    "reviews",
    "accuracy",
    Versions(version(3, holdout_accuracy="0.9 [0.88, 0.92]"), newest=version(3)),
    measured("retrain", Gauge("documents", 1000, {"outcome": "used"})),
    {"retrain": NOW + timedelta(hours=39)},
)


def found(facts: Facts) -> dict[str, str]:
    return {finding.rule: finding.sentence for finding in find(facts, NOW)}


def monitored(*gauges: Gauge) -> Facts:
    return replace(HEALTHY, measured={**HEALTHY.measured, **measured("monitor", *gauges)})


def live(value: float, low: float, high: float, answers: float, number: str = "3") -> Facts:
    of = {"version": number}
    return monitored(
        Gauge("live_accuracy", value, of),
        Gauge("live_accuracy_low", low, of),
        Gauge("live_accuracy_high", high, of),
        Gauge("live_answers", answers, of),
    )


def test_a_healthy_problem_has_no_finding() -> None:
    assert find(HEALTHY, NOW) == ()
    assert state_of(()) == "ok"


@pytest.mark.parametrize(
    ("facts", "rule", "said"),
    [
        (
            Facts("reviews", unknown={"problem file": "problems/reviews.yaml, line 3: ..."}),
            "file_cannot_be_used",
            "problems/reviews.yaml, line 3",
        ),
        (
            replace(HEALTHY, unknown={"mongodb": "MongoDB does not answer."}),
            "source_is_away",
            "MongoDB does not answer.",
        ),
        (
            replace(HEALTHY, versions=Versions(lost="Version 3 is gone.", newest=version(3))),
            "production_is_lost",
            "`perennial rollback reviews --version N`",
        ),
        (
            replace(HEALTHY, due={"retrain": NOW - timedelta(minutes=1)}),
            "flow_is_overdue",
            "and last succeeded on 2026-06-01 03:00 UTC",
        ),
        (
            replace(
                HEALTHY,
                automatic=Automatic(failed={"monitor": Run("1", "Crashed", NOW, True, True)}),
            ),
            "run_has_failed",
            "The last run of monitor ended as Crashed",
        ),
        (
            replace(
                HEALTHY, versions=Versions(newest=version(1, verdict_reason="accuracy too low"))
            ),
            "never_promoted",
            "Version 1: accuracy too low",
        ),
        (
            replace(HEALTHY, versions=replace(HEALTHY.versions, waiting=(version(4),))),
            "question_waits",
            "Version 4 waits for an answer; run `perennial approve reviews`.",
        ),
        (
            replace(
                HEALTHY,
                automatic=Automatic(paused=frozenset({"retrain"})),
                due={"retrain": NOW - timedelta(days=9)},
            ),
            "schedule_is_paused",
            "The schedule of retrain is paused",
        ),
        (
            monitored(
                Gauge("drift_found", 1, {"test": "words", "of": "documents"}),
                Gauge("drift_found", 0, {"test": "length", "of": "documents"}),
            ),
            "documents_drift",
            "drift: words of documents.",
        ),
        (
            live(0.8, 0.76, 0.84, 400),
            "answers_are_worse",
            "0.800 [0.760, 0.840]; it was 0.900 on the holdout",
        ),
        (
            replace(
                HEALTHY,
                measured=measured(
                    "retrain",
                    Gauge("documents", 900, {"outcome": "used"}),
                    Gauge("documents", 100, {"outcome": "quarantined"}),
                ),
            ),
            "documents_are_held",
            "100 of 1,000 documents are in quarantine",
        ),
        (
            replace(
                HEALTHY,
                measured=measured(
                    "retrain",
                    Gauge("checked_documents", 80),
                    Gauge("unexpected_documents", 60, {"field": "age", "what": "missing"}),
                ),
            ),
            "documents_are_unexpected",
            "age: 60 of 80 new documents have no value",
        ),
        (
            replace(
                HEALTHY,
                versions=replace(
                    HEALTHY.versions,
                    newest=version(4, canary_outcome="taken back", canary_reason="It was worse."),
                ),
            ),
            "canary_was_taken_back",
            "Version 4 was taken back as a canary: It was worse.",
        ),
        (
            # Nobody is to mend what is not needed any more.
            replace(
                HEALTHY,
                versions=replace(HEALTHY.versions, retired="2026-05-01T08:00:00+00:00"),
                due={"retrain": NOW - timedelta(days=9)},
                automatic=Automatic(paused=frozenset({"monitor"})),
            ),
            "is_retired",
            "retired since 2026-05-01",
        ),
        (Facts("reviews"), "nothing_trained", "`perennial retrain reviews`"),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else "",
)
def test_each_rule_finds_its_case_and_says_what_to_do(facts: Facts, rule: str, said: str) -> None:
    sentences = found(facts)

    assert sentences.keys() == {rule}
    assert said in sentences[rule]


def test_every_rule_has_a_case_above() -> None:
    marks = test_each_rule_finds_its_case_and_says_what_to_do.pytestmark  # type: ignore[attr-defined]
    (cases,) = (mark.args[1] for mark in marks if mark.name == "parametrize")

    assert {rule for _, rule, _ in cases} == {rule.name for rule in RULES}


@pytest.mark.parametrize(
    "facts",
    [
        live(0.8, 0.7, 0.905, 400),
        live(0.5, 0.3, 0.7, 20),
        live(0.8, 0.76, 0.84, 400, number="2"),
    ],
    ids=["not proved", "few answers", "of an earlier version"],
)
def test_answers_are_not_called_worse_without_proof_about_this_version(facts: Facts) -> None:
    assert found(facts) == {}


def test_the_worst_finding_comes_first_and_decides() -> None:
    facts = replace(
        monitored(Gauge("drift_found", 1, {"test": "words", "of": ""})),
        due={"retrain": NOW - timedelta(days=1)},
    )

    findings = find(facts, NOW)

    assert [finding.state for finding in findings] == ["failing", "attention"]
    assert state_of(findings) == "failing" == STATES[0]
