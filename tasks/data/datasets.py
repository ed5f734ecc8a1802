"""Built-in datasets, by the names that a problem may give under ``source.dataset``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

import pyarrow as pa

from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.inputs.base import inputs_of
from tasks.data.seed import read_file, reviews_file

# Files of this package; README.md there says where they are from.
_FILES = Path(__file__).with_name("files")
_FILE_NAMES: Mapping[str, str] = {
    "bank-questions": "bank-questions.csv.gz",
    "chinese-reviews": "chinese-reviews.csv.gz",
    "passengers": "passengers.csv.gz",
}
_IMDB = "imdb"
_UNIT = re.compile(r" \([a-z]+\)$")


def builtin_file(problem: Problem) -> Path | None:
    """Return the file of the dataset that a problem names; None if it is none of those in files."""
    name = _FILE_NAMES.get(problem.source.dataset or "")
    return None if name is None else _FILES / name


def builtin_rows(problem: Problem, source: str | None = None) -> pa.Table:
    """Return the labelled rows of the dataset that a problem names, if it is in no file.

    Parameters
    ----------
    problem : Problem
        Its ``source.dataset`` is the dataset.
    source : str or None
        The part of the dataset, if it has several.

    Returns
    -------
    Table
        With the fields of the problem's inputs, label and source.

    Raises
    ------
    OutsideError
        If the problem names none, or one that there is not or that has other fields.
    """
    name = problem.source.dataset
    read = _DATASETS.get(name or "")
    if read is None:
        known = ", ".join(sorted([*_DATASETS, *_FILE_NAMES]))
        said = "no source.dataset" if name is None else f"source.dataset {name!r}"
        raise OutsideError(
            f"problems/{problem.name}.yaml names {said}: name a file, or one of {known}."
        )
    rows = read(problem, source)
    missing = [each for each in inputs_of(problem).names if each not in rows.column_names]
    if missing:
        held = ", ".join(each for each in rows.column_names if each not in {"label", "source"})
        raise OutsideError(
            f"The dataset {name!r} has no field {missing[0]!r}, which problems/{problem.name}.yaml "
            f"names; it has {held}."
        )
    return rows.select([*inputs_of(problem).names, "label", "source"])


def _film_reviews(problem: Problem, source: str | None) -> pa.Table:
    rows = read_file(reviews_file(), text="text", label="label", source=source or _IMDB)
    return rows.rename_columns([problem.source.fields.text, "label", "source"])


def _of_scikit_learn(loader: str, problem: Problem, source: str | None) -> pa.Table:
    """Return a dataset of scikit-learn, its fields in snake case and without units."""
    data = getattr(import_module("sklearn.datasets"), loader)()
    fields = [_UNIT.sub("", str(name)).replace(" ", "_") for name in data.feature_names]
    columns = {field: data.data[:, place] for place, field in enumerate(fields)}
    labels = [str(data.target_names[code]) for code in data.target]
    part = [source or problem.source.dataset] * len(labels)
    return pa.table({**columns, "label": labels, "source": part})


_DATASETS: Mapping[str, Callable[[Problem, str | None], pa.Table]] = {
    "film-reviews": _film_reviews,
    "iris": partial(_of_scikit_learn, "load_iris"),
    "wine": partial(_of_scikit_learn, "load_wine"),
    "breast-cancer": partial(_of_scikit_learn, "load_breast_cancer"),
}
