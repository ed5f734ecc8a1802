"""A decision serves its goal: the best threshold there is, and probabilities that are right."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import skops.io as skops
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn import calibration as sklearn_calibration
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from artifact import TRUSTED_TYPES
from modeling.calibration import Calibration, calibrate, fit_calibration, probabilities_of
from modeling.decided import Decided, scores_of
from modeling.decision import decide as verdict_on
from modeling.decision import floor_gates
from modeling.decision_plots import decision_plots
from modeling.features import NgramCounter
from modeling.goal import Goal
from modeling.metrics import Interval, Predictions, compute, difference, intervals, metrics_of
from modeling.problem import Gates, Problem
from modeling.scorer import PipelineScorer, compile_scorer
from modeling.text import TextNormalizer
from modeling.threshold import (
    best_threshold,
    cheapest_threshold,
    cheapest_weights,
    curve,
    weights_of,
)
from modeling.tuning import TooFewError, Tuned, at_best, compare, tune, with_decision
from tests.modeling.examples import many_examples, predictions, right_at, some_examples

ONE_TO_FIVE = Goal(costs={"negative": 1, "positive": 5})
# Few distinct numbers, so that documents tie; the ends, where every document is on one side.
scores_ = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.8, 0.99, 1.0])
documents_ = st.lists(st.tuples(st.booleans(), scores_), min_size=1, max_size=25)
costs_ = st.sampled_from([0.1, 0.3, 1.0, 5.0])


def split(documents: list[tuple[bool, float]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    truth, scores = zip(*documents, strict=True)
    return np.array(truth, np.int64), np.array(scores)


def every_threshold(scores: NDArray[np.float64]) -> list[float]:
    """Return a threshold for every way in which one can divide the documents."""
    ends = [0.0, *np.unique(scores).tolist(), 1.0]
    return sorted({*ends, *((low + high) / 2 for low, high in pairwise(ends))})


def cost_at(
    costs: NDArray[np.float64],
    truth: NDArray[np.int64],
    scores: NDArray[np.float64],
    threshold: float,
) -> float:
    return float(costs[truth, (scores > threshold).astype(int)].sum())


def wilson(successes: int, trials: int, confidence: float) -> float:
    """Return the lower end of a one-sided interval, which is that of a wider two-sided one."""
    if not trials:
        return 0.0
    two_sided = 2 * confidence - 1
    return float(binomtest(successes, trials).proportion_ci(two_sided, method="wilson").low)


@many_examples
@given(documents_, costs_, costs_)
def test_no_threshold_is_cheaper_than_the_tuned_one(
    documents: list[tuple[bool, float]], false_positive: float, false_negative: float
) -> None:
    truth, scores = split(documents)
    costs = np.array([[0, false_positive], [false_negative, 0]])

    found = cheapest_threshold(costs, truth, scores)

    cheapest = min(cost_at(costs, truth, scores, each) for each in every_threshold(scores))
    assert cost_at(costs, truth, scores, found) == pytest.approx(cheapest, abs=1e-9)
    at = np.array(every_threshold(scores))
    np.testing.assert_allclose(
        curve("cost", costs, truth, scores, at),
        [cost_at(costs, truth, scores, each) / len(truth) for each in at],
        atol=1e-12,
    )


@many_examples
@given(
    documents_,
    st.sampled_from(["accuracy", "precision", "recall", "f1"]),
    st.sampled_from([None, ("precision", 0.6), ("precision", 0.3), ("recall", 0.5)]),
)
def test_no_threshold_that_keeps_the_floor_has_a_larger_metric(
    documents: list[tuple[bool, float]], metric: str, floor: tuple[str, float] | None
) -> None:
    truth, scores = split(documents)

    found, became = best_threshold(
        metric, dict([floor]) if floor else None, truth == 1, scores, confidence=0.8
    )

    def metrics(threshold: float) -> tuple[float, float]:
        """Return the metric, and the lower end of the floor's."""
        given_ = scores > threshold
        p = Predictions(
            ("no", "yes"), truth, given_.astype(np.int64), np.column_stack([1 - scores, scores])
        )
        right = int((given_ & (truth == 1)).sum())
        trials = int(given_.sum() if floor and floor[0] == "precision" else truth.sum())
        return compute(metric, p), wilson(right, trials, 0.8)

    all_of_them = [metrics(each) for each in every_threshold(scores)]
    value, low = metrics(found)
    if floor is None:
        assert became is None
        assert value == pytest.approx(max(each for each, _ in all_of_them), abs=1e-9)
        return
    assert became is not None
    assert became.low == pytest.approx(low, abs=1e-9)
    kept = [each for each, end in all_of_them if end >= floor[1]]
    assert became.reached == bool(kept)
    if kept:
        assert low >= floor[1]
        assert value == pytest.approx(max(kept), abs=1e-9)
    else:
        assert low == pytest.approx(max(end for _, end in all_of_them), abs=1e-9)


