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

from perennial.config.decision import Complaint, Goal
from perennial.config.errors import CrossReferenceError, at, listed
from perennial.config.experiment import Experiment
from perennial.config.feedback import FeedbackRules
from perennial.config.fields import FieldKind, FieldName, TabularFeatures
from perennial.config.gates import Gates
from perennial.config.monitoring import Monitoring
from perennial.config.preparation import Preparation
from perennial.config.rollout import Rollout
from perennial.config.schedule import Schedule
from perennial.config.validation import Validation
from perennial.estimators import ESTIMATORS, EstimatorName
from perennial.estimators.base import Refusal
from perennial.gates.catalogue import find_conflicts, keys_for_texts
from perennial.schema import MetricName, Name, Schema, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A label as it stands in the documents.
StoredLabel = str | int | bool
Parameters = dict[str, bool | int | float | str | None]


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
    bigrams: bool = False
    min_documents: int = Field(default=2, ge=1)
    max_features: int | None = Field(default=None, ge=1)
    binary: bool = False
    sublinear: bool = Field(default=False, description="1 + log(count) instead of the count")


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
    decision: Goal | None = None
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
                shown = "is not a key of a problem with inputs"
                raise CrossReferenceError(location, shown, "it is for texts")
        fields = self.source.fields
        for name in ("_id", fields.label, fields.created_at, fields.source):
            if name in self.inputs:
                raise at(("inputs", name), name, "a field that holds nothing else")
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        for name, candidate in self.candidates.items():
            if isinstance(candidate, TabularCandidate):
                continue
            if candidate.preparation not in self.preparations:
                raise at(
                    ("candidates", name, "preparation"),
                    candidate.preparation,
                    f"one of the preparations {listed(self.preparations)}",
                )
        if self.baseline is not None and self.baseline not in self.candidates:
            raise at(
                ("baseline",), self.baseline, f"one of the candidates {listed(self.candidates)}"
            )
        self._check_experiment()
        self._check_estimators()
        if len(set(map(repr, self.labels.values()))) < len(self.labels):
            raise at(("labels",), dict(self.labels), "a different stored value for each label")
        for location, value, allowed in self._wrong_decision():
            raise at(location, value, allowed)
        return self

    def _wrong_decision(self) -> Iterator[Complaint]:
        if self.decision is not None:
            for location, value, allowed in self.decision.complaints(self.classes):
                yield ("decision", *location), value, allowed
            if self.metric not in self.decision.comparable:
                allowed = f"{listed(self.decision.comparable)}, as decision serves no other metric"
                yield ("metric",), self.metric, allowed
        has_costs = self.costs is not None
        if self.metric == "cost" and not has_costs:
            yield ("metric",), self.metric, "possible without decision.costs"
        for location, value, allowed in find_conflicts(self.gates, has_costs=has_costs):
            yield ("gates", *location), value, allowed

    def _check_experiment(self) -> None:
        grid = self.experiment.grid
        for name, cell in grid.cells() if grid is not None else ():
            try:
                candidate = Candidate.model_validate(cell)
            except ValidationError as error:
                detail = error.errors()[0]
                part = ".".join(map(str, (name, *detail["loc"])))
                raise at(
                    ("experiment", "grid"),
                    {part: detail["input"]},
                    f"what a candidate allows: {detail['msg']}",
                ) from None
            if candidate.preparation not in self.preparations:
                raise at(
                    ("experiment", "grid", "preparation"),
                    candidate.preparation,
                    f"one of the preparations {listed(self.preparations)}",
                )
        explored = self.explored.candidates
        known = {*explored, *(candidate.estimator for candidate in explored.values())}
        for name in self.experiment.spaces:
            if name not in known:
                raise at(("experiment", "spaces", name), name, f"one of {listed(sorted(known))}")

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
        for name, cell in grid.estimators.items() if grid is not None else ():
            _require_none(
                ("experiment", "grid", "estimators", name),
                ESTIMATORS[cell.estimator].refusals(cell.parameters, n_labels=n_labels),
            )
        for name, candidate in self.explored.candidates.items():
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

    @property
    def retrained(self) -> Self:
        """The problem as a retraining sees it: with its baseline alone, if it has one."""
        if self.baseline is None:
            return self
        only = {self.baseline: self.candidates[self.baseline]}
        # What an experiment explores names candidates that are not there any more.
        return self.model_copy(update={"candidates": only, "experiment": Experiment()})

    @property
    def explored(self) -> Self:
        """The problem as an experiment sees it: its candidates and those of the grid.

        Where both have a name, the candidate is meant.
        """
        grid = self.experiment.grid
        cells = {} if grid is None else dict(grid.cells())
        made = {name: Candidate.model_validate(cell) for name, cell in cells.items()}
        # The candidates come first, in case that the time is over before the grid is.
        return self.model_copy(update={"candidates": self.candidates | (made | self.candidates)})

    @property
    def digest(self) -> str:
        """Hexadecimal digest of everything that shapes a retraining of this problem."""
        shaping = self.retrained.model_dump_json(exclude=_SHAPES_NOTHING)
        return hashlib.sha256(shaping.encode()).hexdigest()[:16]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the file."""
        return tuple(self.labels)

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


def _has_default(part: Schema, name: str) -> bool:
    return bool(getattr(part, name) == type(part).model_fields[name].get_default())
