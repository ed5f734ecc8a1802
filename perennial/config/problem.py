"""The schema of ``problems/NAME.yaml``: one classification task, declared in one file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.main import IncEx

from perennial import paths
from perennial.config.answering.abstain import Abstain
from perennial.config.answering.examples import Examples, wrong_examples
from perennial.config.checks import (
    FORBIDDEN,
    check_candidates,
    check_estimators,
    check_forbidden,
    check_grid,
    check_paths,
    check_spaces,
)
from perennial.config.errors import CrossReferenceError, invalid_value, join_names
from perennial.config.sections.candidates import Analyzer, Candidate, TabularCandidate
from perennial.config.sections.decision import DecisionConfig
from perennial.config.sections.experiment import Experiment
from perennial.config.sections.feedback import FeedbackRules
from perennial.config.sections.fields import FieldSpec
from perennial.config.sections.gates import Gates
from perennial.config.sections.labels import check_labels, check_merged_labels
from perennial.config.sections.monitoring import Monitoring
from perennial.config.sections.preparation import Preparation
from perennial.config.sections.redact import Redact
from perennial.config.sections.retention import Retention
from perennial.config.sections.rollout import Rollout
from perennial.config.sections.schedule import Schedule
from perennial.config.sections.source import Source
from perennial.config.sections.split import RareLabels, Split, Validation
from perennial.formats import PROBLEM_FILE
from perennial.gates.catalogue import find_conflicts, keys_for_texts
from perennial.metrics import METRICS, MetricName, Needed
from perennial.schema import FieldName, Name, Schema, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A label as it stands in the documents.
StoredLabel = str | int | bool


class Limits(Schema):
    """Which documents are too short or too long to be used."""

    min_words: int = Field(default=3, ge=1)
    max_characters: int = Field(default=100_000, ge=1)


class Problem(Schema):
    """One classification task. `load_problem` reads it from its file."""

    name: Name
    description: str = ""
    examples: Examples = Field(
        default=(),
        description="inputs to try, texts or records, which the service shows to everybody",
    )
    source: Source
    labels: dict[str, StoredLabel] = Field(
        min_length=2, description="label -> its value in the documents; the last one is positive"
    )
    inputs: dict[FieldName, FieldSpec] | None = Field(
        default=None, min_length=1, description="the fields of tabular documents; absent for texts"
    )
    limits: Limits = Limits()
    redact: Redact | None = Field(
        default=None, description="what is taken out of texts before they are stored or learned"
    )
    feedback: FeedbackRules = FeedbackRules()
    split: Split = Split()
    holdout: Share = 0.2
    validation: Validation = Field(
        default=Validation(share=0.1), description="which documents choose the challenger"
    )
    merge_labels: dict[str, Annotated[tuple[StoredLabel, ...], Field(min_length=1)]] = Field(
        default={},
        description="label: further values in the documents that mean it, such as "
        "negative: [bad, awful]",
    )
    rare_labels: RareLabels | None = Field(
        default=None, description="absent, a label needs documents on both sides of the split"
    )
    metric: MetricName = "accuracy"
    decision: DecisionConfig | None = None
    abstain: Abstain | None = Field(
        default=None, description="when the service gives no label; absent, it always gives one"
    )
    preparations: dict[Name, Preparation] = Field(default={}, description="of texts")
    candidates: dict[Name, Candidate | TabularCandidate]
    gates: Gates = Gates()
    rollout: Rollout = Rollout()
    schedule: Schedule = Schedule()
    monitoring: Monitoring = Monitoring()
    retention: Retention = Retention()
    seed: int = 42
    baseline: Name | None = Field(
        default=None, description="the candidate that retrainings fit; absent, they try all"
    )
    experiment: Experiment = Experiment()
    format: int = Field(
        default=PROBLEM_FILE, ge=1, le=PROBLEM_FILE, description="format of this file"
    )

    _classes: tuple[str, ...] | None = PrivateAttr(default=None)
    _digest: str | None = PrivateAttr(default=None)

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

    @field_validator("labels", mode="before")
    @classmethod
    def _are_labels(cls, labels: Any) -> Any:
        if isinstance(labels, Mapping):
            check_labels(labels)
        return labels

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
            check_paths(self.source.fields, None)
            return self
        for location, part in _ONLY_FOR_TEXTS.items():
            found = part(self)
            # A problem that was written down whole names everything, with its default.
            if found is not None and not _has_default(found, location[-1]):
                raise _only_for_texts(location)
        fields = self.source.fields
        for name in ("_id", fields.label, fields.created_at, fields.source):
            for given in self.inputs:
                if paths.collision((given, name)):
                    raise invalid_value(("inputs", given), given, "a field that holds nothing else")
        check_paths(fields, self.inputs)
        return self

    @model_validator(mode="after")
    def _learns_from_nothing_forbidden(self, info: ValidationInfo) -> Self:
        check_forbidden((info.context or {}).get(FORBIDDEN, ()), self.source.fields, self.inputs)
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        check_candidates(self.candidates, self.preparations, self.baseline)
        if self.experiment.grid is not None:
            check_grid(self.experiment.grid, self.preparations)
        explored = self.for_experiment().candidates
        check_spaces(self.experiment, explored)
        check_estimators(self.candidates, explored, self.experiment, n_labels=len(self.labels))
        if len(set(map(repr, self.labels.values()))) < len(self.labels):
            raise invalid_value(
                ("labels",), dict(self.labels), "a different stored value for each label"
            )
        check_merged_labels(self.labels, self.merge_labels)
        for error in self._contradictions():
            raise error
        return self

    def _contradictions(self) -> Iterator[CrossReferenceError]:
        yield from wrong_examples(self.examples, self.inputs)
        judged = METRICS[self.metric]
        if not self.has(judged.needs):
            yield CrossReferenceError(("metric",), f"is {self.metric!r}", judged.way_out)
        if self.decision is not None:
            for location, value, allowed in self.decision.invalid_values(self.possible_classes):
                yield invalid_value(("decision", *location), value, allowed)
            number = len(self.possible_classes)
            allowed_metrics = self.decision.allowed_metrics
            metrics = [name for name in allowed_metrics if METRICS[name].tells_of(number)]
            if self.metric not in metrics:
                allowed = f"{join_names(metrics)}, as decision serves no other metric"
                yield invalid_value(("metric",), self.metric, allowed)
        metric, number = METRICS[self.metric], len(self.possible_classes)
        if not metric.tells_of(number):
            problem = f"is {self.metric!r}, which tells nothing of {number} labels"
            fewer = number < metric.least_classes
            meant = f"{metric.least_classes} or more" if fewer else f"{metric.most_classes}"
            remedy = f"it is for {meant}, so name another metric, such as accuracy"
            yield CrossReferenceError(("metric",), problem, remedy)
        if self.inputs is None and self.split.by == "document":
            allowed = "content, group or time for texts, of which equal ones are copies"
            yield invalid_value(("split", "by"), self.split.by, allowed)
        for location, shown, remedy in find_conflicts(self.gates, has=self.has):
            yield CrossReferenceError(("gates", *location), shown, remedy)

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
        """Hexadecimal digest of everything that shapes a retraining of this problem.

        It is that of the file, whatever was chosen by the documents since.
        """
        if self._digest is not None:
            return self._digest
        # A key that came later starts no retraining where it is not used.
        unused = {name: True for name in _ADDED_LATER if _has_default(self, name)}
        exclude = _SHAPES_NOTHING | unused
        if _has_default(self.feedback, "max_share"):
            exclude |= {"feedback": {"max_share"}}
        shaping = self.for_retraining().model_dump_json(exclude=exclude)
        return hashlib.sha256(shaping.encode()).hexdigest()[:16]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that models learn, in the order of the file: all, or `with_classes`."""
        return tuple(self.labels) if self._classes is None else self._classes

    @property
    def possible_classes(self) -> tuple[str, ...]:
        """The labels of the file, and the one that rare ones become."""
        labels = tuple(self.labels)
        return (
            labels
            if self.rare_labels is None
            else (*labels, *self.rare_labels.added_labels(labels))
        )

    def with_classes(self, classes: Sequence[str]) -> Self:
        """Return the problem of models that know these labels only, in the order of the file."""
        known = (*self.possible_classes, *classes)
        found = self.model_copy()
        found._classes = tuple(dict.fromkeys(label for label in known if label in classes))  # noqa: SLF001 - its own
        return found

    @property
    def asks_for_analyzer(self) -> bool:
        """Whether a candidate leaves it to the documents what is counted in texts."""
        texts = (each for each in self.candidates.values() if isinstance(each, Candidate))
        return any(each.features.analyzer == "auto" for each in texts)

    def with_analyzer(self, analyzer: Analyzer) -> Self:
        """Return the problem with what candidates count that leave it to the documents."""
        changed = {
            name: each.with_analyzer(analyzer)
            for name, each in self.candidates.items()
            if isinstance(each, Candidate) and each.features.analyzer == "auto"
        }
        if not changed:
            return self
        found = self.model_copy(update={"candidates": self.candidates | changed})
        found._digest = self.digest  # noqa: SLF001 - its own
        return found

    def class_of(self, label: str) -> str | None:
        """Return the class that stands for a label; None if there is none."""
        if label in self.classes:
            return label
        into = None if self.rare_labels is None else self.rare_labels.into
        return into if into in self.classes else None

    @property
    def goal(self) -> DecisionConfig | None:
        """What labels are tuned for: ``decision``, or what the metric needs; None for nothing."""
        return DecisionConfig.for_metric(self.metric) if self.decision is None else self.decision

    def has(self, needed: Needed | None) -> bool:
        """Whether the key is there that a metric needs, in the file or by the metric itself."""
        return needed is None or (self.goal is not None and self.goal.has(needed))

    @property
    def least_precision(self) -> float | None:
        """The precision that the positive label has to keep, if the problem asks for one."""
        return None if self.goal is None else self.goal.least_precision

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


_ADDED_LATER = ("split", "rare_labels", "merge_labels", "redact")
# Parts of a file that say nothing about what a retraining makes.
_SHAPES_NOTHING: dict[str, IncEx | bool] = {
    "abstain": True,
    "description": True,
    "examples": True,
    "experiment": True,
    "format": True,
    "monitoring": True,
    "retention": True,
    "rollout": True,
    "schedule": True,
    # How changes are found, which must not change what is found.
    "source": {"dataset": True, "reconcile": True, "fields": {"updated_at": True}},
}


def _only_for_texts(location: tuple[str, ...]) -> CrossReferenceError:
    return CrossReferenceError(location, "is not a key of a problem with inputs", "it is for texts")


def _has_default(part: Schema, name: str) -> bool:
    return bool(getattr(part, name) == type(part).model_fields[name].get_default())