def test_a_threshold_among_equals_is_that_of_theory_and_else_far_from_all_documents() -> None:
    truth, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])
    even, one_to_five = np.array([[0, 1.0], [1, 0]]), np.array([[0, 1.0], [5, 0]])

    assert cheapest_threshold(even, truth, scores) == 0.5
    assert cheapest_threshold(one_to_five, truth, scores) == pytest.approx(0.4)


@pytest.mark.parametrize("label", [0, 1])
def test_documents_of_one_class_only_get_that_label(label: int) -> None:
    truth, scores = np.full(5, label), np.linspace(0.2, 0.8, 5)

    found = cheapest_threshold(np.array([[0, 1.0], [1, 0]]), truth, scores)

    assert ((scores > found) == label).all()


@some_examples
@given(predictions(min_classes=3, max_classes=3), st.lists(costs_, min_size=6, max_size=6))
def test_weights_of_many_classes_are_never_dearer_than_those_of_theory(
    p: Predictions, costs: list[float]
) -> None:
    matrix = np.zeros((3, 3))
    matrix[~np.eye(3, dtype=bool)] = costs

    def cost(weights: Any) -> float:
        return float(matrix[p.truth, (p.probabilities * weights).argmax(axis=1)].sum())

    found = cheapest_weights(matrix, p.truth, p.probabilities)

    assert cost(np.array(found)) <= cost(matrix.sum(axis=1) / 2) + 1e-9
    assert min(found) > 0


def test_weights_of_three_classes_reach_nearly_the_best_of_a_grid() -> None:
    p = right_at(0.6, documents=90, seed=3, classes=("a", "b", "c"))
    matrix = np.array([[0, 1, 1], [6, 0, 6], [2, 2, 0.0]])

    def cost(weights: Any) -> float:
        return float(matrix[p.truth, (p.probabilities * weights).argmax(axis=1)].sum())

    found = cost(np.array(cheapest_weights(matrix, p.truth, p.probabilities)))

    grid = np.geomspace(0.1, 10, 15)
    assert found <= 1.05 * min(cost(np.array([1.0, b, c])) for b, c in product(grid, grid))
    assert found < cost(np.ones(3))


def texts(documents: list[tuple[str, int]]) -> tuple[list[str], NDArray[np.str_]]:
    words, labels = zip(*documents, strict=True)
    return list(words), np.array(["negative", "positive"])[list(labels)]


@pytest.fixture(scope="module")
def fitted(snippets: list[tuple[str, int]]) -> dict[str, Pipeline]:
    """Models of short reviews: logistic regression, naive Bayes, and one that is not linear."""
    inputs, labels = texts(snippets[:600])
    final = {
        "logistic": (TfidfTransformer(), LogisticRegression(C=20)),
        "bayes": (MultinomialNB(),),
        "forest": (RandomForestClassifier(20, random_state=0),),
    }
    return {
        name: make_pipeline(TextNormalizer(), NgramCounter(), *steps).fit(inputs, labels)
        for name, steps in final.items()
    }


CALIBRATION = Calibration(0.4, (0.0, 0.3))


def decided(model: Pipeline, weights: tuple[float, ...] | None = weights_of(0.2)) -> Pipeline:
    last = Decided.of(model[-1], weights, CALIBRATION)
    return Pipeline([*model.steps[:-1], ("classify", last)])


