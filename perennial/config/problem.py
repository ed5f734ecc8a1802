"""The schema of ``problems/NAME.yaml``: one classification task, declared in one file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.main import IncEx

from perennial.config.decision import DecisionConfig
from perennial.config.errors import CrossReferenceError, invalid_value, join_names
from perennial.config.experiment import Experiment, Parameters
from perennial.config.feedback import FeedbackRules
from perennial.config.fields import FieldName, TabularFeatures
from perennial.config.gates import Gates
from perennial.config.monitoring import Monitoring
from perennial.config.preparation import Preparation
from perennial.config.rollout import Rollout
from perennial.config.schedule import Schedule
from perennial.config.validation import Validation
from perennial.estimators import ESTIMATORS, EstimatorName
from perennial.estimators.base import Refusal
from perennial.fields import FieldKind
from perennial.gates.catalogue import find_conflicts, keys_for_texts
from perennial.metrics import METRICS, MetricName
from perennial.schema import Name, Schema, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A label as it stands in the documents.
StoredLabel = str | int | bool


class Fields(Schema):
    """Names of the fields of a document."""

    text: str = "text"
    label: str = "label"
    created_at: str = "created_at"
    source: str = "source"


class Source(Schema):
    """Where the documents of a problem are."""

    database: str = Field(min_length=1)
    collection: str = Field(min_length=1)
    query: dict[str, Any] = Field(default={}, description="a MongoDB filter on the documents")
    fields: Fields = Fields()
    late_window: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(0),
        description="how far behind the newest known document a late one may arrive",
    )
    dataset: str | None = Field(
        default=None, description="a built-in dataset, which flows.seed loads unless told otherwise"
    )


class Limits(Schema):
    """Which documents are too short or too long to be used."""

    min_words: int = Field(default=3, ge=1)
    max_characters: int = Field(default=100_000, ge=1)


class Features(Schema):
    """How tokens become numbers."""

    weighting: Literal["counts", "tfidf"] = "counts"
    bigrams: bool = Field(
        default=False,
        description="pairs of neighbouring tokens besides tokens: ngram_range=(1, 2) of "
        "scikit-learn",
    )
    min_documents: int = Field(
        default=2,
        ge=1,
        description="the least number of documents that a feature occurs in: min_df of "
        "scikit-learn",
    )
    max_features: int | None = Field(default=None, ge=1)
    binary: bool = False
    sublinear: bool = Field(
        default=False,
        description="1 + log(count) instead of the count: sublinear_tf of scikit-learn",
    )


class Candidate(Schema):
    """A model specification that a retraining fits: preparation x features x estimator."""

    preparation: Name
    features: Features
    estimator: EstimatorName
    parameters: Parameters = Field(default={})

    @property
    def shared(self) -> tuple[Hashable, ...]:
        """What candidates must agree on to share features; the first part, to share tokens."""
        f = self.features
        # The weighting is cheap and learned per fit; everything else can be shared.
        return self.preparation, f.bigrams, f.min_documents, f.max_features, f.binary


class TabularCandidate(Schema):
    """A candidate of a problem with `inputs`: features x estimator."""

    features: TabularFeatures = TabularFeatures()
    estimator: EstimatorName
    parameters: Parameters = Field(default={})

    @property
    def shared(self) -> tuple[Hashable, ...]:
        """See `Candidate.shared`: scaling is cheap and learned per fit, all else is the same."""
        return ()


class Problem(Schema):
    """One classification task. `load_problem` reads it from its file."""

    name: Name
    description: str = ""
    source: Source
    labels: dict[str, StoredLabel] = Field(
        min_length=2, description="label -> its value in the documents; the last one is positive"
    )
    inputs: dict[FieldName, FieldKind] | None = Field(
        default=None, min_length=1, description="the fields of tabular documents; absent for texts"
    )
    limits: Limits = Limits()
    feedback: FeedbackRules = FeedbackRules()
    holdout: Share = 0.2
    validation: Validation = Field(
        default=Validation(share=0.1), description="which documents choose the challenger"
    )
    metric: MetricName = "accuracy"
    decision: DecisionConfig | None = None
    preparations: dict[Name, Preparation] = Field(default={}, description="of texts")
    candidates: dict[Name, Candidate | TabularCandidate]
    gates: Gates = Gates()
    rollout: Rollout = Rollout()
    schedule: Schedule = Schedule()
    monitoring: Monitoring = Monitoring()
    seed: int = 42
    baseline: Name | None = Field(
        default=None, description="the candidate that retrainings fit; absent, they try all"
    )
    experiment: Experiment = Experiment()

    @model_validator(mode="before")
    @classmethod
    def _has_one_kind_of_inputs(cls, content: Any) -> Any:
        """Refuse keys of both kinds of problem at once, before each candidate is refused.

        The candidates tell which kind is meant: those of texts name a preparation.
        """
        if not isinstance(content, Mapping) or content.get("inputs") is None:
            return content
        named = content.get("candidates")
        candidates = list(named.values()) if isinstance(named, Mapping) else []
        if candidates and all(isinstance(c, Mapping) and "preparation" in c for c in candidates):
            shown = "is not a key of a problem whose candidates have preparations"
            remedy = "remove it for texts; for records, remove the preparations"
            raise CrossReferenceError(("inputs",), shown, remedy)
        if content.get("preparations"):
            raise _only_for_texts(("preparations",))
        return content

    @field_validator("candidates", mode="wrap")
    @classmethod
    def _of_one_kind(
        cls, value: Any, _: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> dict[Name, Candidate | TabularCandidate]:
        # Inputs that are wrong themselves are not in the data; they were there all the same.
        kind: Any = _Candidates if info.data.get("inputs", {}) is None else _TabularCandidates
        found: dict[Name, Candidate | TabularCandidate] = TypeAdapter(kind).validate_python(value)
        return found

    @model_validator(mode="after")
    def _keys_fit_the_inputs(self) -> Self:
        if self.inputs is None:
            if not self.preparations:
                raise CrossReferenceError(("preparations",), "is missing", "texts need one or more")
            return self
        for location, part in _ONLY_FOR_TEXTS.items():
            found = part(self)
            # A problem that was written down whole names everything, with its default.
            if found is not None and not _has_default(found, location[-1]):
                raise _only_for_texts(location)
        fields = self.source.fields
        for name in ("_id", fields.label, fields.created_at, fields.source):
            if name in self.inputs:
                raise invalid_value(("inputs", name), name, "a field that holds nothing else")
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        for name, candidate in self.candidates.items():
            if isinstance(candidate, TabularCandidate):
                continue
            if candidate.preparation not in self.preparations:
                raise invalid_value(
                    ("candidates", name, "preparation"),
                    candidate.preparation,
                    f"one of the preparations {join_names(self.preparations)}",
                )
        if self.baseline is not None and self.baseline not in self.candidates:
            raise invalid_value(
                ("baseline",), self.baseline, f"one of the candidates {join_names(self.candidates)}"
            )
        self._check_experiment()
        self._check_estimators()
        if len(set(map(repr, self.labels.values()))) < len(self.labels):
            raise invalid_value(
                ("labels",), dict(self.labels), "a different stored value for each label"
            )
        for error in self._contradictions():
            raise error
        return self

    def _contradictions(self) -> Iterator[CrossReferenceError]:
        if self.decision is not None:
            for location, value, allowed in self.decision.invalid_values(self.classes):
                yield invalid_value(("decision", *location), value, allowed)
            metrics = self.decision.allowed_metrics
            if self.metric not in metrics:
                allowed = f"{join_names(metrics)}, as decision serves no other metric"
                yield invalid_value(("metric",), self.metric, allowed)
        if METRICS[self.metric].needs_costs and not self.has_costs:
            remedy = "no cost is possible without decision.costs, so add it or name another metric"
            yield CrossReferenceError(("metric",), f"is {self.metric!r}", remedy)
        for location, shown, remedy in find_conflicts(self.gates, has_costs=self.has_costs):
            yield CrossReferenceError(("gates", *location), shown, remedy)

    def _check_experiment(self) -> None:
        grid = self.experiment.grid
        for name, cell in grid.cells() if grid is not None else ():
            try:
                candidate = Candidate.model_validate(cell)
            except ValidationError as error:
                detail = error.errors()[0]
                key = ".".join(map(str, detail["loc"]))
                raise CrossReferenceError(
                    ("experiment", "grid"),
                    f"makes the candidate {name!r}, whose {key} is {detail['input']!r}",
                    f"{detail['msg'][:1].lower()}{detail['msg'][1:]}",
                ) from None
            if candidate.preparation not in self.preparations:
                raise invalid_value(
                    ("experiment", "grid", "preparation"),
                    candidate.preparation,
                    f"one of the preparations {join_names(self.preparations)}",
                )
        explored = self.for_experiment().candidates
        known = {*explored, *(candidate.estimator for candidate in explored.values())}
        for name in self.experiment.spaces:
            if name not in known:
                raise invalid_value(
                    ("experiment", "spaces", name), name, f"one of {join_names(sorted(known))}"
                )

    def _check_estimators(self) -> None:
        """Check each candidate, and what is explored of it, against its estimator."""
        n_labels = len(self.labels)
        for name, candidate in self.candidates.items():
            scaled = isinstance(candidate, TabularCandidate) and candidate.features.scale != "none"
            _require_none(
                ("candidates", name),
                ESTIMATORS[candidate.estimator].refusals(
                    candidate.parameters, n_labels=n_labels, scaled=scaled
                ),
            )
        grid = self.experiment.grid
        explored = self.for_experiment().candidates
        for name, cell in grid.estimators.items() if grid is not None else ():
            _require_none(
                ("experiment", "grid", "estimators", name),
                ESTIMATORS[cell.estimator].refusals(cell.parameters, n_labels=n_labels),
            )
        for name, candidate in explored.items():
            found = self.experiment.space_of(name, candidate.estimator)
            spaces = self.experiment.spaces
            key = name if name in spaces else candidate.estimator
            for parameter, values in found.parameters.items() if found is not None else ():
                for value in values:
                    _require_none(
                        ("experiment", "spaces", key),
                        ESTIMATORS[candidate.estimator].refusals_of(
                            parameter, value, n_labels=n_labels
                        ),
                    )

    def for_retraining(self) -> Self:
        """Return the problem with its baseline as its only candidate, if it has one."""
        if self.baseline is None:
            return self
        only = {self.baseline: self.candidates[self.baseline]}
        # What an experiment explores names candidates that are not there any more.
        return self.model_copy(update={"candidates": only, "experiment": Experiment()})

    def for_experiment(self) -> Self:
        """Return the problem with its candidates and those of the experiment's grid.

        Where both have a name, the candidate stays.
        """
        grid = self.experiment.grid
        cells = {} if grid is None else dict(grid.cells())
        made = {name: Candidate.model_validate(cell) for name, cell in cells.items()}
        # The candidates come first, in case that the time is over before the grid is.
        return self.model_copy(update={"candidates": self.candidates | (made | self.candidates)})

    @property
    def digest(self) -> str:
        """Hexadecimal digest of everything that shapes a retraining of this problem."""
        shaping = self.for_retraining().model_dump_json(exclude=_SHAPES_NOTHING)
        return hashlib.sha256(shaping.encode()).hexdigest()[:16]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the file."""
        return tuple(self.labels)

    @property
    def has_costs(self) -> bool:
        """Whether the problem says what errors cost."""
        return self.decision is not None and self.decision.costs is not None

    @property
    def costs(self) -> NDArray[np.float64] | None:
        """What errors cost, shape (n_classes true, n_classes given); None without `decision`."""
        return None if self.decision is None else self.decision.cost_matrix(self.classes)


