"""What is known of an estimator that candidates name, before any library of it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Link = Literal["logistic", "softmax", "one_vs_rest"]
Missing = Literal["refused", "dense", "accepted"]
Value = bool | int | float | str | None
# Share of common letters from which a name is worth a suggestion.
_SIMILAR = 0.4


@dataclass(frozen=True, eq=False)
class LinearForm:
    """A classifier as ``link(weights @ features + intercepts)``.

    Attributes
    ----------
    weights : ndarray of float64, shape (n_outputs, n_features)
        Two classes have one output, the log-odds of the second; more classes one output each.
    intercepts : ndarray of float64, shape (n_outputs,)
        The outputs for a document without features.
    link : {"logistic", "softmax", "one_vs_rest"}
        How the outputs become probabilities; ``one_vs_rest`` has the log-odds of each class against
        all others, the probabilities of which are divided by their sum.
    """

    weights: Floats
    intercepts: Floats
    link: Link


@dataclass(frozen=True)
class BinaryLimit:
    """A limit to problems with two labels.

    Attributes
    ----------
    parameter : str or None
        The parameter that has the limit with one of its values; None for the whole estimator.
    value : str or None
        That value.
    instead : tuple of str
        What to take for more labels: estimators, or values of the parameter. Where there is none,
        more labels are learned one by one, each against the rest.
    """

    parameter: str | None = None
    value: str | None = None
    instead: tuple[str, ...] = ()

    def holds_for(self, parameters: Mapping[str, Any]) -> bool:
        """Tell whether an estimator with these parameters takes two labels only."""
        return self.parameter is None or parameters.get(self.parameter) == self.value


@dataclass(frozen=True)
class Refusal:
    """A part of a candidate that its estimator does not take.

    Attributes
    ----------
    location : tuple of str
        The keys below the candidate.
    problem : str
        What is wrong, as the predicate of the key.
    remedy : str
        What to write instead.
    """

    location: tuple[str, ...]
    problem: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class EstimatorSpec:
    """An estimator of candidates.

    Attributes
    ----------
    name : str
        The value of ``estimator`` in a problem's file; the name of the module, too.
    class_path : str
        ``module:Class``, imported when the estimator is built.
    parameters : tuple of str
        The names that ``parameters`` of a candidate may have.
    defaults : mapping of str to value
        Parameters that differ from the defaults of the class.
    wraps : mapping of str to str
        Class paths of the estimators inside of it, by the parameter that holds them.
    binary_limits : tuple of BinaryLimit
        What takes two labels only. All else takes any number of them.
    accepts_negative : bool
        Whether features may be below zero.
    missing : {"refused", "dense", "accepted"}
        Whether features may be missing: never, in a dense matrix only, or always.
    linear_form : callable or None
        Returns the linear form of a fitted one, None if that one has none.
    contributions : callable or None
        For estimators without a linear form: takes a fitted one, a row of features of shape
        (1, n_features) and the position of a class, and returns what each feature contributes to
        that class and, last, from where they start, shape (n_features + 1,).
    foreign_types : tuple of str
        Classes of libraries in the file of a fitted one that skops does not trust by itself.
    imported_later : tuple of str
        Modules that its first fit or prediction imports.
    """

    name: str
    class_path: str
    parameters: tuple[str, ...]
    defaults: Mapping[str, Value] = field(default_factory=dict)
    wraps: Mapping[str, str] = field(default_factory=dict)
    binary_limits: tuple[BinaryLimit, ...] = ()
    accepts_negative: bool = True
    missing: Missing = "refused"
    linear_form: Callable[[Any], LinearForm | None] | None = None
    contributions: Callable[[Any, Floats, int], Floats] | None = None
    foreign_types: tuple[str, ...] = ()
    imported_later: tuple[str, ...] = ()

    @property
    def trusted_types(self) -> tuple[str, ...]:
        """Classes in the file of a fitted one that skops does not trust by itself."""
        is_ours = self.class_path.startswith("perennial.")
        return (*((self.class_path.replace(":", "."),) if is_ours else ()), *self.foreign_types)

    def build(self) -> Any:
        """Return a new estimator with the defaults, not yet fitted."""
        inner = {name: _load(path)() for name, path in self.wraps.items()}
        return _load(self.class_path)(**inner, **self.defaults)

    def for_labels(self, estimator: Any, n_labels: int) -> Any:
        """Return what learns so many labels by estimators like this one.

        What takes two labels only is fitted for each label against the rest, if there are more.
        """
        parameters = estimator.get_params()
        limits = (limit for limit in self.binary_limits if not limit.instead)
        if n_labels > 2 and any(limit.holds_for(parameters) for limit in limits):
            return _load("sklearn.multiclass:OneVsRestClassifier")(estimator)
        return estimator

    def builds(self, estimator: object) -> bool:
        """Tell whether an estimator is of the class that is built here."""
        kind = type(estimator)
        # Classes of another name are told apart without an import.
        return kind.__name__ == self.class_path.partition(":")[2] and kind is _load(self.class_path)

    def refusals(
        self, parameters: Mapping[str, Value], *, n_labels: int, scaled: bool = False
    ) -> Iterator[Refusal]:
        """Yield what of a candidate this estimator does not take.

        Parameters
        ----------
        parameters : mapping of str to value
            The candidate's.
        n_labels : int
            Labels of the problem.
        scaled : bool
            Whether features are scaled to mean 0.
        """
        for limit in self.binary_limits:
            if limit.instead and limit.parameter is None and n_labels > 2:
                yield Refusal(("estimator",), *_limited(self.name, n_labels, limit))
        if scaled and not self.accepts_negative:
            yield Refusal(
                ("features", "scale"),
                f"is 'standard', which gives negative numbers, and {self.name} takes none",
                "take 'none' instead",
            )
        for name, value in parameters.items():
            yield from self.refusals_of(name, value, n_labels=n_labels)

    def refusals_of(self, parameter: str, value: Value, *, n_labels: int) -> Iterator[Refusal]:
        """Yield what is wrong with one parameter of a candidate; see `refusals`."""
        location = ("parameters", parameter)
        if parameter not in self.parameters:
            yield Refusal(
                location,
                f"is no parameter of {self.name}",
                f"its parameters are {', '.join(self.parameters)}"
                f"{nearest(parameter, self.parameters)}",
            )
        for limit in self.binary_limits:
            is_it = (parameter, value) == (limit.parameter, limit.value)
            if limit.instead and is_it and n_labels > 2:
                yield Refusal(location, *_limited(limit.value, n_labels, limit))


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a clause that names the most similar of several names, nothing if none is similar."""
    folded = {each.casefold(): each for each in names}
    found = get_close_matches(name.casefold(), folded, n=1, cutoff=_SIMILAR)
    return f"; the nearest is {folded[found[0]]}" if found else ""


