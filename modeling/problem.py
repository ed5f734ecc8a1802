"""The schema of ``problems/NAME.yaml``: one classification task, declared in one file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.main import IncEx
from pydantic_core import ErrorDetails

from modeling.cases import LABELS, CaseFile
from modeling.fields import FieldKind, FieldName, TabularFeatures
from modeling.gates import READ_CASES, Gates
from modeling.goal import Complaint, Goal
from modeling.monitoring import Monitoring
from modeling.rollout import Rollout
from modeling.schedule import Schedule
from modeling.schema import MetricName, Name, Schema, Share
from modeling.search import Experiment
from modeling.text import Contractions, Lemmas, Steps, StopWords
from modeling.validation import Validation

# A label as it stands in the documents.
StoredLabel = str | int | bool
M = TypeVar("M", bound=BaseModel)
EstimatorName = Literal[
    "logistic_regression",
    "multinomial_naive_bayes",
    "linear_svm",
    "nb_svm",
    "decision_tree",
    "random_forest",
    "gradient_boosting",
    "svm",
    "xgboost",
]
Parameters = dict[str, bool | int | float | str | None]


# How pydantic names the branches of a union, which a location in a file does not have.
_BRANCHES = frozenset({"bool", "int", "float", "str", "none"})


class ProblemError(ValueError):
    """A problem file cannot be used; the message names the file, line, key, value and way out."""


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
        description="how far behind the newest known document a late one may arrive",
    )
    dataset: str | None = Field(
        default=None, description="a built-in dataset, which flows.seed loads unless told otherwise"
    )


class Limits(Schema):
    """Which documents are too short or too long to be used."""

    min_words: int = Field(default=3, ge=1)
    max_characters: int = Field(default=100_000, ge=1)


class Preparation(Schema):
    """Which normalisation steps are on; see `modeling.text.TextNormalizer`."""

    lowercase: bool = True
    html: bool = True
    urls: bool = True
    punctuation: bool = True
    numbers: bool = True
    stop_words: StopWords = "drop"
    lemmas: Lemmas = "noun"
    contractions: Contractions = "split"
    emphasis: bool = False

    @property
    def steps(self) -> Steps:
        """The same as the value that the normaliser takes."""
        return Steps(**self.model_dump())


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
                raise _ReferenceError(("preparations",), "is missing", "texts need one or more")
            return self
        for location, part in _ONLY_FOR_TEXTS.items():
            found = part(self)
            # A problem that was written down whole names everything, with its default.
            if found is not None and not _has_default(found, location[-1]):
                shown = "is not a key of a problem with inputs"
                raise _ReferenceError(location, shown, "it is for texts")
        fields = self.source.fields
        for name in ("_id", fields.label, fields.created_at, fields.source):
            if name in self.inputs:
                raise _at(("inputs", name), name, "a field that holds nothing else")
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        for name, candidate in self.candidates.items():
            if isinstance(candidate, TabularCandidate):
                continue
            if candidate.preparation not in self.preparations:
                raise _at(
                    ("candidates", name, "preparation"),
                    candidate.preparation,
                    f"one of the preparations {_listed(self.preparations)}",
                )
        if self.baseline is not None and self.baseline not in self.candidates:
            raise _at(
                ("baseline",), self.baseline, f"one of the candidates {_listed(self.candidates)}"
            )
        self._check_experiment()
        if len(set(map(repr, self.labels.values()))) < len(self.labels):
            raise _at(("labels",), dict(self.labels), "a different stored value for each label")
        for location, value, allowed in self._wrong_decision():
            raise _at(location, value, allowed)
        return self

    def _wrong_decision(self) -> Iterator[Complaint]:
        if self.decision is not None:
            for location, value, allowed in self.decision.complaints(self.classes):
                yield ("decision", *location), value, allowed
            if self.metric not in self.decision.comparable:
                allowed = f"{_listed(self.decision.comparable)}, as decision serves no other metric"
                yield ("metric",), self.metric, allowed
        if self.costs is None:
            needs = "possible without decision.costs"
            if self.metric == "cost":
                yield ("metric",), self.metric, needs
            if "cost" in self.gates.floors:
                yield ("gates", "floors", "cost"), self.gates.floors["cost"], needs

    def _check_experiment(self) -> None:
        grid = self.experiment.grid
        for name, cell in grid.cells() if grid is not None else ():
            try:
                candidate = Candidate.model_validate(cell)
            except ValidationError as error:
                detail = error.errors()[0]
                part = ".".join(map(str, (name, *detail["loc"])))
                raise _at(
                    ("experiment", "grid"),
                    {part: detail["input"]},
                    f"what a candidate allows: {detail['msg']}",
                ) from None
            if candidate.preparation not in self.preparations:
                raise _at(
                    ("experiment", "grid", "preparation"),
                    candidate.preparation,
                    f"one of the preparations {_listed(self.preparations)}",
                )
        explored = self.explored.candidates
        known = {*explored, *(candidate.estimator for candidate in explored.values())}
        for name in self.experiment.spaces:
            if name not in known:
                raise _at(("experiment", "spaces", name), name, f"one of {_listed(sorted(known))}")

    @property
    def retrained(self) -> Self:
        """The problem as a retraining sees it: with its baseline alone, if it has one."""
        if self.baseline is None:
            return self
        return self.model_copy(
            update={"candidates": {self.baseline: self.candidates[self.baseline]}}
        )

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


_Candidates = Annotated[dict[Name, Candidate], Field(min_length=1)]
_TabularCandidates = Annotated[dict[Name, TabularCandidate], Field(min_length=1)]
_ONLY_FOR_TEXTS: Mapping[tuple[str, ...], Callable[[Problem], Schema | None]] = {
    ("limits",): lambda problem: problem,
    ("preparations",): lambda problem: problem,
    ("source", "fields", "text"): lambda problem: problem.source.fields,
    ("experiment", "grid"): lambda problem: problem.experiment,
    ("gates", "cases"): lambda problem: problem.gates,
    ("gates", "slices", "text_length"): lambda problem: problem.gates.slices,
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


class _ReferenceError(ValueError):
    """What is wrong only together with another part of the file."""

    def __init__(self, location: tuple[str, ...], shown: str, allowed: str) -> None:
        super().__init__(f"{'.'.join(location)} {shown}; {allowed}")
        self.location, self.shown, self.allowed = location, shown, allowed


def _has_default(part: Schema, name: str) -> bool:
    return bool(getattr(part, name) == type(part).model_fields[name].get_default())


def _at(location: tuple[str, ...], value: object, allowed: str) -> _ReferenceError:
    return _ReferenceError(location, f"is {_shorten(value)}", f"allowed is {allowed}")


def load_problem(path: Path, *, folder: Path | None = None) -> Problem:
    """Read a problem from its YAML file.

    Parameters
    ----------
    path : Path
        The file.
    folder : Path, optional
        Where the files are that it names, if not beside it.

    Raises
    ------
    ProblemError
        If the file is missing, is no YAML, or breaks the schema. Every wrong key is named with its
        line, its value and what is allowed.
    """
    if not path.exists():
        known = sorted(other.stem for other in path.parent.glob("*.yaml"))
        raise ProblemError(
            f"There is no problem {path.stem!r} ({path}); the problems are {_listed(known)}."
        )
    document = _read(path)
    labels = document.get("labels")
    known_labels = {LABELS: tuple(map(str, labels))} if isinstance(labels, dict) else {}

    def read_cases(name: str) -> CaseFile:
        beside = folder or path.parent
        file = beside / name
        if not file.is_file():
            raise _at(("gates", "cases"), name, f"the name of a file in {beside}")
        return _validate(CaseFile, file, _read(file), context=known_labels)

    named = {"name": path.stem, **document}
    return _validate(Problem, path, document, named, context={READ_CASES: read_cases})


def _read(path: Path) -> dict[Any, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ProblemError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise ProblemError(f"{path} must be a mapping of keys to values, it is {document!r}.")
    return document


def _validate(
    model: type[M],
    path: Path,
    document: Mapping[str, Any],
    content: Mapping[str, Any] | None = None,
    *,
    context: Mapping[str, Any],
) -> M:
    try:
        return model.model_validate(content or document, context=dict(context))
    except ValidationError as error:
        complaints = [_complaint(model, path, document, each) for each in error.errors()]
        raise ProblemError("\n".join(complaints)) from None


def _complaint(
    model: type[BaseModel], path: Path, document: Mapping[str, Any], detail: ErrorDetails
) -> str:
    """Say of one schema error where it is, what stands there, and what may stand there."""
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, ProblemError):
        return str(cause)
    if isinstance(cause, _ReferenceError):
        location, shown, allowed = cause.location, cause.shown, cause.allowed
    else:
        location = tuple(str(part) for part in detail["loc"] if part != "[key]")
        shown, allowed = _shown(detail), _allowed(model, detail, tabular="inputs" in document)
    line, location = _find_line(document, location)
    key = ".".join(location) or "the file"
    return f"{path}, line {line}: {key} {shown}; {allowed}."


def _shown(detail: ErrorDetails) -> str:
    known = {"missing": "is missing", "extra_forbidden": "is not a key of the schema"}
    return known.get(detail["type"], f"is {_shorten(detail['input'])}")


def _allowed(model: type[BaseModel], detail: ErrorDetails, *, tabular: bool) -> str:
    if detail["type"] == "missing":
        return "it is required"
    if detail["type"] == "extra_forbidden":
        schema = _schema_at(model, detail["loc"][:-1], tabular=tabular)
        return f"allowed here are {_listed(schema.model_fields)}"
    message = detail["msg"]
    return message[0].lower() + message[1:]


def _schema_at(
    model: type[BaseModel], location: Sequence[str | int], *, tabular: bool
) -> type[BaseModel]:
    """Return the schema of a place in the file."""
    parts = iter(location)
    for part in parts:
        annotation = model.model_fields[str(part)].annotation
        if get_origin(annotation) is dict:
            # The next part is a name that the file has chosen, such as a candidate's.
            next(parts, None)
            annotation = get_args(annotation)[1]
        elif get_origin(annotation) is tuple:
            # The next part is a position in a list.
            next(parts, None)
        if annotation == Candidate | TabularCandidate:
            annotation = TabularCandidate if tabular else Candidate
        for branch in (annotation, *get_args(annotation)):
            # Of a part that may be absent the schema is one branch of a union.
            if isinstance(branch, type) and issubclass(branch, BaseModel):
                model = branch
    return model


def _find_line(document: Mapping[str, Any], location: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Return the line (from 1) of the deepest part of the location that the file has.

    Parts of the location that exist only in the schema (the branches of a union) are left out.
    """
    from ruamel.yaml.comments import CommentedSeq

    node: Any = document
    line = 1
    found = []
    for part in location:
        keys = {_as_pydantic_shows(key): key for key in node} if isinstance(node, dict) else {}
        if part in keys:
            line = _line(node, keys[part], line)
            node = node[keys[part]]
            found.append(part)
        elif isinstance(node, CommentedSeq) and part.isdigit():
            line = node.lc.item(int(part))[0] + 1
            node = node[int(part)]
            found.append(part)
        elif isinstance(node, dict) and part == location[-1] and part not in _BRANCHES:
            found.append(part)
    return line, tuple(found)


def _as_pydantic_shows(key: object) -> str:
    return str(int(key)) if isinstance(key, bool) else str(key)


def _line(node: Any, key: object, otherwise: int) -> int:
    """Return the line of a key; a key that came by a merge (``<<``) has none of its own."""
    try:
        return int(node.lc.key(key)[0]) + 1
    except KeyError:
        return otherwise


def _listed(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names) or "(none)"


def _shorten(value: object, limit: int = 80) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else shown[:limit] + "..."
