"""A decision is tuned on predictions of documents that the model has not seen."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

from perennial.config.problem import Problem
from perennial.config.sections.decision import DecisionConfig
from perennial.config.sections.gates import Gates
from perennial.gates.threshold_floor import FloorOnHoldout, judge_floor
from perennial.metrics import Interval, Predictions, compute, difference, intervals, metrics_of
from perennial.plots.threshold import decision_plots
from perennial.promotion.verdict import reach_verdict
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.training.threshold_tuning import (
    TooFewError,
    TuningResult,
    at_best,
    compare,
    tune,
    with_decision,
)
from tests.perennial.examples import right_at, split_labels

ONE_TO_FIVE = DecisionConfig(costs={"negative": 1, "positive": 5})


@pytest.fixture(scope="module")
def reviewed(snippets: list[tuple[str, int]]) -> tuple[Any, NDArray[np.str_], Any, Any]:
    """Counts and labels of training documents, and those of a holdout."""
    inputs, labels = split_labels(snippets[:1_400])
    counts = make_pipeline(TextNormalizer(), NgramCounter()).fit(inputs[:1_000])
    matrix = counts.transform(inputs)
    return matrix[:1_000], labels[:1_000], matrix[1_000:], labels[1_000:]


def with_goal(problem: Problem, goal: DecisionConfig) -> Problem:
    return problem.model_copy(update={"decision": goal})


def made_by(model: Pipeline, problem: Problem, matrix: Any, labels: Any) -> Predictions:
    classes = np.array(problem.classes)
    columns = [list(model.classes_).index(label) for label in classes]
    return Predictions(
        problem.classes,
        (labels[:, None] == classes).argmax(axis=1),
        (model.predict(matrix)[:, None] == classes).argmax(axis=1),
        model.predict_proba(matrix)[:, columns],
        problem.costs,
    )


def tuned_on(
    problem: Problem, reviewed: Any, model: Any = None
) -> tuple[TuningResult, Predictions]:
    """Return a decision, and what the decided model says about the holdout."""
    matrix, labels, held_out, truth = reviewed
    classifier = Pipeline([("classify", model or MultinomialNB())])
    assert problem.decision is not None
    tuned = tune(problem, problem.decision, classifier, matrix, labels)
    final = with_decision(classifier.fit(matrix, labels), tuned)
    return tuned, made_by(final, problem, held_out, truth)


def test_costs_pay_off_on_documents_that_nobody_has_seen(problem: Problem, reviewed: Any) -> None:
    costly = with_goal(problem, ONE_TO_FIVE)

    tuned, holdout = tuned_on(costly, reviewed)

    (compared,) = compare(costly, tuned, holdout)
    assert tuned.threshold is not None
    assert tuned.threshold < 0.5
    assert compared.holdout == compute("cost", holdout)
    assert compared.holdout < compared.holdout_plain
    assert compared.gain.low > 0
    assert compared.gain.value == pytest.approx(compared.holdout_plain - compared.holdout)


def test_a_threshold_is_made_from_out_of_fold_predictions_only(
    problem: Problem, reviewed: Any
) -> None:
    matrix, labels, *_ = reviewed
    costly = with_goal(problem, ONE_TO_FIVE.model_copy(update={"calibrate": "never"}))

    tuned, _ = tuned_on(costly, reviewed)

    theirs = cross_val_predict(
        MultinomialNB(),
        matrix,
        labels,
        cv=StratifiedKFold(5, shuffle=True, random_state=problem.seed),
        method="predict_proba",
    )
    np.testing.assert_allclose(tuned.out_of_fold.probabilities, theirs, rtol=0, atol=1e-9)


def test_a_model_that_is_too_sure_of_itself_is_calibrated(problem: Problem, reviewed: Any) -> None:
    calibrating = with_goal(problem, DecisionConfig())

    tuned, holdout = tuned_on(calibrating, reviewed)
    _, before = tuned_on(with_goal(problem, DecisionConfig(calibrate="never")), reviewed)

    assert tuned.weights is None
    assert tuned.calibrated is not None
    assert tuned.calibrated.calibration is not None
    assert compute("brier", holdout) < compute("brier", before)
    assert compare(calibrating, tuned, holdout) == ()


def test_the_order_of_the_labels_in_the_file_does_not_matter(
    problem: Problem, reviewed: Any
) -> None:
    """The positive class is the last of the file; scikit-learn sorts labels by their names."""
    goal = DecisionConfig(costs={"negative": 5, "positive": 1})
    turned = problem.model_copy(
        update={"labels": dict(reversed(problem.labels.items())), "decision": goal}
    )

    one, holdout = tuned_on(with_goal(problem, goal), reviewed)
    other, turned_holdout = tuned_on(turned, reviewed)

    assert one.threshold is not None
    assert other.threshold == pytest.approx(1 - one.threshold, abs=1e-6)
    assert compute("cost", holdout) == pytest.approx(compute("cost", turned_holdout))


def test_a_floor_that_is_reached_holds_out_of_fold(problem: Problem, reviewed: Any) -> None:
    strict = with_goal(problem, DecisionConfig(floor={"precision": 0.6}))

    tuned, _ = tuned_on(strict, reviewed)

    assert tuned.floor is not None
    assert tuned.floor.reached
    assert tuned.floor.low >= 0.6
    assert tuned.floor.value == compute("precision", tuned.out_of_fold)
    gate = judge_floor(FloorOnHoldout(tuned.floor, Interval(0.59, 0.58, 0.61)))
    assert gate.passed
    refuted = judge_floor(FloorOnHoldout(tuned.floor, Interval(0.55, 0.51, 0.59)))
    assert not refuted.passed


def test_a_floor_that_no_threshold_reaches_keeps_the_challenger_out_with_its_figure(
    problem: Problem, reviewed: Any
) -> None:
    strict = with_goal(problem, DecisionConfig(floor={"precision": 0.999}))

    tuned, holdout = tuned_on(strict, reviewed)
    assert tuned.floor is not None
    verdict = reach_verdict(
        strict.model_copy(update={"gates": Gates()}),
        challenger=(1, holdout),
        production=None,
        measured={"threshold_floor": FloorOnHoldout(tuned.floor, Interval(0.9, 0.8, 1.0))},
    )

    assert verdict.outcome == "kept"
    assert verdict.reason == (
        f"threshold with enough precision: {tuned.floor.value:.4f} out of fold, with confidence "
        f"{tuned.floor.low:.4f}; 0.9000 [0.8000, 1.0000] on the holdout, required at least 0.999 "
        "with confidence, not refuted on the holdout"
    )


def test_a_label_with_one_document_cannot_be_divided(problem: Problem) -> None:
    labels = np.array(["negative", "negative", "positive"])

    with pytest.raises(TooFewError, match="positive has 1 training document"):
        tune(problem, ONE_TO_FIVE, Pipeline([("c", MultinomialNB())]), np.eye(3), labels)


def test_a_label_with_one_document_beside_those_from_feedback_cannot_be_divided(
    problem: Problem,
) -> None:
    labels = np.array(["negative", "negative", "positive", "positive"])
    judged = np.array([True, True, True, False])

    with pytest.raises(TooFewError, match=r"positive has 1 .*\(not counting 1 from feedback\)"):
        tune(problem, ONE_TO_FIVE, Pipeline([("c", MultinomialNB())]), np.eye(4), labels, judged)


def test_a_decision_is_made_from_judged_documents_by_models_that_learned_from_the_rest(
    problem: Problem, reviewed: Any
) -> None:
    matrix, labels, *_ = reviewed
    costly = with_goal(problem, ONE_TO_FIVE)
    classifier = Pipeline([("classify", MultinomialNB())])
    judged = np.arange(len(labels)) >= 300
    wrong = np.array(problem.classes)[(labels[:300] == problem.classes[0]).astype(int)]
    misled = np.concatenate([wrong, labels[300:]])

    def tuned(*, given: Any, asked: Any) -> TuningResult:
        return tune(costly, ONE_TO_FIVE, classifier, matrix, given, asked)

    honest, poisoned = (tuned(given=given, asked=judged) for given in (labels, misled))

    truth = (labels[judged, None] == np.array(problem.classes)).argmax(axis=1)
    for found in (honest, poisoned):
        np.testing.assert_array_equal(found.out_of_fold.truth, truth)
    # The models have learned from the others, and no label of theirs was a question.
    assert compute("accuracy", poisoned.out_of_fold) < compute("accuracy", honest.out_of_fold)
    alone = tune(costly, ONE_TO_FIVE, classifier, matrix[judged], labels[judged])
    assert not np.array_equal(alone.out_of_fold.probabilities, honest.out_of_fold.probabilities)
    everything = tuned(given=labels, asked=None)
    assert len(everything.out_of_fold) == len(labels)


def test_labels_with_few_documents_are_divided_into_fewer_parts(problem: Problem) -> None:
    labels = np.array(["negative", "positive"] * 3)
    matrix = np.tile(np.eye(2), (3, 1))

    tuned = tune(
        with_goal(problem, ONE_TO_FIVE),
        ONE_TO_FIVE,
        Pipeline([("classify", MultinomialNB())]),
        matrix,
        labels,
    )

    assert compute("accuracy", tuned.out_of_fold) == 1.0


def test_candidates_are_compared_each_with_the_threshold_that_suits_it(problem: Problem) -> None:
    plain = right_at(0.8, documents=200, seed=1)
    costly = with_goal(problem, ONE_TO_FIVE)
    plain = replace(plain, costs=costly.costs)

    best = at_best(costly, plain)

    assert compute("cost", best) < compute("cost", plain)
    assert at_best(problem, plain) is plain


def test_the_cost_is_a_metric_with_an_interval_and_a_loss(problem: Problem) -> None:
    costs = np.array([[0, 1.0], [5, 0]])
    good, fair = (
        replace(right_at(rate, documents=300, seed=1), costs=costs) for rate in (0.95, 0.8)
    )
    wrong = good.truth != good.predicted

    assert metrics_of(good)[-1] == "cost"
    assert compute("cost", good) == np.where(good.truth[wrong] == 1, 5, 1).sum() / 300
    found = intervals(good, confidence=0.95, seed=1)["cost"]
    assert found.low < found.value < found.high
    assert difference("cost", good, fair, confidence=0.95, seed=1).low > 0
    gated = problem.model_copy(update={"metric": "cost", "gates": Gates(floors={"cost": 0.01})})
    verdict = reach_verdict(gated, challenger=(2, good), production=(1, fair))
    assert [gate.name for gate in verdict.failed] == ["cost"]
    assert "at most 0.01" in verdict.reason


def test_a_problem_without_costs_has_no_cost() -> None:
    with pytest.raises(ValueError, match=r"no cost without decision\.costs"):
        compute("cost", right_at(0.8, documents=20, seed=1))


@pytest.mark.parametrize(
    ("goal", "names"),
    [
        (ONE_TO_FIVE, {"cost_curve.png"}),
        (DecisionConfig(maximise="f1"), {"f1_curve.png"}),
        (DecisionConfig(floor={"precision": 0.8}), {"recall_curve.png", "floor.png"}),
        (DecisionConfig(floor={"recall": 0.9}), {"precision_curve.png", "floor.png"}),
        (DecisionConfig(), set()),
    ],
)
def test_a_decision_is_drawn_with_every_other_threshold(
    goal: DecisionConfig, names: set[str], problem: Problem, reviewed: Any
) -> None:
    tuned, holdout = tuned_on(with_goal(problem, goal), reviewed)

    figures = decision_plots(tuned, holdout, "sentiment")

    assert set(figures) == names
    for figure in figures.values():
        legend = " ".join(text.get_text() for text in figure.axes[0].get_legend().get_texts())
        assert f"{tuned.threshold:.4f}" in legend
        file = BytesIO()
        figure.savefig(file, format="png", dpi=20)
        assert file.getvalue().startswith(b"\x89PNG")


def test_few_documents_of_a_rare_label_do_not_move_the_threshold_of_theory(
    problem: Problem, reviewed: Any
) -> None:
    matrix, labels, held_out, truth = reviewed
    negative, positive = problem.classes
    rare = np.flatnonzero(labels == positive)[:12]
    rows = np.concatenate([np.flatnonzero(labels == negative), rare])
    goal = DecisionConfig(costs={negative: 1, positive: 20})

    tuned, _ = tuned_on(with_goal(problem, goal), (matrix[rows], labels[rows], held_out, truth))

    assert tuned.threshold == pytest.approx(1 / 21)


def test_a_threshold_that_is_proved_cheaper_takes_the_place_of_that_of_theory(
    problem: Problem, reviewed: Any
) -> None:
    goal = ONE_TO_FIVE.model_copy(update={"calibrate": "never"})

    tuned, holdout = tuned_on(with_goal(problem, goal), reviewed)

    # Naive Bayes is far too sure of itself, and nothing has calibrated it.
    assert tuned.threshold is not None
    assert tuned.threshold != pytest.approx(1 / 6)
    (compared,) = compare(with_goal(problem, goal), tuned, holdout)
    assert compared.out_of_fold == compute("cost", tuned.cross_fitted)
