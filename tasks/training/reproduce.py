"""Reproduce: what a version was made of, against what is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from rich.console import Console

from perennial.commands import counted
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError, ProblemError
from perennial.metrics import Predictions
from perennial.registry.artifact import TOLERANCE
from perennial.registry.client import ModelVersion
from perennial.settings import get_settings
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from tasks.orchestration.retries import NETWORK
from tasks.tables.base import TextTable
from tasks.training.recipe import Recipe, Surroundings

_NONE = "-"
_DIGITS = 12
# Differences in one sentence; the table has all.
_SHOWN = 5


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was when the version was made."""

    what: Literal["libraries", "code", "data", "problem"]
    name: str
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: {self.name} was {self.then} and is {self.now}"


@dataclass(frozen=True)
class Ingredients:
    """What a version can be made of again.

    Attributes
    ----------
    problem : Problem or None
        The recorded problem, with the version's candidate alone; None if it is no problem any more.
    snapshot : Snapshot or None
        The recorded snapshot; None if it is gone or not the same.
    differences : tuple of Difference
        What is not as it was.
    machines : str
        On what the version was made, and on what this is.
    layout : str or None
        How the code was laid out, if its files are elsewhere now and cannot be compared one by one.
    """

    problem: Problem | None
    snapshot: Snapshot | None
    differences: tuple[Difference, ...]
    machines: str
    layout: str | None = None


@dataclass(frozen=True)
class Agreement:
    """How far the version made again agrees with what was recorded.

    Attributes
    ----------
    documents : int
        The size of the holdout.
    error : float
        The largest difference of a probability.
    labels : int
        On how many documents the predicted labels differ.
    """

    documents: int
    error: float
    labels: int

    @property
    def is_full(self) -> bool:
        """Whether they say the same."""
        return self.labels == 0 and self.error <= TOLERANCE


@task(name="gather", cache_policy=NO_CACHE, **NETWORK)
def gather(version: ModelVersion, recipe: Recipe) -> Ingredients:
    """Look at what is here of everything that the version was made of.

    Raises
    ------
    OutsideError
        If a server does not answer.
    """
    then, now = recipe.surroundings, Surroundings.here(recipe.surroundings.candidate)
    problem, changed = _problem(version, recipe)
    snapshot, changed_data = _snapshot(version)
    layout = _other_layout(then.code, now.code)
    # What explains most comes first: a sentence names only some.
    differences = (
        *changed_data,
        *_changes("libraries", then.libraries, now.libraries),
        *(_changes("code", then.code, now.code) if layout is None else ()),
        *changed,
    )
    machines = f"{then.machine} then, {now.machine} now"
    return Ingredients(problem, snapshot, differences, machines, layout)


def agreement(recipe: Recipe, predictions: Predictions) -> Agreement:
    """Compare predictions about the holdout with the recorded ones."""
    if predictions.probabilities.shape != recipe.probabilities.shape:
        return Agreement(len(predictions), np.inf, len(predictions))
    return Agreement(
        documents=len(predictions),
        error=float(np.abs(predictions.probabilities - recipe.probabilities).max()),
        labels=int((predictions.predicted != recipe.predicted).sum()),
    )


def conclude(version: ModelVersion, ingredients: Ingredients, found: Agreement | None) -> str:
    """Show what differs, and return the sentence that says that the version was reproduced.

    Raises
    ------
    OutsideError
        If it was not; the message says what differs.
    """
    name = f"Version {version.version} of {version.problem!r}"
    is_same = found is not None and found.is_full
    sentence = (
        _same(name, ingredients, found) if found and is_same else _other(name, ingredients, found)
    )
    if ingredients.differences:
        table = _table(name, ingredients.differences)
        Console().print(table.rich())
        sentence_and_table = f"{sentence}\n\n{table.markdown()}"
    else:
        sentence_and_table = sentence
    create_markdown_artifact(
        key=f"reproduce-{version.problem}", markdown=sentence_and_table, description=sentence
    )
    if not is_same:
        raise OutsideError(sentence)
    Console().print(f"[bold]{sentence}[/bold]")
    return sentence


