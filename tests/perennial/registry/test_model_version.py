"""What is written onto a version is read again, and what a person has damaged counts as absent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perennial.errors import OutsideError
from perennial.gates.base import GateResult
from perennial.registry.model_version import CanaryStep, ModelVersion, Question
from perennial.registry.tags import (
    CanaryTags,
    FileTags,
    QuestionTags,
    RunTags,
    VerdictTags,
    VersionTags,
)
from perennial.thresholds.threshold import FloorFound

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
FLOOR = {"metric": "recall", "required": 0.9, "value": 0.95, "low": 0.91}
GATE = {"name": "accuracy", "passed": True, "found": "0.9", "required": "0.8"}
# No text of these is a number of something, a time, or JSON of the shape that is written.
DAMAGED = ["", "x", "-1", "9" * 4_999, "²", "nan", "inf", "{", "[" * 4_999, "[1]", '{"a": "b"}']
# A time in the first hours of the calendar, for which UTC has none.
NO_TIMES = [*DAMAGED, "2026-13-01", "0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00"]


def version_with(tags: dict[str, str]) -> ModelVersion:
    """Return a version as MLflow has it, where each key has the project's prefix."""
    return ModelVersion("reviews", 3, "run", {f"perennial.{key}": tags[key] for key in tags})


def test_what_is_written_onto_a_version_is_read_again() -> None:
    facts = VersionTags(
        candidate="good",
        problem_digest="p",
        holdout=0.25,
        feedback="training",
        feedback_documents=7,
        threshold=0.625,
        floor=FLOOR,
        snapshot=(4, "s"),
        predicted_shares={"positive": 0.75, "negative": 0.25},
        metrics={"accuracy": "0.9 [0.8, 0.95]", "cost": 2.5},
    )
    verdict = VerdictTags("waiting", "every gate is passed", 2, [GATE])
    question = QuestionTags(asked=NOON, until=NOON + timedelta(days=1), answer="yes, by ann: ok")
    canary = CanaryTags(share=0.05, shadow=True, step=1, step_since=NOON, against=2)
    ended = CanaryTags(outcome="taken back", reason="slower")
    written = (facts, FileTags("f", 1_000, "m-1"), verdict, question, canary, ended)

    version = version_with(
        {key: value for each in written for key, value in each.as_tags().items()}
    )

    assert version.identity == ("s", "p")
    assert version.holdout == 0.25
    assert version.learned_all_feedback
    assert version.threshold == 0.625
    assert version.decision_floor(FloorFound) == FloorFound("recall", 0.9, 0.95, 0.91)
    assert version.require_snapshot() == version.snapshot == (4, "s")
    assert version.predicted_shares == {"positive": 0.75, "negative": 0.25}
    assert version.metrics == {"accuracy": 0.9, "cost": 2.5}
    assert (version.sha256, version.file_bytes, version.model_id) == ("f", 1_000, "m-1")
    assert (version.verdict, version.waits, version.compared_with) == ("waiting", True, 2)
    assert version.verdict_gates(GateResult) == (GateResult(**GATE),)
    assert version.question == Question(NOON, NOON + timedelta(days=1))
    assert version.answer == "yes, by ann: ok"
    assert (version.share, version.is_shadow) == (0.05, True)
    assert version.canary_step == CanaryStep(1, NOON, 2)
    assert (version.canary_outcome, version.canary_reason) == ("taken back", "slower")


def test_old_versions_have_these_very_keys() -> None:
    facts = VersionTags(
        candidate="c",
        problem_digest="p",
        holdout=0.2,
        feedback="training",
        feedback_documents=0,
        threshold=0.5,
        weights={"a": 1.0},
        floor=FLOOR,
        snapshot=(1, "s"),
        fields={},
        predicted_shares={},
    )
    assert list(facts.as_tags()) == [
        "candidate",
        "problem_digest",
        "holdout",
        "feedback",
        "feedback_documents",
        "threshold",
        "weights",
        "decision.floor",
        "snapshot_version",
        "snapshot_digest",
        "fields",
        "predicted_shares",
    ]
    run = RunTags("monitor", "p", "s", 1, 2, "kept", "w", "complete", "r")
    assert list(run.as_tags()) == [
        "kind",
        "problem_digest",
        "snapshot_digest",
        "watched_version",
        "version",
        "verdict",
        "winner",
        "outcome",
        "reason",
    ]