def coefficients(classifier: Any) -> LinearForm:
    """Return the linear form of a classifier with logistic coefficients."""
    link: Link = "logistic" if len(classifier.classes_) == 2 else "softmax"
    return LinearForm(classifier.coef_, classifier.intercept_, link)


def log_likelihoods(weights: Floats, intercepts: Floats) -> LinearForm:
    """Return the linear form of a naive Bayes classifier, given one output for each class."""
    import numpy as np

    if len(weights) == 2:
        # Differences first: sums of logarithms are large numbers that nearly cancel out.
        return LinearForm(np.diff(weights, axis=0), np.diff(intercepts), "logistic")
    return LinearForm(weights, intercepts, "softmax")


def towards(outputs: Floats, position: int, totals: Floats) -> Floats:
    """Return contributions to one class against the next one, from those to each output.

    Parameters
    ----------
    outputs : ndarray of float64, shape (n_outputs, n_features)
        Contributions to each output, of which two classes have one; see `LinearForm`.
    position : int
        The class.
    totals : ndarray of float64, shape (n_outputs,)
        The outputs, of which the largest other one is that of the next class.

    Returns
    -------
    ndarray of float64, shape (n_features,)
    """
    import numpy as np

    if len(outputs) == 1:
        return np.asarray(outputs[0] if position else -outputs[0], np.float64)
    return np.asarray(outputs[position] - outputs[next_class(totals, position)], np.float64)


def next_class(totals: Floats, position: int) -> int:
    """Return the position of the largest output but one."""
    ranked: list[int] = totals.argsort()[::-1].tolist()
    return next(place for place in ranked if place != position)


def _load(class_path: str) -> Any:
    module, _, name = class_path.partition(":")
    return getattr(import_module(module), name)


def _limited(value: str | None, n_labels: int, limit: BinaryLimit) -> tuple[str, str]:
    """Return problem and remedy of a value that takes two labels only."""
    return (
        f"is {value!r}, which takes two labels only, and the file has {n_labels}",
        f"take {' or '.join(map(repr, limit.instead))} instead",
    )