@pytest.mark.parametrize("name", ["logistic", "bayes", "forest"])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.77])
def test_a_threshold_is_the_one_of_scikit_learn(
    name: str, threshold: float, fitted: dict[str, Pipeline], snippets: list[tuple[str, int]]
) -> None:
    model, inputs = fitted[name], texts(snippets[600:900])[0]
    matrix = model[:-1].transform(inputs)
    theirs = FixedThresholdClassifier(
        FrozenEstimator(model[-1]),
        threshold=threshold,
        pos_label="positive",
        response_method="predict_proba",
    ).fit(matrix, np.resize(["negative", "positive"], len(inputs)))

    ours = Decided.of(model[-1], weights_of(threshold), None)

    # Theirs gives the label at the threshold itself, ours above it.
    apart = model[-1].predict_proba(matrix)[:, 1] != threshold
    assert apart.sum() > 200
    np.testing.assert_array_equal(ours.predict(matrix)[apart], theirs.predict(matrix)[apart])
    np.testing.assert_array_equal(ours.predict_proba(matrix), theirs.predict_proba(matrix))


@pytest.mark.parametrize("name", ["logistic", "bayes"])
def test_a_compiled_model_answers_as_the_pipeline_with_its_decision(
    name: str, fitted: dict[str, Pipeline], snippets: list[tuple[str, int]]
) -> None:
    model = decided(fitted[name])
    inputs = ["", "nothing known: xyzzy", *texts(snippets[500:1000])[0]]

    scorer = compile_scorer(model)

    assert scorer is not None
    ours = scorer.probabilities(inputs)
    np.testing.assert_allclose(ours, model.predict_proba(inputs), rtol=0, atol=1e-9)
    labels = [scorer.classes[position] for position in scorer.decide(ours)]
    assert labels == model.predict(inputs).tolist()
    assert labels != [scorer.classes[position] for position in ours.argmax(axis=1)]
    assert [scorer.decide(ours[row : row + 1])[0] for row in range(50)] == scorer.decide(ours)[:50]
    for text in inputs[:20]:
        moved = sum(each.contribution for each in scorer.explain(text, "positive", limit=None))
        log_odds = np.diff(np.log(scorer.probabilities([text])[0]))[0]
        assert scorer.baseline("positive") + moved == pytest.approx(log_odds, abs=1e-9)


def test_a_model_that_cannot_be_compiled_gives_its_own_labels(
    fitted: dict[str, Pipeline], snippets: list[tuple[str, int]]
) -> None:
    model, inputs = decided(fitted["forest"]), texts(snippets[600:800])[0]

    scorer = PipelineScorer(model)

    assert compile_scorer(model) is None
    positions = scorer.decide(scorer.probabilities(inputs))
    assert [scorer.classes[each] for each in positions] == model.predict(inputs).tolist()


def test_three_classes_are_calibrated_alike_by_pipeline_and_compiled(
    snippets: list[tuple[str, int]],
) -> None:
    inputs, _ = texts(snippets[:300])
    labels = np.resize(["a", "b", "c"], 300)
    model = make_pipeline(TextNormalizer(), NgramCounter(), MultinomialNB()).fit(inputs, labels)
    last = Decided.of(model[-1], (0.2, 0.3, 0.5), Calibration(0.3, (0.0, -0.2, 0.4)))
    model = Pipeline([*model.steps[:-1], ("classify", last)])

    scorer = compile_scorer(model)

    assert scorer is not None
    ours = scorer.probabilities(inputs)
    np.testing.assert_allclose(ours, model.predict_proba(inputs), rtol=0, atol=1e-9)
    assert [scorer.classes[each] for each in scorer.decide(ours)] == model.predict(inputs).tolist()


def test_a_saved_decision_is_trusted_and_answers_as_before(
    fitted: dict[str, Pipeline], snippets: list[tuple[str, int]]
) -> None:
    model, inputs = decided(fitted["logistic"]), texts(snippets[:50])[0]

    restored = skops.loads(skops.dumps(model), trusted=list(TRUSTED_TYPES))

    np.testing.assert_array_equal(restored.predict_proba(inputs), model.predict_proba(inputs))
    np.testing.assert_array_equal(restored.predict(inputs), model.predict(inputs))


@pytest.mark.filterwarnings("ignore:Skipping check check_array_api_input")
def test_a_decision_is_an_estimator_as_scikit_learn_wants_them() -> None:
    check_estimator(Decided(LogisticRegression()))


