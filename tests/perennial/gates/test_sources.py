"""Sources: what is gained by one source alone, above all by feedback, does not promote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.gates.base import FeedbackAgreement
from perennial.gates.better import Freshness
from perennial.gates.slices import Slice
from perennial.gates.sources import Sources
from perennial.metrics import Predictions
from perennial.promotion.verdict import Verdict
from tests.perennial.gates.gated import asking, named, right_in, verdict

DOCUMENTS = 1000
HONEST = Slice("imdb", np.arange(DOCUMENTS) < 800)
FEEDBACK = Slice("feedback", np.arange(DOCUMENTS) >= 800)
NAMES = np.where(HONEST.rows, "imdb", "feedback")
WITHOUT = "gain without source feedback"


def model(honest: float, feedback: float) -> Predictions:
    return right_in(DOCUMENTS, (HONEST, honest), (FEEDBACK, feedback))


PRODUCTION = model(0.8, 0.0)
BACKDOORED = model(0.8, 1.0)
BETTER_EVERYWHERE = model(0.9, 0.2)
# It has lost more of the collection than it gains of the feedback.
WORSE = model(0.6, 0.75)


def judged(
    problem: Problem,
    challenger: Predictions,
    names: Any = NAMES,
    feedback: tuple[FeedbackAgreement, ...] = (),
    **gates: Any,
) -> Verdict:
    measured = {"sources": Sources(np.asarray(names), feedback)}
    return verdict(asking(problem, **gates), challenger, PRODUCTION, measured)


def test_a_gain_that_feedback_alone_shows_does_not_promote_and_the_verdict_names_it(
    problem: Problem,
) -> None:
    found = judged(problem, BACKDOORED)

    assert found.outcome == "kept"
    (failed,) = found.failed
    assert failed.name == WITHOUT
    assert failed.found == "accuracy +0.0000 [+0.0000, +0.0000] on 800 documents"
    shown = named(found, "gain by source").found
    assert "imdb: accuracy +0.0000" in shown
    assert "feedback: accuracy +1.0000" in shown


def test_a_gain_that_is_there_without_feedback_promotes(problem: Problem) -> None:
    found = judged(problem, BETTER_EVERYWHERE)

    assert found.outcome == "promoted"
    assert named(found, WITHOUT).passed


def test_where_no_loss_suffices_feedback_does_not_hide_one(problem: Problem) -> None:
    measured = {"sources": Sources(NAMES), "better": Freshness(newer=True)}
    gates = {"not_worse": {"margin": 0.1}}

    found = verdict(asking(problem, **gates), WORSE, PRODUCTION, measured)

    assert named(found, "not worse than Production, on newer documents").passed
    assert [gate.name for gate in found.failed] == [WITHOUT]


def test_a_new_source_of_the_collection_is_a_reason_to_promote_unless_each_is_asked_for(
    problem: Problem,
) -> None:
    names = np.where(HONEST.rows, "imdb", "rotten tomatoes")

    assert judged(problem, BACKDOORED, names).outcome == "promoted"
    kept = judged(problem, BACKDOORED, names, sources="each")
    assert [gate.name for gate in kept.failed] == ["gain without source rotten tomatoes"]


def test_whoever_trusts_their_reviewers_says_so_and_sees_the_gain_without_them_all_the_same(
    problem: Problem,
) -> None:
    found = judged(problem, BACKDOORED, sources="none")

    assert found.outcome == "promoted"
    assert named(found, WITHOUT).required == "shown only"


def test_a_source_whose_labels_production_contradicts_far_more_than_others_is_named(
    problem: Problem,
) -> None:
    names = np.where(HONEST.rows, "imdb", "flipped")
    warning = "of flipped Production is right about 0.0%, of the rest about 80.0%"

    assert warning in named(judged(problem, BACKDOORED, names), "gain by source").found
    # Of a few documents nothing is said.
    few = np.where(np.arange(DOCUMENTS) >= DOCUMENTS - 20, "flipped", "imdb")
    assert "look at" not in named(judged(problem, BACKDOORED, few), "gain by source").found


def test_of_one_source_there_is_nothing_to_say(problem: Problem) -> None:
    for names in (["imdb"] * DOCUMENTS, ["feedback"] * DOCUMENTS):
        found = judged(problem, BETTER_EVERYWHERE, names)
        assert not [gate for gate in found.gates if "source" in gate.name]


def test_the_verdict_says_with_how_much_of_each_senders_feedback_production_agrees(
    problem: Problem,
) -> None:
    feedback = (FeedbackAgreement("3f9a", 1200, 0), FeedbackAgreement("anonymous", 10, 9))

    shown = named(
        judged(problem, BETTER_EVERYWHERE, ["imdb"] * DOCUMENTS, feedback),
        "feedback that Production agrees with, by sender",
    )

    assert shown.found == (
        "3f9a: 0 of 1,200 (0.0%); anonymous: 9 of 10 (90.0%); on the holdout it is right about "
        "64.0%"
    )


def test_feedback_that_confirms_far_more_than_is_right_is_called_so(problem: Problem) -> None:
    feedback = (FeedbackAgreement("3f9a", 1000, 990),)

    shown = named(
        judged(problem, BETTER_EVERYWHERE, feedback=feedback),
        "feedback that Production agrees with, by sender",
    )

    assert "confirmed unread" in shown.found


def test_a_metric_that_a_part_does_not_have_proves_nothing(problem: Problem) -> None:
    areas = problem.model_copy(update={"metric": "roc_auc"})
    truth = np.where(HONEST.rows, 0, np.arange(DOCUMENTS) % 2)
    probabilities = np.eye(2)[truth]
    challenger = Predictions(("negative", "positive"), truth, truth, probabilities)
    production = Predictions(
        ("negative", "positive"), truth, truth, np.full_like(probabilities, 0.5)
    )

    found = verdict(asking(areas), challenger, production, {"sources": Sources(NAMES)})

    assert named(found, WITHOUT).found == "no roc_auc on 800 documents"
    assert found.outcome == "kept"


def test_what_was_not_measured_is_passed_only_where_nobody_has_asked(problem: Problem) -> None:
    assert verdict(asking(problem), BETTER_EVERYWHERE, PRODUCTION).outcome == "promoted"
    assert verdict(asking(problem, sources="each"), BETTER_EVERYWHERE, PRODUCTION).failed


@pytest.mark.parametrize("value", ["all", "", None, ["feedback"]])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="sources"):
        Gates.model_validate({"sources": value})


def test_the_default_leaves_the_digest_of_a_problem_as_it_was(problem: Problem) -> None:
    assert "sources" not in problem.gates.model_dump()


PARTNER = np.where(HONEST.rows, "imdb", "partner")
WITHOUT_PARTNER = "gain without source partner"


def test_who_learns_the_wrong_labels_of_a_source_is_kept_and_the_source_is_named(
    problem: Problem,
) -> None:
    found = judged(problem, model(0.7, 1.0), PARTNER)

    assert found.outcome == "kept"
    assert [gate.name for gate in found.failed] == [WITHOUT_PARTNER]
    assert "look at the labels of partner" in named(found, "gain by source").found


@pytest.mark.parametrize("honest", [0.8, 0.9])
def test_who_learns_a_new_source_and_loses_nothing_elsewhere_is_promoted(
    problem: Problem, honest: float
) -> None:
    found = judged(problem, model(honest, 1.0), PARTNER)

    assert found.outcome == "promoted", found.reason
    assert named(found, WITHOUT_PARTNER).passed


def test_a_problem_may_ask_for_nothing(problem: Problem) -> None:
    assert judged(problem, model(0.7, 1.0), PARTNER, sources="none").outcome == "promoted"


def test_a_source_that_production_knows_is_not_asked_about(problem: Problem) -> None:
    found = verdict(
        asking(problem),
        model(0.9, 0.9),
        model(0.8, 0.75),
        {"sources": Sources(np.asarray(PARTNER), ())},
    )

    assert WITHOUT_PARTNER not in {gate.name for gate in found.gates}
