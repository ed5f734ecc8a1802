"""Read a problem's file; a mistake in it is named with its line, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from perennial.config.checks import FORBIDDEN
from perennial.config.errors import CrossReferenceError, invalid_value, join_names, shorten
from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate, TabularCandidate
from perennial.errors import ProblemError
from perennial.formats import PROBLEM_FILE, too_new
from perennial.gates.base import READ_FILE
from perennial.gates.cases import LABELS
from perennial.settings import get_settings

M = TypeVar("M", bound=BaseModel)
# How pydantic names the branches of a union, which a location in a file does not have.
_BRANCHES = frozenset({"bool", "int", "float", "str", "none"})


@dataclass(frozen=True)
class LoadedProblems:
    """The problems of a folder.

    Attributes
    ----------
    problems : tuple of Problem
        The problems whose files can be used, in the order of the files' names.
    errors : mapping of str to ProblemError
        Name of each other problem -> what is wrong with its file.
    """

    problems: tuple[Problem, ...]
    errors: Mapping[str, ProblemError]

    def warnings(self) -> list[str]:
        """Return one sentence about each file that cannot be used: its first mistake."""
        return [_summarise(name, error) for name, error in self.errors.items()]


def load_problems(folder: Path) -> LoadedProblems:
    """Read every problem of a folder; a file that cannot be used hides no other.

    Parameters
    ----------
    folder : Path
        Where the files are; other folders inside it are left out.
    """
    problems: list[Problem] = []
    errors: dict[str, ProblemError] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            problems.append(load_problem(path))
        except ProblemError as error:
            errors[path.stem] = error
    return LoadedProblems(tuple(problems), errors)


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
            f"There is no problem {path.stem!r} ({path}); the problems are {join_names(known)}."
        )
    document = _read(path)
    found = document.get("format")
    if isinstance(found, int) and found > PROBLEM_FILE:
        # Every other key of it may mean something else.
        raise ProblemError(too_new(str(path), found, PROBLEM_FILE))
    labels, rare = document.get("labels"), document.get("rare_labels")
    into = rare.get("into") if isinstance(rare, dict) else None
    known_labels = {}
    if isinstance(labels, dict):
        added = [into] if isinstance(into, str) and into not in labels else []
        known_labels[LABELS] = (*map(str, labels), *added)

    def read_file(schema: type[M], location: tuple[str, ...], name: str) -> M:
        beside = folder or path.parent
        file = beside / name
        if not file.is_file():
            raise invalid_value(location, name, f"the name of a file in {beside}")
        return _validate(schema, file, _read(file), context=known_labels)

    named = {"name": path.stem, **document}
    context = {READ_FILE: read_file, FORBIDDEN: get_settings().forbidden_fields}
    return _validate(Problem, path, document, named, context=context)


def how_to_change(path: Path, *location: str) -> str:
    """Return what to do with a key of a problem's file: to check it where it is, or to add it."""
    node: Any = _read(path)
    line, found = 1, 0
    while found < len(location) and isinstance(node, dict) and location[found] in node:
        line = _line(node, location[found], line)
        node = node[location[found]]
        found += 1
    key, file = ".".join(location), f"problems/{path.name}"
    if found == len(location):
        return f"check {key} in {file}, line {line}"
    if found:
        return f"add {key} to {file}, below {'.'.join(location[:found])} in line {line}"
    return f"add {key} to {file}"


def _summarise(name: str, error: ProblemError) -> str:
    first, *others = str(error).splitlines()
    more = f" Its file has {len(others)} more mistakes." if others else ""
    return f"The problem {name} is left out: {first}{more}"


def _read(path: Path) -> dict[Any, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        document = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProblemError(f"{path} cannot be read: {error.strerror}.") from None
    except RecursionError:
        raise ProblemError(f"{path} is nested too deeply.") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1})" if mark is not None else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise ProblemError(f"{path} is not valid YAML: {problem}{where}.") from None
    except (YAMLError, ValueError) as error:
        # Besides a wrong encoding: a number or a date that no calendar has.
        raise ProblemError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
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
        location, problem, remedy = cause.location, cause.problem, cause.remedy
    else:
        location = tuple(str(part) for part in detail["loc"] if part != "[key]")
        problem, remedy = _problem(detail), _remedy(model, detail, tabular="inputs" in document)
    line, location = _find_line(document, location)
    key = ".".join(location) or "the file"
    return f"{path}, line {line}: {key} {problem}; {remedy}."


def _problem(detail: ErrorDetails) -> str:
    known = {"missing": "is missing", "extra_forbidden": "is not a key of the schema"}
    return known.get(detail["type"], f"is {shorten(detail['input'])}")


def _remedy(model: type[BaseModel], detail: ErrorDetails, *, tabular: bool) -> str:
    if detail["type"] == "missing":
        return "it is required"
    if detail["type"] == "extra_forbidden":
        schema = _schema_at(model, detail["loc"][:-1], tabular=tabular)
        return f"allowed here are {join_names(schema.model_fields)}"
    cause = detail.get("ctx", {}).get("error")
    message = str(cause) if isinstance(cause, ValueError) else detail["msg"]
    return message[0].lower() + message[1:]


def _schema_at(
    model: type[BaseModel], location: Sequence[str | int], *, tabular: bool
) -> type[BaseModel]:
    """Return the schema of a place in the file."""
    parts = iter(location)
    for part in parts:
        annotation = _unless_absent(model.model_fields[str(part)].annotation)
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


def _unless_absent(annotation: Any) -> Any:
    """Return the type of a mapping or list that may be absent, others as they are."""
    branches = [each for each in get_args(annotation) if get_origin(each) in (dict, tuple)]
    return branches[0] if type(None) in get_args(annotation) and branches else annotation


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
