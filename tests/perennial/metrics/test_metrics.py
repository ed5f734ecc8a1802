"""The metrics are scikit-learn's; their intervals are those of an honest paired bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from threadpoolctl import threadpool_info, threadpool_limits

from perennial.metrics import (
    METRICS,
    Interval,
    MetricName,
    Predictions,
    compute,
    difference,
    intervals,
    metrics_of,
)
from perennial.metrics.evaluation import bootstrap, large
from perennial.metrics.evaluation.bootstrap import interval as interval_of
from tests.perennial.examples import predictions, right_at, some_examples

# What every problem has.
OF_EVERY_PROBLEM = tuple(
    name for name, metric in METRICS.items() if not metric.needs and metric.least_classes == 2
)
LOSSES = {name for name, metric in METRICS.items() if not metric.more_is_better}
every_metric = pytest.mark.parametrize("metric", OF_EVERY_PROBLEM)


def scikit_learn_says(metric: MetricName, p: Predictions) -> float:
    codes = list(range(len(p.classes)))
    binary = len(codes) == 2
    positive = p.probabilities[:, 1] if binary else p.probabilities
    if metric in {"precision", "recall", "f1"}:
        score = getattr(sklearn_metrics, f"{metric}_score")
        average = "binary" if binary else "macro"
        labels = None if binary else codes
        return score(p.truth, p.predicted, labels=labels, average=average, zero_division=0)
    if metric == "roc_auc":
        return sklearn_metrics.roc_auc_score(p.truth, positive, multi_class="ovr")
    if metric == "average_precision":
        truth = p.truth if binary else np.eye(len(codes))[p.truth]
        return sklearn_metrics.average_precision_score(truth, positive)
    if metric == "log_loss":
        return sklearn_metrics.log_loss(p.truth, p.probabilities, labels=codes)
    if metric == "brier":
        return sklearn_metrics.brier_score_loss(p.truth, positive, labels=codes)
    return getattr(sklearn_metrics, f"{metric}_score")(p.truth, p.predicted)


@some_examples
@given(p=predictions(min_classes=4))
def test_the_accuracy_of_the_first_three_is_the_one_of_scikit_learn(p: Predictions) -> None:
    expected = sklearn_metrics.top_k_accuracy_score(
        p.truth, p.probabilities, k=3, labels=range(len(p.classes))
    )

    assert compute("top_k_accuracy", p) == pytest.approx(expected)


@some_examples
@given(p=predictions(max_classes=2), least=st.sampled_from([0.3, 0.5, 2 / 3, 0.9, 1.0]))
def test_the_recall_at_a_precision_is_the_largest_of_the_thresholds_that_keep_it(
    p: Predictions, least: float
) -> None:
    precisions, recalls, _ = sklearn_metrics.precision_recall_curve(
        p.truth, p.probabilities[:, 1], drop_intermediate=False
    )
    # Its last point stands for no document at all.
    kept = recalls[:-1][precisions[:-1] >= least - 1e-9]

    found = compute("recall_at_precision", replace(p, least_precision=least))

    assert found == pytest.approx(kept.max(initial=0.0))
    assert compute("recall_at_precision", replace(p, least_precision=0.0)) == 1.0


@some_examples
@given(data=st.data())
def test_the_recall_at_a_precision_of_weighted_documents_is_that_of_so_many_copies(
    data: st.DataObject,
) -> None:
    p = replace(data.draw(predictions(max_classes=2)), least_precision=0.6)
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(p), max_size=len(p)).filter(any))
    counts = np.array([weights])

    at_once = METRICS["recall_at_precision"].of_resamples(p, counts.astype(np.float64))

    by_hand = compute("recall_at_precision", drawn(p, np.repeat(np.arange(len(p)), weights)))
    assert at_once[0] == pytest.approx(by_hand)


def test_there_is_no_recall_at_a_precision_that_nobody_asked_for() -> None:
    p = right_at(0.7, documents=30, seed=1)

    assert "recall_at_precision" not in metrics_of(p)
    assert "recall_at_precision" in metrics_of(replace(p, least_precision=0.9))
    with pytest.raises(ValueError, match=r"without decision\.floor\.precision"):
        compute("recall_at_precision", p)


def test_three_labels_have_no_accuracy_of_the_first_three() -> None:
    three = right_at(0.7, documents=30, seed=1, classes=("low", "middle", "high"))
    four = right_at(0.7, documents=32, seed=1, classes=("low", "middle", "high", "top"))

    assert "top_k_accuracy" not in metrics_of(three)
    assert "top_k_accuracy" in metrics_of(four)


def drawn(p: Predictions, rows: np.ndarray) -> Predictions:
    return replace(
        p, truth=p.truth[rows], predicted=p.predicted[rows], probabilities=p.probabilities[rows]
    )


def test_the_metrics_that_a_problem_may_name_are_all_there() -> None:
    assert set(OF_EVERY_PROBLEM) == {
        *("accuracy", "balanced_accuracy", "precision", "recall", "f1"),
        *("roc_auc", "average_precision", "log_loss", "brier"),
    }
    assert {"log_loss", "brier", "cost"} == LOSSES


@every_metric
@some_examples
@given(p=predictions())
def test_every_metric_is_the_one_of_scikit_learn(metric: MetricName, p: Predictions) -> None:
    assert compute(metric, p) == pytest.approx(scikit_learn_says(metric, p), abs=1e-9)


@every_metric
@some_examples
@given(data=st.data())
def test_a_weighted_document_counts_like_so_many_copies_of_it(
    metric: MetricName, data: st.DataObject
) -> None:
    p = data.draw(predictions(max_classes=3))
    weights = st.lists(st.integers(0, 3), min_size=len(p), max_size=len(p)).filter(any)
    counts = np.array(data.draw(st.lists(weights, min_size=1, max_size=3)))

    at_once = METRICS[metric].of_resamples(p, counts.astype(np.float64))

    by_hand = [compute(metric, drawn(p, np.repeat(np.arange(len(p)), row))) for row in counts]
    np.testing.assert_allclose(at_once, by_hand, atol=1e-12)


@pytest.mark.slow
@every_metric
def test_an_interval_holds_the_middle_of_what_resamples_by_hand_give(
    metric: MetricName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 600)
    # Of so many documents a further one says little.
    p = right_at(0.7, documents=1_500, seed=1)
    rng = np.random.default_rng(5)

    found = intervals(p, confidence=0.8, seed=5)[metric]

    values = [compute(metric, drawn(p, rng.integers(0, 1_500, 1_500))) for _ in range(800)]
    spread = np.std(values)
    assert found.value == compute(metric, p)
    assert found.low == pytest.approx(np.quantile(values, 0.1), abs=spread / 3)
    assert found.high == pytest.approx(np.quantile(values, 0.9), abs=spread / 3)


@pytest.mark.slow
def test_95_percent_intervals_hold_the_true_quality_about_95_times_of_100(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 200)
    models = [right_at(0.8, documents=200, seed=seed) for seed in range(200)]

    found = [intervals(p, confidence=0.95, seed=7)["accuracy"] for p in models]

    assert 0.91 <= np.mean([i.low <= 0.8 <= i.high for i in found]) <= 0.98


def test_more_confidence_needs_a_wider_interval() -> None:
    p = right_at(0.8, documents=200, seed=1)

    narrow = intervals(p, confidence=0.5, seed=1)["f1"]
    wide = intervals(p, confidence=0.99, seed=1)["f1"]

    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    p = right_at(0.8, documents=200, seed=1)

    assert intervals(p, confidence=0.9, seed=1) == intervals(p, confidence=0.9, seed=1)
    assert intervals(p, confidence=0.9, seed=1) != intervals(p, confidence=0.9, seed=2)


def test_a_resample_without_a_class_does_not_spoil_the_interval() -> None:
    p = Predictions(
        classes=("negative", "positive"),
        truth=np.array([0, 0, 0, 1]),
        predicted=np.array([0, 0, 1, 1]),
        probabilities=np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]]),
    )

    found = intervals(p, confidence=0.9, seed=0)["roc_auc"]

    assert found.value == pytest.approx(2 / 3)
    assert found.low <= found.value <= found.high


def test_an_interval_reads_as_a_figure_with_its_bounds() -> None:
    assert str(Interval(0.85, 0.8, 0.90004)) == "0.8500 [0.8000, 0.9000]"


@every_metric
def test_equal_predictions_differ_by_nothing_at_all(metric: MetricName) -> None:
    p = right_at(0.8, documents=300, seed=1)

    assert difference(metric, p, p, confidence=0.95, seed=3) == Interval(0, 0, 0)


@pytest.mark.slow
@every_metric
@pytest.mark.parametrize("classes", [("no", "yes"), ("low", "middle", "high")])
def test_what_one_model_wins_the_other_loses(metric: MetricName, classes: tuple[str, ...]) -> None:
    one = right_at(0.9, documents=300, seed=1, classes=classes)
    other = right_at(0.7, documents=300, seed=2, classes=classes)

    gain = difference(metric, one, other, confidence=0.9, seed=3)
    loss = difference(metric, other, one, confidence=0.9, seed=3)

    assert (loss.value, loss.low, loss.high) == pytest.approx((-gain.value, -gain.high, -gain.low))


@every_metric
def test_a_clearly_better_model_is_ahead_in_every_metric_losses_included(
    metric: MetricName,
) -> None:
    better, worse = (
        right_at(0.95, documents=500, seed=1),
        right_at(0.7, documents=500, seed=2),
    )

    gain = difference(metric, better, worse, confidence=0.95, seed=3)

    assert gain.value == pytest.approx(abs(compute(metric, better) - compute(metric, worse)))
    assert 0 < gain.low < gain.value < gain.high


def test_the_difference_is_paired_so_that_shared_errors_cancel_out() -> None:
    production = right_at(0.7, documents=500, seed=1)
    wrong = np.flatnonzero(production.predicted != production.truth)[:10]
    predicted = production.predicted.copy()
    predicted[wrong] = production.truth[wrong]
    challenger = replace(production, predicted=predicted)

    gain = difference("accuracy", challenger, production, confidence=0.95, seed=3)
    alone = intervals(challenger, confidence=0.95, seed=3)["accuracy"]

    assert gain.value == pytest.approx(10 / 500)
    assert 0 < gain.low < gain.high < 0.04
    assert alone.high - alone.low > 0.06


@pytest.mark.parametrize("documents", [299, 301])
def test_models_that_saw_other_documents_are_not_compared(documents: int) -> None:
    here = right_at(0.8, documents=300, seed=1)
    there = right_at(0.8, documents=documents, seed=1)

    with pytest.raises(ValueError, match="same documents"):
        difference("accuracy", here, there, confidence=0.95, seed=1)


def test_models_whose_documents_have_other_labels_are_not_compared() -> None:
    here = right_at(0.8, documents=300, seed=1)

    with pytest.raises(ValueError, match="same documents"):
        difference("f1", here, replace(here, truth=1 - here.truth), confidence=0.95, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "documents", "rate"),
    [("accuracy", 300, 0.85), ("accuracy", 100, 0.97), ("log_loss", 200, 0.8)],
)
def test_of_two_equally_good_models_the_other_seldom_looks_provably_better(
    metric: MetricName, documents: int, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 200)
    pairs = [
        (
            right_at(rate, documents=documents, seed=2 * i),
            right_at(rate, documents=documents, seed=2 * i + 1),
        )
        for i in range(300)
    ]

    gains = [difference(metric, *pair, confidence=0.95, seed=42) for pair in pairs]

    assert np.mean([gain.low > 0 for gain in gains]) <= 0.05
    assert np.mean([gain.high < 0 for gain in gains]) <= 0.05


@pytest.mark.slow
def test_a_truly_better_model_mostly_looks_provably_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 200)
    pairs = [
        (
            right_at(0.92, documents=1000, seed=2 * i),
            right_at(0.85, documents=1000, seed=2 * i + 1),
        )
        for i in range(50)
    ]

    gains = [difference("accuracy", *pair, confidence=0.95, seed=42) for pair in pairs]

    assert np.mean([gain.low > 0 for gain in gains]) >= 0.9


@some_examples
@given(st.data())
def test_predictions_about_some_documents_are_those_documents_alone(data: st.DataObject) -> None:
    p = data.draw(predictions())
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(p), max_size=len(p))))

    taken = p.take(chosen)

    assert (taken.classes, len(taken)) == (p.classes, chosen.sum())
    np.testing.assert_array_equal(taken.truth, p.truth[chosen])
    np.testing.assert_array_equal(taken.predicted, p.predicted[chosen])
    np.testing.assert_array_equal(taken.probabilities, p.probabilities[chosen])


def test_every_metric_has_an_interval_in_order_and_within_its_bounds() -> None:
    found = intervals(right_at(0.9, documents=60, seed=1), confidence=0.99, seed=1)

    assert tuple(found) == OF_EVERY_PROBLEM
    for metric, interval in found.items():
        assert 0 <= interval.low < interval.value < interval.high
        assert interval.high <= 1 or metric in LOSSES


def test_two_comparisons_at_once_leave_blas_its_threads() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        before = threadpool_info()
        one, other = (bootstrap._weights(np.ones(100), 0.95, seed) for seed in (1, 2))
        next(one)
        next(other)

        for resamples in (one, other):
            for _ in resamples:
                pass

        assert threadpool_info() == before


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "precision", "recall", "f1"])
def test_drawing_kinds_of_documents_gives_the_interval_of_drawing_documents(
    metric: MetricName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 8_000)
    for classes, seed in ((("no", "yes"), 1), (("a", "b", "c"), 2)):
        one = right_at(0.9, documents=400, seed=seed, classes=classes)
        other = right_at(0.85, documents=400, seed=seed + 10, classes=classes)

        quick = difference(metric, one, other, confidence=0.95, seed=42)
        with monkeypatch.context() as patch:
            patch.setitem(METRICS, metric, replace(METRICS[metric], needs_probabilities=True))
            slow = difference(metric, one, other, confidence=0.95, seed=42)

        # The ends of an interval of 8,000 draws are known to about a twentieth of its half, and
        # one document more or less is a step.
        noise = (slow.high - slow.low) / 2 / 20 + 1.5 / 400
        assert quick.value == slow.value
        assert abs(quick.low - slow.low) <= noise
        assert abs(quick.high - slow.high) <= noise


def _many(documents: int, classes: tuple[str, ...], *, noise: float = 1.0) -> Predictions:
    rng = np.random.default_rng(len(classes))
    truth = np.sort(rng.integers(len(classes), size=documents))
    scores = noise * rng.standard_normal((documents, len(classes)))
    scores[np.arange(documents), truth] += 1.0
    # Some scores come often.
    scores = np.round(scores, 2)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return Predictions(classes, truth, probabilities.argmax(axis=1), probabilities)


WITHOUT_RESAMPLES = ("roc_auc", "average_precision", "log_loss", "brier")


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")], ids=["two", "three"])
def test_of_many_documents_intervals_are_those_that_resamples_would_give(
    classes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = _many(4_000, classes), _many(4_000, classes, noise=1.1)

    def found() -> list[Interval]:
        alone = intervals(one, confidence=0.95, seed=1)
        gains = (difference(m, one, other, confidence=0.95, seed=1) for m in WITHOUT_RESAMPLES)
        return [*(alone[metric] for metric in WITHOUT_RESAMPLES), *gains]

    slow = found()
    with monkeypatch.context() as patch:
        patch.setattr(large, "_MANY", 4_000)
        for quick, resampled in zip(found(), slow, strict=True):
            # The ends of an interval of 2,000 draws are known to about a tenth of its half.
            noise = (resampled.high - resampled.low) / 20
            assert quick.value == resampled.value
            assert abs(quick.low - resampled.low) <= noise
            assert abs(quick.high - resampled.high) <= noise


@pytest.mark.parametrize("metric", WITHOUT_RESAMPLES)
def test_the_slope_of_a_metric_is_how_much_it_changes_with_a_document(metric: MetricName) -> None:
    p = _many(60, ("a", "b", "c"))
    judged = METRICS[metric]
    sizes = np.random.default_rng(1).uniform(0.5, 2.0, len(p))
    assert judged.slopes is not None

    slopes = judged.slopes(p, sizes)

    step = 1e-6 * np.eye(len(p))
    changes = judged.of_resamples(p, sizes + step) - judged.of_resamples(p, sizes - step)
    np.testing.assert_allclose(slopes, changes / 2e-6, atol=1e-7)


def test_where_few_documents_decide_there_are_resamples_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p = _many(4_000, ("no", "yes"), noise=0.1)
    resampled = interval_of("roc_auc", p, confidence=0.95, seed=1)

    monkeypatch.setattr(large, "_MANY", 4_000)

    assert interval_of("roc_auc", p, confidence=0.95, seed=1) == resampled


def test_where_a_few_hundred_documents_decide_intervals_are_corrected_for_their_skewness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 10_000)
    p = _many(8_000, ("no", "yes"), noise=0.5)
    resampled = interval_of("roc_auc", p, confidence=0.95, seed=1)
    monkeypatch.setattr(large, "_MANY", 8_000)

    found = interval_of("roc_auc", p, confidence=0.95, seed=1)

    noise = (resampled.high - resampled.low) / 30
    assert found != resampled
    assert found.low == pytest.approx(resampled.low, abs=noise)
    assert found.high == pytest.approx(resampled.high, abs=noise)


def test_where_a_class_is_rare_there_are_resamples_however_many_documents_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p = _many(4_000, ("no", "yes"))
    rare = p.take((p.truth == 0) | (np.arange(4_000) % 4 == 0))
    resampled = interval_of("log_loss", rare, confidence=0.95, seed=1)

    monkeypatch.setattr(large, "_MANY", 2_000)

    assert interval_of("log_loss", rare, confidence=0.95, seed=1) == resampled
