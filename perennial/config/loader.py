"""Read a problem's file; a mistake in it is named with its line, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from perennial.config.errors import CrossReferenceError, at, listed, shorten
from perennial.config.problem import Candidate, Problem, TabularCandidate
from perennial.errors import ProblemError
from perennial.gates.base import READ_FILE
from perennial.gates.cases import LABELS

M = TypeVar("M", bound=BaseModel)
# How pydantic names the branches of a union, which a location in a file does not have.
_BRANCHES = frozenset({"bool", "int", "float", "str", "none"})


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
            f"There is no problem {path.stem!r} ({path}); the problems are {listed(known)}."
        )
    document = _read(path)
    labels = document.get("labels")
    known_labels = {LABELS: tuple(map(str, labels))} if isinstance(labels, dict) else {}

    def read_file(schema: type[M], location: tuple[str, ...], name: str) -> M:
        beside = folder or path.parent
        file = beside / name
        if not file.is_file():
            raise at(location, name, f"the name of a file in {beside}")
        return _validate(schema, file, _read(file), context=known_labels)

    named = {"name": path.stem, **document}
    return _validate(Problem, path, document, named, context={READ_FILE: read_file})


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
    if isinstance(cause, CrossReferenceError):
        location, shown, allowed = cause.location, cause.shown, cause.allowed
    else:
        location = tuple(str(part) for part in detail["loc"] if part != "[key]")
        shown, allowed = _shown(detail), _allowed(model, detail, tabular="inputs" in document)
    line, location = _find_line(document, location)
    key = ".".join(location) or "the file"
    return f"{path}, line {line}: {key} {shown}; {allowed}."


def _shown(detail: ErrorDetails) -> str:
    known = {"missing": "is missing", "extra_forbidden": "is not a key of the schema"}
    return known.get(detail["type"], f"is {shorten(detail['input'])}")


def _allowed(model: type[BaseModel], detail: ErrorDetails, *, tabular: bool) -> str:
    if detail["type"] == "missing":
        return "it is required"
    if detail["type"] == "extra_forbidden":
        schema = _schema_at(model, detail["loc"][:-1], tabular=tabular)
        return f"allowed here are {listed(schema.model_fields)}"
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
