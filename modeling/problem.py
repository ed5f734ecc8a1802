"""The schema of ``problems/NAME.yaml``: one classification task, declared in one file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from modeling.schedule import Schedule
from modeling.schema import Schema
from modeling.text import Contractions, Lemmas, Steps, StopWords

# A label as it stands in the documents.
StoredLabel = str | int | bool
MetricName = Literal["accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier"]
EstimatorName = Literal["logistic_regression", "multinomial_naive_bayes"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
Share = Annotated[float, Field(gt=0, lt=1)]


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
    parameters: dict[str, bool | int | float | str | None] = Field(default={})


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
    limits: Limits = Limits()
    holdout: Share = 0.2
    validation: Share = Field(
        default=0.1, description="share of the training documents that choose the challenger"
    )
    metric: MetricName = "accuracy"
    preparations: dict[Name, Preparation] = Field(min_length=1)
    candidates: dict[Name, Candidate] = Field(min_length=1)
    gates: Gates = Gates()
    schedule: Schedule = Schedule()
    seed: int = 42

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        for name, candidate in self.candidates.items():
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
        shaping = self.model_dump_json(exclude={"description", "schedule"})
        return hashlib.sha256(shaping.encode()).hexdigest()[:16]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the file."""
        return tuple(self.labels)


class _ReferenceError(ValueError):
    """A value that is wrong only together with another part of the file."""

    def __init__(self, location: tuple[str, ...], value: object, allowed: str) -> None:
        super().__init__(f"{value!r} is not {allowed}")
        self.location, self.value, self.allowed = location, value, allowed


def _at(location: tuple[str, ...], value: object, allowed: str) -> _ReferenceError:
    return _ReferenceError(location, value, allowed)


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
        location, value, allowed = cause.location, cause.value, f"allowed is {cause.allowed}"
    else:
        location = tuple(str(part) for part in detail["loc"] if part != "[key]")
        value, allowed = detail["input"], _allowed(detail)
    line, location = _find_line(document, location)
    key = ".".join(location) or "the file"
    shown = "is missing" if detail["type"] == "missing" else f"is {_shorten(value)}"
    if detail["type"] == "extra_forbidden":
        shown = "is not a key of the schema"
    return f"{path}, line {line}: {key} {shown}; {allowed}."


def _allowed(detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return "it is required"
    if detail["type"] == "extra_forbidden":
        return f"allowed here are {_listed(_schema_at(detail['loc'][:-1]).model_fields)}"
    message = detail["msg"]
    return message[0].lower() + message[1:]


def _schema_at(location: Sequence[str | int]) -> type[BaseModel]:
    """Return the schema of a place in the file."""
    model: type[BaseModel] = Problem
    parts = iter(location)
    for part in parts:
        annotation = model.model_fields[str(part)].annotation
        if get_origin(annotation) is dict:
            # The next part is a name that the file has chosen, such as a candidate's.
            next(parts, None)
            annotation = get_args(annotation)[1]
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
