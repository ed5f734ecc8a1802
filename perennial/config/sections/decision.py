"""The ``decision:`` part of a problem: what its errors cost, or what its answers must reach.

::

    decision:
      costs: {negative: 1, positive: 5}     # of missing a document of that class
    decision:
      floor: {precision: 0.95}              # and as much recall as that leaves
    decision:
      maximise: f1
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Field, Tag

from perennial.metrics import METRICS, MetricName, Needed
from perennial.schema import Schema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Metrics that a threshold changes, of the positive class where that matters.
ThresholdMetric = Literal["accuracy", "balanced_accuracy", "precision", "recall", "f1"]
# What a decision can serve.
GoalMetric = Literal["accuracy", "balanced_accuracy", "precision", "recall", "f1", "cost"]
FloorMetric = Literal["precision", "recall"]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# One cost for every way to miss a class, or one for each label that may be given instead.
MissCost = Annotated[
    Annotated[Cost, Tag("number")] | Annotated[dict[str, Cost], Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, Mapping) else "number"),
]
# Keys that lead to a value, the value, and its alternatives as a noun.
InvalidValue = tuple[tuple[str, ...], object, str]

_OF_TWO_CLASSES: tuple[ThresholdMetric, ...] = ("precision", "recall")
# What `recall_at_precision` asks for, where the problem's file names no precision.
_PRECISION = 0.9
_COUNTERPART: dict[FloorMetric, ThresholdMetric] = {"precision": "recall", "recall": "precision"}


class DecisionConfig(Schema):
    """What the labels that a model gives are to achieve.

    Without costs, floor and metric the most probable label is given. A problem without this part
    neither tunes nor calibrates, which saves the fits that both need, unless its metric is one that
    labels are tuned for: see `DecisionConfig.for_metric`.
    """

    costs: dict[str, MissCost] | None = Field(
        default=None,
        description="class -> cost of missing a document of it, or label given instead -> cost",
    )
    floor: dict[FloorMetric, Annotated[float, Field(gt=0, lt=1)]] | None = Field(
        default=None, min_length=1, max_length=1, description="a metric and its least value"
    )
    maximise: ThresholdMetric | None = Field(
        default=None, description="what is as large as possible, above the floor if there is one"
    )
    calibrate: Literal["auto", "never"] = Field(
        default="auto", description="auto: when it improves the Brier score"
    )
    folds: int = Field(
        default=5, ge=2, le=20, description="further fits of the challenger, for this purpose"
    )

    @classmethod
    def for_metric(cls, metric: MetricName) -> DecisionConfig | None:
        """Return the decision of a problem that has none, by its metric; None to tune nothing."""
        if METRICS[metric].needs == "decision.floor.precision":
            return cls(floor={"precision": _PRECISION})
        if not METRICS[metric].is_tuned_for:
            return None
        return cls.model_validate({"maximise": metric})

    @property
    def metric(self) -> ThresholdMetric | None:
        """What the threshold maximises; None when costs decide, or nothing is tuned."""
        if self.floor is not None and self.maximise is None:
            return _COUNTERPART[next(iter(self.floor))]
        return self.maximise

    @property
    def objective(self) -> GoalMetric | None:
        """The cost, or the metric that the threshold maximises; None if nothing is tuned."""
        return "cost" if self.costs is not None else self.metric

    @property
    def allowed_metrics(self) -> tuple[str, ...]:
        """The metrics by which a challenger may be compared with Production.

        A threshold gives up accuracy, say, for what it serves: compared by accuracy, a challenger
        would lose to a Production model that serves nothing, however much better it is.
        """
        known = [metric for metric in METRICS.values() if self.has(metric.needs)]
        anyway = [metric.name for metric in known if metric.needs_probabilities]
        if self.objective is None:
            return tuple(metric.name for metric in known)
        return (self.objective, *anyway)

    @property
    def least_precision(self) -> float | None:
        """The floor of precision, if that is the floor."""
        return None if self.floor is None else self.floor.get("precision")

    def has(self, needed: Needed | None) -> bool:
        """Whether a key is there that a metric needs; True for a metric that needs none."""
        if needed == "decision.costs":
            return self.costs is not None
        return needed is None or self.least_precision is not None

    @property
    def is_tuned(self) -> bool:
        """Whether another label than the most probable one may be given."""
        return self.objective is not None

    def cost_matrix(self, classes: Sequence[str]) -> NDArray[np.float64] | None:
        """Return what it costs to give a label, shape (n_classes true, n_classes given)."""
        if self.costs is None:
            return None
        # Who only checks a file does not wait for NumPy.
        import numpy as np

        return np.array(
            [[_cost(self.costs[true], true, given) for given in classes] for true in classes],
            np.float64,
        )

    def invalid_values(self, classes: Sequence[str]) -> Iterator[InvalidValue]:
        """Yield the values that contradict the problem's labels or the rest of this part."""
        if self.costs is not None:
            yield from _wrong_costs(self.costs, classes)
            for key in ("floor", "maximise"):
                if getattr(self, key) is not None:
                    yield (
                        (key,),
                        getattr(self, key),
                        "nothing, as decision.costs decides; remove one",
                    )
            return
        if len(classes) > 2:
            if self.floor is not None:
                allowed = f"nothing for {len(classes)} classes; give decision.costs instead"
                yield ("floor",), self.floor, allowed
            if self.maximise in _OF_TWO_CLASSES:
                allowed = (
                    f"accuracy, balanced_accuracy or f1 for {len(classes)} classes; give one of "
                    "these, or decision.costs instead"
                )
                yield ("maximise",), self.maximise, allowed
        if self.floor is not None and self.maximise in self.floor:
            yield ("maximise",), self.maximise, "another metric than that of the floor"


def _cost(costs: float | dict[str, float], true: str, given: str) -> float:
    if true == given:
        return 0.0
    return costs[given] if isinstance(costs, dict) else costs


def _wrong_costs(
    costs: Mapping[str, float | dict[str, float]], classes: Sequence[str]
) -> Iterator[InvalidValue]:
    if set(costs) != set(classes):
        yield ("costs",), dict(costs), f"one cost for each of the labels {', '.join(classes)}"
        return
    for true, cost in costs.items():
        others = [label for label in classes if label != true]
        if isinstance(cost, dict) and set(cost) != set(others):
            yield ("costs", true), cost, f"one cost for each other label: {', '.join(others)}"
            return
    if not any(max(cost.values()) if isinstance(cost, dict) else cost for cost in costs.values()):
        yield ("costs",), dict(costs), "at least one cost above 0"
