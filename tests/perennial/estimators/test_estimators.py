"""Every estimator that a candidate may name is what its file says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils._param_validation import StrOptions  # there is no public list of the options
from skops.io import dumps, get_untrusted_types, loads

from perennial.classifiers.linear_form import linear_form, probabilities_of
from perennial.estimators import ESTIMATORS, spec_of
from perennial.estimators.base import BinaryLimit, EstimatorSpec, nearest
from tests.fresh import run_fresh

COUNTS: NDArray[np.float64] = np.random.default_rng(0).poisson(1.0, (60, 5)).astype(np.float64)
NAMES = tuple("abc")


def labels_of(n_labels: int) -> NDArray[np.str_]:
    return np.resize(np.array(NAMES[:n_labels]), len(COUNTS))


def fitted(
    spec: EstimatorSpec,
    n_labels: int,
    parameters: Mapping[str, Any] = {},
    features: Any = COUNTS,
) -> Any:
    estimator = spec.for_labels(spec.build().set_params(**parameters), n_labels)
    return estimator.fit(features, labels_of(n_labels))


def options(spec: EstimatorSpec) -> Iterator[tuple[str, str]]:
    """Yield every named value that scikit-learn lets a parameter have."""
    parts = {"": spec.build()} | {f"{name}__": getattr(spec.build(), name) for name in spec.wraps}
    for prefix, part in parts.items():
        for name, kinds in getattr(part, "_parameter_constraints", {}).items():
            for kind in kinds:
                values = kind.options if isinstance(kind, StrOptions) else ()
                yield from ((prefix + name, value) for value in sorted(values))


every = pytest.mark.parametrize("spec", ESTIMATORS.values(), ids=list(ESTIMATORS))
limited = pytest.mark.parametrize(
    ("spec", "limit"),
    [
        pytest.param(spec, limit, id=f"{spec.name}-{limit.value}")
        for spec in ESTIMATORS.values()
        for limit in spec.binary_limits
        if limit.instead
    ],
)


def takes_only_two(spec: EstimatorSpec, parameters: Mapping[str, Any]) -> bool:
    try:
        fitted(spec, 2, parameters)
    except ValueError:
        return False
    try:
        fitted(spec, 3, parameters)
    except ValueError:
        return True
    return False


def test_the_name_of_an_estimator_is_that_of_its_file() -> None:
    for name, spec in ESTIMATORS.items():
        assert spec.name == name
        assert import_module(f"perennial.estimators.{name}").ESTIMATOR is spec


@every
def test_its_parameters_are_those_of_the_class(spec: EstimatorSpec) -> None:
    assert set(spec.parameters) == spec.build().get_params().keys() - spec.wraps.keys()
    assert list(spec.parameters) == sorted(spec.parameters)


@pytest.mark.slow
@every
def test_with_three_labels_it_is_fitted_or_refused_when_the_file_is_read(
    spec: EstimatorSpec,
) -> None:
    refused = any(spec.refusals({}, n_labels=3))

    assert not list(spec.refusals({}, n_labels=2))
    assert refused == takes_only_two(spec, {})
    if not refused:
        assert fitted(spec, 3).predict_proba(COUNTS).shape == (len(COUNTS), 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@every
def test_a_value_that_takes_two_labels_only_is_known(spec: EstimatorSpec) -> None:
    known = {(limit.parameter, limit.value) for limit in spec.binary_limits if limit.instead}
    assert {pair for pair in options(spec) if takes_only_two(spec, dict([pair]))} == known


@limited
def test_what_is_named_instead_takes_three_labels(spec: EstimatorSpec, limit: BinaryLimit) -> None:
    assert limit.instead
    for instead in limit.instead:
        if limit.parameter is None:
            fitted(ESTIMATORS[instead], 3)
        else:
            fitted(spec, 3, {limit.parameter: instead})


@every
def test_it_takes_features_below_zero_or_says_that_it_does_not(spec: EstimatorSpec) -> None:
    scaled = COUNTS - COUNTS.mean(axis=0)

    assert any(spec.refusals({}, n_labels=2, scaled=True)) == (not spec.accepts_negative)
    if spec.accepts_negative:
        fitted(spec, 2, features=scaled)
    else:
        with pytest.raises(ValueError, match="Negative values"):
            fitted(spec, 2, features=scaled)


@pytest.mark.parametrize("n_labels", [2, 3])
@every
def test_its_linear_form_gives_its_probabilities(spec: EstimatorSpec, n_labels: int) -> None:
    if any(spec.refusals({}, n_labels=n_labels)):
        return
    classifier = fitted(spec, n_labels)

    form = linear_form(classifier)

    assert (form is not None) == (spec.linear_form is not None)
    if form is not None:
        outputs = (COUNTS @ form.weights.T + form.intercepts).tolist()
        found = [probabilities_of(each, form.link) for each in outputs]
        np.testing.assert_allclose(found, classifier.predict_proba(COUNTS), rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("n_labels", [2, 3])
@every
def test_a_file_of_a_fitted_one_names_trusted_types_alone(
    spec: EstimatorSpec, n_labels: int, form: Any
) -> None:
    if any(spec.refusals({}, n_labels=n_labels)):
        return
    classifier = fitted(spec, n_labels, features=form(COUNTS))

    stored = dumps(classifier)

    assert set(get_untrusted_types(data=stored)) <= set(spec.trusted_types)
    found = loads(stored, trusted=list(spec.trusted_types))
    asked = form(COUNTS)
    np.testing.assert_array_equal(found.predict_proba(asked), classifier.predict_proba(asked))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@every
def test_whatever_option_is_chosen_its_file_names_trusted_types_alone(spec: EstimatorSpec) -> None:
    for option in options(spec):
        try:
            classifier = fitted(spec, 2, dict([option]))
        except ValueError:
            # An option that the defaults of other parameters do not go with.
            continue
        assert set(get_untrusted_types(data=dumps(classifier))) <= set(spec.trusted_types), option


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("nb_svm", {}), ("logistic_regression", {"solver": "liblinear", "dual": True})],
)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_what_takes_two_labels_learns_three_one_against_the_rest(
    name: str, parameters: dict[str, Any], form: Any
) -> None:
    names = np.array(NAMES)[COUNTS[:, :3].argmax(axis=1)]
    spec = ESTIMATORS[name]
    two = spec.build().set_params(**parameters)

    several = spec.for_labels(two, 3).fit(form(COUNTS), names)

    against = [two.fit(form(COUNTS), names == label).predict_proba(form(COUNTS)) for label in NAMES]
    expected = np.column_stack([each[:, 1] for each in against])
    found = several.predict_proba(form(COUNTS))
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-3)
    assert (several.predict(form(COUNTS)) == names).mean() > 0.8
    stored = dumps(several)
    assert set(get_untrusted_types(data=stored)) <= set(spec.trusted_types)
    np.testing.assert_array_equal(
        loads(stored, trusted=list(spec.trusted_types)).predict_proba(form(COUNTS)), found
    )


@pytest.mark.parametrize("name", ["nb_svm", "xgboost", "logistic_regression"])
def test_balanced_class_weights_find_more_of_a_rare_class(name: str) -> None:
    rng = np.random.default_rng(3)
    rare = np.arange(400) % 20 == 0
    features = rng.normal(size=(400, 3)) + 0.7 * rare[:, None]
    spec = ESTIMATORS[name]

    plain, balanced = (
        spec.build().set_params(class_weight=weight).fit(features, rare)
        for weight in (None, "balanced")
    )

    found, more = (each.predict_proba(features)[rare, 1].mean() for each in (plain, balanced))
    assert more > found + 0.1


@every
def test_a_fitted_one_is_recognised_by_its_class(spec: EstimatorSpec) -> None:
    assert spec_of(fitted(spec, 2)) is spec
    assert spec_of(object()) is None


def test_the_nearest_name_is_found_whatever_the_case() -> None:
    assert nearest("depth", ("ccp_alpha", "max_depth")) == "; the nearest is max_depth"
    assert nearest("c", ("alpha", "C")) == "; the nearest is C"


def test_a_name_like_no_other_has_no_nearest() -> None:
    assert nearest("oracle", ("svm", "xgboost")) == ""


def test_what_is_known_of_estimators_is_known_without_the_libraries() -> None:
    code = (
        "import sys, perennial.estimators\n"
        "print({name.partition('.')[0] for name in sys.modules}"
        " & {'numpy', 'scipy', 'pandas', 'sklearn', 'xgboost'})"
    )

    assert run_fresh(code).strip() == "set()"


@pytest.mark.slow
def test_everything_that_a_prediction_imports_can_be_imported_before() -> None:
    code = (
        "import sys; from perennial.estimators import preload; preload()\n"
        "print({'sklearn.linear_model', 'sklearn.calibration', 'xgboost'} - set(sys.modules))"
    )

    assert run_fresh(code).strip() == "set()"