def _same(name: str, ingredients: Ingredients, found: Agreement) -> str:
    layout = "" if ingredients.layout is None else f"; it was {ingredients.layout}"
    documents = counted(found.documents, "holdout document")
    return (
        f"{name} is reproduced: the same labels for {documents}, and probabilities that differ by "
        f"{found.error:.1g} at most{layout}."
    )


def _other(name: str, ingredients: Ingredients, found: Agreement | None) -> str:
    if found is None:
        result = "nothing could be fitted"
    elif np.isinf(found.error):
        documents = counted(found.documents, "document")
        result = f"its holdout has {documents} now, and had another number then"
    else:
        result = (
            f"of {counted(found.documents, 'holdout document')} "
            f"{counted(found.labels, 'gets', 'get')} another label, and "
            f"probabilities differ by up to {found.error:.2g}"
        )
    shown = [str(difference) for difference in ingredients.differences[:_SHOWN]]
    hidden = len(ingredients.differences) - len(shown)
    listed = "; ".join([*shown, f"and {hidden} more"] if hidden else shown)
    causes = [f"different are {listed}"] if listed else []
    if ingredients.layout is not None:
        causes.insert(0, f"it was {ingredients.layout}")
    cause = "; ".join(causes) or "nothing that was recorded differs"
    return f"{name} is not reproduced: {result}; {cause} ({ingredients.machines})."


def _problem(version: ModelVersion, recipe: Recipe) -> tuple[Problem | None, Sequence[Difference]]:
    """Return the recorded problem, and how that of today differs."""
    then = version.problem_digest or _NONE
    try:
        recorded = recipe.read_problem()
    except OutsideError as error:
        return None, [Difference("problem", "the recorded problem", then, str(error))]
    today = _today(get_settings().problem_file(version.problem))
    differences = []
    if today != then:
        differences.append(Difference("problem", f"{version.problem}.yaml", then, today))
    name = recipe.surroundings.candidate
    candidates = {name: recorded.candidates[name]}
    return recorded.model_copy(update={"candidates": candidates}), differences


def _today(path: Path) -> str:
    try:
        return load_problem(path).digest
    except ProblemError as error:
        return str(error).splitlines()[0]


def _snapshot(version: ModelVersion) -> tuple[Snapshot | None, Sequence[Difference]]:
    """Return the recorded snapshot, after it was read and found to be the one."""
    if version.snapshot is None:
        return None, [Difference("data", "the snapshot", _NONE, "not named by the version's tags")]
    number, digest = version.snapshot
    store = SnapshotStore(version.problem, get_settings())
    try:
        snapshot = store.recorded(number, digest)
        store.read(snapshot)
    except OutsideError as error:
        return None, [Difference("data", f"snapshot {number}", digest[:_DIGITS], str(error))]
    if not snapshot.erased:
        return snapshot, ()
    then = f"of {counted(snapshot.documents + snapshot.erased, 'document')}"
    now = f"of {snapshot.documents:,}, {counted(snapshot.erased, 'was', 'were')} erased"
    return snapshot, [Difference("data", f"snapshot {number}", then, now)]


def _changes(
    what: Literal["libraries", "code"], then: Mapping[str, str], now: Mapping[str, str]
) -> list[Difference]:
    return [
        Difference(what, name, then.get(name, _NONE)[:_DIGITS], now.get(name, _NONE)[:_DIGITS])
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]


def _other_layout(then: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Return how the code was laid out, if not in the packages of today; None if it was."""
    packages, packages_now = (
        sorted({Path(file).parts[0] for file in files}) for files in (then, now)
    )
    if packages == packages_now:
        return None
    return (
        f"made with another layout of the code ({' and '.join(packages)} then, "
        f"{' and '.join(packages_now)} now), so that its files are not compared"
    )


def _table(name: str, differences: Sequence[Difference]) -> TextTable:
    rows = [(d.what, d.name, d.then, d.now) for d in differences]
    return TextTable(
        f"Not as when {name[0].lower()}{name[1:]} was made", ("", "name", "then", "now"), rows
    )