def _part_of_gates(problem: Problem, *, parents: tuple[str, ...]) -> Schema | None:
    part: Schema | None = problem.gates
    for name in parents:
        part = getattr(part, name, None)
    return part


_Candidates = Annotated[dict[Name, Candidate], Field(min_length=1)]
_TabularCandidates = Annotated[dict[Name, TabularCandidate], Field(min_length=1)]
_ONLY_FOR_TEXTS: Mapping[tuple[str, ...], Callable[[Problem], Schema | None]] = {
    ("limits",): lambda problem: problem,
    ("preparations",): lambda problem: problem,
    ("source", "fields", "text"): lambda problem: problem.source.fields,
    ("experiment", "grid"): lambda problem: problem.experiment,
    **{("gates", *key): partial(_part_of_gates, parents=key[:-1]) for key in keys_for_texts()},
}


# Parts of a file that say nothing about what a retraining makes.
_SHAPES_NOTHING: dict[str, IncEx | bool] = {
    "description": True,
    "experiment": True,
    "monitoring": True,
    "rollout": True,
    "schedule": True,
    "source": {"dataset"},
}


def _require_none(location: tuple[str, ...], refusals: Iterator[Refusal]) -> None:
    """Raise `CrossReferenceError` for the first refusal below a place in the file."""
    for refusal in refusals:
        raise CrossReferenceError((*location, *refusal.location), refusal.problem, refusal.remedy)


def _only_for_texts(location: tuple[str, ...]) -> CrossReferenceError:
    return CrossReferenceError(location, "is not a key of a problem with inputs", "it is for texts")


def _has_default(part: Schema, name: str) -> bool:
    return bool(getattr(part, name) == type(part).model_fields[name].get_default())
