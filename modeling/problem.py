"""The schema of ``problems/NAME.yaml``: one classification task, declared in one file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

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
from pydantic_core import ErrorDetails

from modeling.fields import FieldKind, FieldName, TabularFeatures
from modeling.schema import Schema
from modeling.text import Contractions, Lemmas, Steps, StopWords
from modeling.validation import Validation

# A label as it stands in the documents.
StoredLabel = str | int | bool
MetricName = Literal["accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier"]
EstimatorName = Literal[
    "logistic_regression",
    "multinomial_naive_bayes",
    "decision_tree",
    "random_forest",
    "svm",
    "xgboost",
]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
Share = Annotated[float, Field(gt=0, lt=1)]
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


class Gates(Schema):
    """What a challenger must show before it becomes Production."""

    floors: dict[MetricName, float] = Field(
        default={}, description="the least value of a metric; the most for log_loss and brier"
    )
    confidence: Share = Field(
        default=0.95, description="of the interval of the difference to Production"
    )


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
    preparations: dict[Name, Preparation] = Field(default={}, description="of texts")
    candidates: dict[Name, Candidate | TabularCandidate]
    gates: Gates = Gates()
    seed: int = 42

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
            if location[-1] in part(self).model_fields_set:
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
        if len(set(map(repr, self.labels.values()))) < len(self.labels):
            raise _at(("labels",), dict(self.labels), "a different stored value for each label")
        return self

    @property
    def digest(self) -> str:
        """Hexadecimal digest of everything that shapes a retraining of this problem."""
        shaping = self.model_dump_json(exclude={"description": True, "source": {"dataset"}})
        return hashlib.sha256(shaping.encode()).hexdigest()[:16]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the file."""
        return tuple(self.labels)


_Candidates = Annotated[dict[Name, Candidate], Field(min_length=1)]
_TabularCandidates = Annotated[dict[Name, TabularCandidate], Field(min_length=1)]
_ONLY_FOR_TEXTS: Mapping[tuple[str, ...], Callable[[Problem], Schema]] = {
    ("limits",): lambda problem: problem,
    ("preparations",): lambda problem: problem,
    ("source", "fields", "text"): lambda problem: problem.source.fields,
}


class _ReferenceError(ValueError):
    """What is wrong only together with another part of the file."""

    def __init__(self, location: tuple[str, ...], shown: str, allowed: str) -> None:
        super().__init__(f"{'.'.join(location)} {shown}; {allowed}")
        self.location, self.shown, self.allowed = location, shown, allowed


def _at(location: tuple[str, ...], value: object, allowed: str) -> _ReferenceError:
    return _ReferenceError(location, f"is {_shorten(value)}", f"allowed is {allowed}")


def load_problem(path: Path) -> Problem:
    """Read a problem from its YAML file.

    Raises
    ------
    ProblemError
        If the file is missing, is no YAML, or breaks the schema. Every wrong key is named with its
        line, its value and what is allowed.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = sorted(other.stem for other in path.parent.glob("*.yaml"))
        raise ProblemError(
            f"There is no problem {path.stem!r} ({path}); the problems are {_listed(known)}."
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ProblemError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise ProblemError(f"{path} must be a mapping of keys to values, it is {document!r}.")
    try:
        return Problem.model_validate({"name": path.stem, **document})
    except ValidationError as error:
        complaints = [_complaint(path, document, detail) for detail in error.errors()]
        raise ProblemError("\n".join(complaints)) from None


def _complaint(path: Path, document: Mapping[str, Any], detail: ErrorDetails) -> str:
    """Say of one schema error where it is, what stands there, and what may stand there."""
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, _ReferenceError):
        location, shown, allowed = cause.location, cause.shown, cause.allowed
    else:
        location = tuple(str(part) for part in detail["loc"] if part != "[key]")
        shown, allowed = _shown(detail), _allowed(detail, tabular="inputs" in document)
    line, location = _find_line(document, location)
    key = ".".join(location) or "the file"
    return f"{path}, line {line}: {key} {shown}; {allowed}."


def _shown(detail: ErrorDetails) -> str:
    known = {"missing": "is missing", "extra_forbidden": "is not a key of the schema"}
    return known.get(detail["type"], f"is {_shorten(detail['input'])}")


def _allowed(detail: ErrorDetails, *, tabular: bool) -> str:
    if detail["type"] == "missing":
        return "it is required"
    if detail["type"] == "extra_forbidden":
        schema = _schema_at(detail["loc"][:-1], tabular=tabular)
        return f"allowed here are {_listed(schema.model_fields)}"
    message = detail["msg"]
    return message[0].lower() + message[1:]


def _schema_at(location: Sequence[str | int], *, tabular: bool) -> type[BaseModel]:
    """Return the schema of a place in the file."""
    model: type[BaseModel] = Problem
    parts = iter(location)
    for part in parts:
        annotation = model.model_fields[str(part)].annotation
        if get_origin(annotation) is dict:
            # The next part is a name that the file has chosen, such as a candidate's.
            next(parts, None)
            annotation = get_args(annotation)[1]
        if annotation == Candidate | TabularCandidate:
            annotation = TabularCandidate if tabular else Candidate
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
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