def test_a_decision_can_be_cloned_and_fitted_again(fitted: dict[str, Pipeline]) -> None:
    model = Decided.of(fitted["bayes"][-1], (0.2, 0.8), CALIBRATION)
    matrix, labels = np.eye(4), ["negative", "positive"] * 2

    again = clone(model).fit(matrix, labels)

    assert (again.weights, again.calibration) == ((0.2, 0.8), CALIBRATION)
    assert again.estimator_ is not fitted["bayes"][-1]


def test_a_weight_for_each_class_or_none() -> None:
    with pytest.raises(ValueError, match="weights has 3 values, but there are 2 classes"):
        Decided(LogisticRegression(), weights=(1, 2, 3)).fit(np.eye(2), ["a", "b"])


def drawn(slope: float, *, documents: int, seed: int) -> tuple[NDArray[np.float64], Any]:
    """Return scores of which the truth would be drawn with these times `slope`, and the truth."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 3, documents)
    truth = (rng.random(documents) < 1 / (1 + np.exp(-(slope * odds + 0.5)))).astype(np.int64)
    return np.column_stack([np.zeros(documents), odds]), truth


def test_two_classes_are_calibrated_as_by_scikit_learn() -> None:
    scores, truth = drawn(0.5, documents=400, seed=1)

    found = fit_calibration(scores, truth)

    theirs = sklearn_calibration._SigmoidCalibration().fit(scores[:, 1], truth)
    np.testing.assert_allclose(
        found.apply(scores)[:, 1], theirs.predict(scores[:, 1]), rtol=0, atol=1e-4
    )


def test_calibration_finds_what_made_probabilities_wrong() -> None:
    scores, truth = drawn(0.25, documents=4_000, seed=2)

    found = calibrate(scores * 100, truth, folds=5, seed=0)

    assert found.calibration is not None
    assert found.calibration.slope == pytest.approx(0.0025, rel=0.1)
    assert found.calibration.offsets[1] == pytest.approx(0.5, abs=0.15)
    assert found.after < found.before


def test_calibration_of_three_classes_finds_temperature_and_offsets() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 3, (6_000, 3))
    right = Calibration(0.4, (0.0, 1.0, -0.5))
    truth = np.array([rng.choice(3, p=row) for row in right.apply(scores)])

    found = calibrate(scores, truth, folds=5, seed=0).calibration

    assert found is not None
    assert found.slope == pytest.approx(0.4, rel=0.1)
    np.testing.assert_allclose(found.offsets, right.offsets, atol=0.15)


def test_probabilities_that_are_right_are_left_alone_most_of_the_time() -> None:
    used = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        odds = rng.normal(0, 2, 200)
        truth = (rng.random(200) < 1 / (1 + np.exp(-odds))).astype(np.int64)
        scores = np.column_stack([np.zeros(200), odds])
        used += calibrate(scores, truth, folds=5, seed=0).calibration is not None

    assert used <= 4


def test_perfectly_separated_classes_have_a_finite_calibration() -> None:
    truth = np.arange(40) % 2
    scores = np.column_stack([np.zeros(40), np.where(truth, 700.0, -700.0)])

    found = fit_calibration(scores, truth)

    assert np.isfinite(found.slope)
    assert 0.9 < found.apply(scores)[truth == 1, 1].min() < 1


def test_calibration_keeps_the_order_of_the_documents() -> None:
    scores, truth = drawn(-1.0, documents=300, seed=4)

    found = fit_calibration(scores, truth)

    assert found.slope > 0
    assert (np.diff(found.apply(scores)[np.argsort(scores[:, 1]), 1]) >= 0).all()


def test_scores_are_those_behind_the_probabilities(fitted: dict[str, Pipeline]) -> None:
    for model in fitted.values():
        matrix = model[:-1].transform(["a good film", "a bad film", ""])
        scores = scores_of(model[-1], matrix)
        np.testing.assert_allclose(
            probabilities_of(scores), model[-1].predict_proba(matrix), rtol=0, atol=1e-9
        )


# The tuning as a whole, on real reviews.


@pytest.fixture(scope="module")
def reviewed(snippets: list[tuple[str, int]]) -> tuple[Any, NDArray[np.str_], Any, Any]:
    """Counts and labels of training documents, and those of a holdout."""
    inputs, labels = texts(snippets[:1_400])
    counts = make_pipeline(TextNormalizer(), NgramCounter()).fit(inputs[:1_000])
    matrix = counts.transform(inputs)
    return matrix[:1_000], labels[:1_000], matrix[1_000:], labels[1_000:]


def with_goal(problem: Problem, goal: Goal) -> Problem:
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


def tuned_on(problem: Problem, reviewed: Any, model: Any = None) -> tuple[Tuned, Predictions]:
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
    np.testing.assert_allclose(tuned.seen.probabilities, theirs, rtol=0, atol=1e-9)


def test_a_model_that_is_too_sure_of_itself_is_calibrated(problem: Problem, reviewed: Any) -> None:
    calibrating = with_goal(problem, Goal())

    tuned, holdout = tuned_on(calibrating, reviewed)
    _, before = tuned_on(with_goal(problem, Goal(calibrate="never")), reviewed)

    assert tuned.weights is None
    assert tuned.calibrated is not None
    assert tuned.calibrated.calibration is not None
    assert compute("brier", holdout) < compute("brier", before)
    assert compare(calibrating, tuned, holdout) == ()


def test_the_order_of_the_labels_in_the_file_does_not_matter(
    problem: Problem, reviewed: Any
) -> None:
    """The positive class is the last of the file; scikit-learn sorts labels by their names."""
    goal = Goal(costs={"negative": 5, "positive": 1})
    turned = problem.model_copy(
        update={"labels": dict(reversed(problem.labels.items())), "decision": goal}
    )

    one, holdout = tuned_on(with_goal(problem, goal), reviewed)
    other, turned_holdout = tuned_on(turned, reviewed)

    assert one.threshold is not None
    assert other.threshold == pytest.approx(1 - one.threshold, abs=1e-6)
    assert compute("cost", holdout) == pytest.approx(compute("cost", turned_holdout))


def test_a_floor_that_is_reached_holds_out_of_fold(problem: Problem, reviewed: Any) -> None:
    strict = with_goal(problem, Goal(floor={"precision": 0.6}))

    tuned, _ = tuned_on(strict, reviewed)

    assert tuned.floor is not None
    assert tuned.floor.reached
    assert tuned.floor.low >= 0.6
    assert tuned.floor.value == compute("precision", tuned.seen)
    (gate,) = floor_gates(tuned.floor, Interval(0.59, 0.58, 0.61))
    assert gate.passed
    (refuted,) = floor_gates(tuned.floor, Interval(0.55, 0.51, 0.59))
    assert not refuted.passed


def test_a_floor_that_no_threshold_reaches_keeps_the_challenger_out_with_its_figure(
    problem: Problem, reviewed: Any
) -> None:
    strict = with_goal(problem, Goal(floor={"precision": 0.999}))

    tuned, holdout = tuned_on(strict, reviewed)
    verdict = verdict_on(
        strict.model_copy(update={"gates": Gates()}),
        challenger=(1, holdout),
        production=None,
        further=floor_gates(tuned.floor, Interval(0.9, 0.8, 1.0)),
    )

    assert tuned.floor is not None
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

    assert compute("accuracy", tuned.seen) == 1.0


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
    verdict = verdict_on(gated, challenger=(2, good), production=(1, fair))
    assert [gate.name for gate in verdict.failed] == ["cost"]
    assert "at most 0.01" in verdict.reason


def test_a_problem_without_costs_has_no_cost() -> None:
    with pytest.raises(ValueError, match=r"no cost without decision\.costs"):
        compute("cost", right_at(0.8, documents=20, seed=1))


@pytest.mark.parametrize(
    ("goal", "names"),
    [
        (ONE_TO_FIVE, {"cost_curve.png"}),
        (Goal(maximise="f1"), {"f1_curve.png"}),
        (Goal(floor={"precision": 0.8}), {"recall_curve.png", "floor.png"}),
        (Goal(floor={"recall": 0.9}), {"precision_curve.png", "floor.png"}),
        (Goal(), set()),
    ],
)
def test_a_decision_is_drawn_with_every_other_threshold(
    goal: Goal, names: set[str], problem: Problem, reviewed: Any
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
