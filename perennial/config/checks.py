"""Checks of a problem file that concern several of its sections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from pydantic import ValidationError

from perennial import paths
from perennial.config.errors import CrossReferenceError, invalid_value, join_names
from perennial.config.sections.candidates import Candidate, TabularCandidate
from perennial.config.sections.experiment import Experiment, Grid
from perennial.config.sections.source import Fields
from perennial.estimators import ESTIMATORS
from perennial.estimators.base import Refusal

Candidates = Mapping[str, Candidate | TabularCandidate]


# The key of a validation's context that holds the fields that no model may learn from.
FORBIDDEN = "forbidden"


def check_forbidden(forbidden: Sequence[str], names: Fields, inputs: Iterable[str] | None) -> None:
    """Refuse inputs that this machine forbids to all problems.

    Slices, groups and labels may be such fields: a model does not learn from them, and whether it
    is as good for everybody is asked by slices.

    Parameters
    ----------
    forbidden : sequence of str
        Patterns as of names of files. Each is compared with the path of a field and with its last
        part, and upper and lower case are the same.
    names : Fields
        What the problem calls its own fields.
    inputs : iterable of str, optional
        The fields of its records; none where it reads a text.

    Raises
    ------
    CrossReferenceError
        If an input is forbidden.
    """
    places = (
        {names.text: ("source", "fields", "text")}
        if inputs is None
        else {name: ("inputs", name) for name in inputs}
    )
    for name, location in places.items():
        spellings = (name.casefold(), name.casefold().rpartition(".")[2])
        for pattern in forbidden:
            if any(fnmatchcase(spelling, pattern.casefold()) for spelling in spellings):
                problem = f"is the field {name!r}, which FORBIDDEN_FIELDS forbids by {pattern!r}"
                raise CrossReferenceError(location, problem, "let the model learn without it")


def check_paths(names: Fields, inputs: Iterable[str] | None) -> None:
    """Refuse a field within another one, which no document can have.

    Parameters
    ----------
    names : Fields
        What the problem calls its own fields.
    inputs : iterable of str, optional
        The fields of its records; none where it reads a text.

    Raises
    ------
    CrossReferenceError
        If the path of one field leads into another one.
    """
    places: dict[str, tuple[str, ...]] = {
        names.source: ("source", "fields", "source"),
        names.created_at: ("source", "fields", "created_at"),
        names.label: ("source", "fields", "label"),
    }
    if inputs is None:
        places[names.text] = ("source", "fields", "text")
    places |= {name: ("inputs", name) for name in inputs or ()}
    found = paths.collision(places)
    if found is None:
        return
    outer, inner = found
    problem = f"is {inner!r}" if places[inner][0] == "source" else "is a field"
    remedy = f"it leads into {'.'.join(places[outer])}, which is {outer!r}"
    if places[outer][0] == "inputs":
        remedy = f"it leads into {outer}, another field of inputs"
    raise CrossReferenceError(places[inner], problem, remedy)


def check_candidates(
    candidates: Candidates, preparations: Iterable[str], baseline: str | None
) -> None:
    """Refuse a candidate whose preparation is missing, and a baseline that is no candidate.

    Raises
    ------
    CrossReferenceError
        For the first of them.
    """
    for name, candidate in candidates.items():
        if isinstance(candidate, Candidate) and candidate.preparation not in preparations:
            raise invalid_value(
                ("candidates", name, "preparation"),
                candidate.preparation,
                f"one of the preparations {join_names(preparations)}",
            )
    if baseline is not None and baseline not in candidates:
        raise invalid_value(
            ("baseline",), baseline, f"one of the candidates {join_names(candidates)}"
        )


def check_grid(grid: Grid, preparations: Iterable[str]) -> None:
    """Refuse a grid that makes a wrong candidate.

    Raises
    ------
    CrossReferenceError
        For the first of them.
    """
    for name, cell in grid.cells():
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
        if candidate.preparation not in preparations:
            raise invalid_value(
                ("experiment", "grid", "preparation"),
                candidate.preparation,
                f"one of the preparations {join_names(preparations)}",
            )


def check_spaces(experiment: Experiment, explored: Candidates) -> None:
    """Refuse a space of hyperparameters that belongs to no candidate and to no estimator.

    Parameters
    ----------
    experiment : Experiment
        What is explored.
    explored : mapping of str to candidate
        The candidates of the problem and those of its grid.

    Raises
    ------
    CrossReferenceError
        For the first of them.
    """
    known = {*explored, *(candidate.estimator for candidate in explored.values())}
    for name in experiment.spaces:
        if name not in known:
            raise invalid_value(
                ("experiment", "spaces", name), name, f"one of {join_names(sorted(known))}"
            )


def check_estimators(
    candidates: Candidates, explored: Candidates, experiment: Experiment, *, n_labels: int
) -> None:
    """Check each candidate, and what is explored of it, against its estimator.

    Raises
    ------
    CrossReferenceError
        For the first parameter, scale or number of labels that an estimator refuses.
    """
    for name, candidate in candidates.items():
        scaled = isinstance(candidate, TabularCandidate) and candidate.features.scale != "none"
        refusals = ESTIMATORS[candidate.estimator].refusals(
            candidate.parameters, n_labels=n_labels, scaled=scaled
        )
        _require_none(("candidates", name), refusals)
    grid = experiment.grid
    for name, cell in grid.estimators.items() if grid is not None else ():
        refusals = ESTIMATORS[cell.estimator].refusals(cell.parameters, n_labels=n_labels)
        _require_none(("experiment", "grid", "estimators", name), refusals)
    for name, candidate in explored.items():
        estimator = ESTIMATORS[candidate.estimator]
        space = experiment.space_of(name, candidate.estimator)
        key = name if name in experiment.spaces else candidate.estimator
        for parameter, values in space.parameters.items() if space is not None else ():
            for value in values:
                refusals = estimator.refusals_of(parameter, value, n_labels=n_labels)
                _require_none(("experiment", "spaces", key), refusals)


def _require_none(location: tuple[str, ...], refusals: Iterator[Refusal]) -> None:
    """Raise `CrossReferenceError` for the first refusal below a place in the file."""
    for refusal in refusals:
        raise CrossReferenceError((*location, *refusal.location), refusal.problem, refusal.remedy)
