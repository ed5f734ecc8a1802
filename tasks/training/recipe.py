"""Recipe: what it takes to make a version again, kept with the run that made it."""

from __future__ import annotations

import io
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from perennial.config.problem import Problem
from perennial.config.sections.feedback import FeedbackRules
from perennial.config.sections.preparation import Preparation
from perennial.errors import OutsideError
from perennial.metrics import Predictions
from perennial.registry.client import ModelVersion, Registry
from perennial.registry.provenance import installed, sources
from tasks.training.train import Challenger

PROBLEM_FILE = "problem.json"
SURROUNDINGS_FILE = "surroundings.json"
HOLDOUT_FILE = "holdout.npz"
# What turns a snapshot into a model; the rest of the code only moves it around.
_PACKAGES = ("perennial", "tasks")


class Surroundings(BaseModel):
    """Where a version was made.

    Attributes
    ----------
    candidate : str
        The challenger of that retraining.
    libraries : dict of str to str
        Version of each library that its numbers depend on, and of Python.
    code : dict of str to str
        SHA-256 of each file of code and data, by its path in the project.
    machine : str
        Operating system and processor.
    """

    model_config = ConfigDict(frozen=True)

    candidate: str
    libraries: dict[str, str]
    code: dict[str, str]
    machine: str

    @classmethod
    def here(cls, candidate: str) -> Surroundings:
        """Return those of this process."""
        return cls(
            candidate=candidate,
            libraries=installed(),
            code=sources(*_PACKAGES),
            machine=platform.platform(),
        )


@dataclass(frozen=True, eq=False)
class Recipe:
    """What it takes to make a version again, and what it predicted then.

    Attributes
    ----------
    problem : bytes
        The whole problem as JSON, every default written out.
    surroundings : Surroundings
        Where the version was made.
    predicted : ndarray of int64, shape (n_holdout,)
        Position of the label that it gave each holdout document, among the problem's classes.
    probabilities : ndarray of float64, shape (n_holdout, n_classes)
        Its probabilities for them.
    """

    problem: bytes
    surroundings: Surroundings
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    def read_problem(self) -> Problem:
        """Return the recorded problem with what its file did not say when it was recorded.

        Before there was a rule for feedback, it was in training and holdout like the rest; before
        its share was limited, all of it was learned from. Texts were not brought into a normal
        form.

        Raises
        ------
        OutsideError
            If it is no problem any more for the code that is here.
        """
        try:
            problem = Problem.model_validate_json(self.problem)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise OutsideError(f"refused by this code: {where}: {first['msg']}") from error
        before: dict[str, Any] = {"preparations": _as_recorded(problem.preparations)}
        if "feedback" not in problem.model_fields_set:
            before["feedback"] = FeedbackRules(use="holdout")
        elif "max_share" not in problem.feedback.model_fields_set:
            before["feedback"] = problem.feedback.model_copy(update={"max_share": 1.0})
        return problem.model_copy(update=before)


def _as_recorded(preparations: Mapping[str, Preparation]) -> dict[str, Preparation]:
    """Return preparations without the step that a record does not name."""
    return {
        name: steps
        if "normal_form" in steps.model_fields_set
        else steps.model_copy(update={"normal_form": False})
        for name, steps in preparations.items()
    }


def record_recipe(
    registry: Registry, problem: Problem, challenger: Challenger, holdout: Predictions
) -> None:
    """Keep with the challenger's run what it takes to make it again.

    Raises
    ------
    OutsideError
        If MLflow cannot be used.
    """
    arrays = io.BytesIO()
    np.savez_compressed(arrays, predicted=holdout.predicted, probabilities=holdout.probabilities)
    surroundings = Surroundings.here(challenger.result.name)
    registry.attach(
        challenger.result.run_id,
        {
            PROBLEM_FILE: problem.model_dump_json(indent=2).encode(),
            SURROUNDINGS_FILE: surroundings.model_dump_json(indent=2).encode(),
            HOLDOUT_FILE: arrays.getvalue(),
        },
    )


def read_recipe(registry: Registry, version: ModelVersion) -> Recipe:
    """Return the recipe of a version.

    Raises
    ------
    OutsideError
        If MLflow cannot be used, or if the version has no recipe.
    """
    problem, surroundings, holdout = (
        _required(registry, version, name)
        for name in (PROBLEM_FILE, SURROUNDINGS_FILE, HOLDOUT_FILE)
    )
    with np.load(io.BytesIO(holdout), allow_pickle=False) as arrays:
        predicted, probabilities = arrays["predicted"], arrays["probabilities"]
    return Recipe(problem, Surroundings.model_validate_json(surroundings), predicted, probabilities)


def _required(registry: Registry, version: ModelVersion, name: str) -> bytes:
    content = registry.attached(version.run_id, name)
    if content is None:
        raise OutsideError(
            f"Version {version.version} of {version.problem!r} has no {name} with its run in "
            "MLflow (MLFLOW_TRACKING_URI): it cannot be made again. What a retraining "
            "makes from now on can."
        )
    return content