def test_a_verdict_is_written_outcome_last_so_that_its_readers_find_the_rest() -> None:
    assert list(VerdictTags("kept", "worse", None, []).as_tags())[-1] == "verdict"


def test_what_is_not_known_is_not_written() -> None:
    assert VersionTags().as_tags() == QuestionTags().as_tags() == CanaryTags().as_tags() == {}


def test_a_version_without_tags_is_read_as_one_that_says_nothing() -> None:
    version = version_with({})

    assert version.snapshot is version.identity is version.threshold is version.holdout is None
    assert version.decision_floor(FloorFound) is version.canary_step is version.question is None
    assert (version.verdict_gates(GateResult), version.predicted_shares, version.metrics) == (
        (),
        {},
        {},
    )
    assert (version.share, version.is_shadow, version.waits) == (0.0, False, False)


@pytest.mark.parametrize("text", DAMAGED)
@pytest.mark.parametrize(
    ("tag", "read"),
    [
        ("bytes", lambda version: version.file_bytes),
        ("holdout", lambda version: version.holdout),
        ("threshold", lambda version: version.threshold),
        ("snapshot_version", lambda version: version.snapshot),
        ("canary.step", lambda version: version.canary_step),
        ("canary.against", lambda version: version.canary_step),
        ("verdict.compared_with", lambda version: version.compared_with),
        ("predicted_shares", lambda version: version.predicted_shares or None),
        ("verdict.gates", lambda version: version.verdict_gates(GateResult) or None),
        ("holdout.accuracy", lambda version: version.metrics.get("accuracy", -1.0)),
        ("canary.share", lambda version: version.share),
    ],
)
def test_a_tag_that_a_person_has_damaged_is_no_reason_to_fail(
    tag: str, read: Callable[[ModelVersion], Any], text: str
) -> None:
    sound = {
        "snapshot_version": "4",
        "snapshot_digest": "s",
        "canary.step": "1",
        "canary.step_since": NOON.isoformat(),
        "canary.against": "2",
    }

    found = read(version_with(sound | {tag: text}))

    # A metric may be negative and a share is clamped; all else is absent.
    assert found in ({-1.0, 0.0, 1.0} if tag in {"holdout.accuracy", "canary.share"} else {None})


@pytest.mark.parametrize("text", NO_TIMES)
def test_a_damaged_time_counts_as_absent(text: str) -> None:
    until = {"question.asked": NOON.isoformat(), "question.until": text}
    step = {"canary.step": "1", "canary.step_since": text, "canary.against": "2"}

    version = version_with({"since.production": text} | until | step)

    assert version.since("production") is version.question is version.canary_step is None


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-05-04T12:00:00", NOON),
        ("2026-05-04T14:00:00+02:00", NOON),
        ("2026-05-04", datetime(2026, 5, 4, tzinfo=UTC)),
    ],
)
def test_a_time_that_a_person_wrote_can_be_compared_with_the_clock(
    text: str, time: datetime
) -> None:
    version = version_with(
        {"since.production": text, "canary.step": "0", "canary.step_since": text}
        | {"canary.against": "1", "question.asked": text, "question.until": text}
    )

    assert version.since("production") == time
    assert version.canary_step == CanaryStep(0, time, 1)
    assert version.question == Question(time, time)
    assert version.question.until.utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_version_that_must_name_its_snapshot_says_which_tags_are_wrong(text: str) -> None:
    version = version_with({"snapshot_version": text, "snapshot_digest": "s"})

    with pytest.raises(
        OutsideError, match=r"^Version 3 of 'reviews' names no snapshot in its tags "
    ):
        version.require_snapshot()


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_floor_is_refused_for_a_gate_would_be_left_out_without_it(text: str) -> None:
    with pytest.raises(OutsideError, match=r"^The tag perennial\.decision\.floor of version 3 of"):
        version_with({"decision.floor": text}).decision_floor(FloorFound)
