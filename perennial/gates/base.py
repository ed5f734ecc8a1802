"""What every gate offers, and what it is given to judge a challenger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from perennial.metrics import MetricName, Needed
from perennial.schema import Schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from perennial.metrics import Interval, Predictions
    from perennial.registry.client import Registry
    from perennial.registry.model_version import ModelVersion

K = TypeVar("K", bound=Schema)
M = TypeVar("M")
S = TypeVar("S", bound=Schema)

# What a result says in place of a measurement that is absent.
NOT_MEASURED = "not measured"
# The key of a validation's context that holds a `FileReader`.
READ_FILE = "read_file"
# Keys under ``gates:`` that lead to a value, a predicate that says what is wrong with it, and what
# to write instead, as a clause of its own.
Conflict = tuple[tuple[str, ...], str, str]


class FileReader(Protocol):
    """Reads a file that a problem's file names."""

    def __call__(self, schema: type[S], location: tuple[str, ...], name: str) -> S:
        """Return the validated content of a file.

        Parameters
        ----------
        schema : type of Schema
            Schema of the file's content.
        location : tuple of str
            Where the problem's file names the file.
        name : str
            Name of the file, relative to the problem's.
        """
        ...


class GateResult(BaseModel):
    """One condition of a promotion, with the value that was found."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    found: str
    required: str


class SupportsProbabilities(Protocol):
    """The part of the service's predictor that gates use."""

    def probabilities(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """Return the probability of each class, shape (n_inputs, n_classes)."""
        ...


class DecisionFloor(Protocol):
    """The floor of a tuned threshold, as it was found out of fold."""

    @property
    def metric(self) -> MetricName:
        """Metric that has the floor."""

    @property
    def required(self) -> float:
        """Least value of the metric."""

    @property
    def value(self) -> float:
        """Value of the metric at the threshold."""

    @property
    def low(self) -> float:
        """Lower end of the metric's one-sided interval."""

    @property
    def reached(self) -> bool:
        """Whether the whole interval is above the floor."""


@dataclass(frozen=True)
class FitEnd:
    """How a fit ended.

    Attributes
    ----------
    used : int
        The most iterations that any part of the model has used.
    limit : int or None
        How many that part could have used; None for a model that is not fitted by iterations.
    """

    used: int
    limit: int | None

    @property
    def converged(self) -> bool:
        """Whether the fit ended before its iterations were over."""
        return self.limit is None or self.used < self.limit


@dataclass(frozen=True, eq=False)
class ModelOnHoldout:
    """The challenger's model, and the holdout on which it is evaluated.

    Attributes
    ----------
    model : Pipeline
        The fitted model, which takes raw inputs.
    build_predictor : callable
        Builds the service's predictor for the model, checked against some inputs.
    inputs : Array, shape (n_holdout,)
        Raw inputs of the holdout.
    predictions : Predictions
        The model's predictions for them.
    metrics : mapping of str to Interval
        Metrics of these predictions.
    floor : DecisionFloor or None
        Floor of the model's threshold, if the problem asks for one.
    fit_end : FitEnd or None
        How the model's fit ended; None if nobody knows.
    """

    model: Any
    build_predictor: Callable[[Sequence[Any]], SupportsProbabilities]
    inputs: pa.Array
    predictions: Predictions
    metrics: Mapping[MetricName, Interval]
    floor: DecisionFloor | None = None
    fit_end: FitEnd | None = None


@dataclass(frozen=True)
class FeedbackAgreement:
    """How much of what a sender says about predictions Production agrees with.

    Attributes
    ----------
    sender : str
        Digest of the sender's API key, or what stands for one that is not known.
    documents : int
        Number of the sender's documents that Production has not learned from.
    agreeing : int
        How many of them Production gives the same label.
    """

    sender: str
    documents: int
    agreeing: int

    @property
    def share(self) -> float:
        """The share that agrees."""
        return self.agreeing / self.documents


@dataclass(frozen=True, eq=False)
class Anchor:
    """The best version so far, below which a series of versions may not sink.

    Attributes
    ----------
    version : int
        Its number.
    steps : int
        How many versions have followed since that were not proved to be better than it.
    challenger, anchor : Predictions or None
        The challenger's predictions and its own for documents that neither has learned from; None
        if there are too few, or if it is not there any more.
    """

    version: int
    steps: int = 1
    challenger: Predictions | None = None
    anchor: Predictions | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two registered versions that are about to be compared.

    Attributes
    ----------
    registry : Registry
        The model registry.
    version : ModelVersion
        The challenger.
    production : ModelVersion or None
        The Production version, if there is one.
    traits : Table or None
        Traits of the documents that both predict; None without a Production version.
    feedback : sequence of FeedbackAgreement
        What senders of feedback that is not judged on say of Production, each with documents.
    has_newer_documents : bool or None
        Whether the challenger has seen newer documents than Production; None if nobody has looked.
    anchor : Anchor or None
        The best version so far, if it is not Production itself.
    """

    registry: Registry
    version: ModelVersion
    production: ModelVersion | None = None
    traits: pa.Table | None = None
    feedback: Sequence[FeedbackAgreement] = ()
    has_newer_documents: bool | None = None
    anchor: Anchor | None = None


@dataclass(frozen=True, eq=False)
class Evidence:
    """Predictions of a challenger and of Production, and what was measured besides.

    Attributes
    ----------
    metric : str
        Metric by which the problem compares models.
    confidence : float
        Confidence of every interval.
    seed : int
        Seed of the bootstrap.
    challenger : Predictions
        The challenger's predictions for documents that neither version has learned from.
    production : Predictions or None
        Production's predictions for the same documents, if there is a Production version.
    measured : mapping of str to Any
        Name of a gate -> its measurement.
    """

    metric: MetricName
    confidence: float
    seed: int
    challenger: Predictions
    production: Predictions | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)


class Gate(ABC, Generic[K, M]):
    """One gate, of which there is one instance, ``GATE`` in its module.

    Type variables: K, the schema of the gate's keys; M, the type of its measurement.

    Attributes
    ----------
    name : str
        Name of the gate, the same as that of its module.
    position : int
        Place of its results in a verdict, and of its keys in a problem; gaps are for new gates.
    keys : type of Schema
        Keys of the gate under ``gates:``, each with a default that asks for nothing.
    looks_at : str
        Subject of the gate: ``predictions`` for the holdout, the fitted ``model``, entries of the
        ``registry``, or the answer of a ``person``.
    only_for_texts : tuple of tuple of str
        Keys that a problem with ``inputs:`` does not have.
    in_every_digest : bool
        Whether the keys are part of a problem's digest even at their defaults. They are for the
        first gates; for later ones not, so that a new gate starts no retraining where it is off.
    examples : tuple of (str, str)
        Rows of docs/gates.md in Markdown: a key with an example of its value, and when the
        challenger is kept out.
    section : str
        Section of docs/gates.md in Markdown, with its heading; empty if the rows say it all.
    """

    name: ClassVar[str]
    position: ClassVar[int]
    keys: ClassVar[type[Schema]]
    looks_at: ClassVar[Literal["predictions", "model", "registry", "person"]] = "predictions"
    only_for_texts: ClassVar[tuple[tuple[str, ...], ...]] = ()
    in_every_digest: ClassVar[bool] = False
    examples: ClassVar[tuple[tuple[str, str], ...]] = ()
    section: ClassVar[str] = ""

    def conflicts(self, asked: K, *, has: Callable[[Needed | None], bool]) -> Iterable[Conflict]:
        """Yield the values of the gate's keys that contradict the rest of the problem's file."""
        return ()

    def measure(self, asked: K, subject: ModelOnHoldout) -> M | None:
        """Return the gate's measurement of a fitted model; None if the problem does not ask."""
        return None

    def look_up(self, asked: K, comparison: Comparison) -> M | None:
        """Return the gate's measurement of registered versions; None if there is nothing to say."""
        return None

    @abstractmethod
    def judge(self, asked: K, evidence: Evidence, measured: M | None) -> Iterable[GateResult]:
        """Yield the results of the gate, none if the problem does not ask for it.

        Parameters
        ----------
        asked : K
            The gate's keys of the problem.
        evidence : Evidence
            Predictions on the holdout.
        measured : M or None
            What `measure` or `look_up` returned.
        """


def format_gain(gain: Interval) -> str:
    """Return a gain with its interval, each number with its sign."""
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
