"""A model that a person has rolled back from does not become Production again by itself."""

from __future__ import annotations

from typing import Any

import pytest

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.gates.base import Comparison
from perennial.gates.catalogue import look_up
from perennial.registry.history import Change, Note, following
from perennial.registry.model_version import ModelVersion
from perennial.registry.tags import TAG, VersionKey
from tests.perennial.gates.gated import PRODUCTION, asking, verdict


def version(number: int, **tags: str) -> ModelVersion:
    return ModelVersion("reviews", number, "run", {TAG + key: tags[key] for key in tags})


REFUSED = version(
    3, sha256="aa", snapshot_digest="s", problem_digest="p", **{"rolled-back": "rude"}
)


class Recorded:
    """A registry in which Production was rolled back from version 3 to 2, and promoted to 4."""

    def __init__(self, *versions: ModelVersion) -> None:
        self.versions = {each.version: each for each in versions}

    def history(self, problem: str) -> tuple[Change, ...]:
        assert problem == "reviews"
        back = following((), "rollback", 3, 2, Note())
        return back, following((back,), "promotion", 2, 4, Note())

    def find(self, problem: str, number: int) -> ModelVersion | None:
        return self.versions.get(number) if problem == "reviews" else None


def looked_up(challenger: ModelVersion, *versions: ModelVersion) -> dict[str, Any]:
    registry: Any = Recorded(*versions)
    return look_up(Gates(), Comparison(registry, challenger))


@pytest.mark.parametrize(
    "challenger",
    [version(5, sha256="aa"), version(5, snapshot_digest="s", problem_digest="p")],
    ids=["same file", "same snapshot and problem"],
)
def test_the_same_model_is_kept_out_and_the_version_and_reason_are_named(
    challenger: ModelVersion, problem: Problem
) -> None:
    found = verdict(asking(problem), PRODUCTION, None, looked_up(challenger, REFUSED))

    assert found.outcome == "kept"
    assert found.reason == (
        "not rolled back before: same model as version 3, rolled back: rude, required another model"
    )


@pytest.mark.parametrize("promotion", ["approve", "never"])
def test_nobody_is_asked_about_it(promotion: str, problem: Problem) -> None:
    measured = looked_up(version(5, sha256="aa"), REFUSED)

    found = verdict(asking(problem, promotion=promotion), PRODUCTION, None, measured)

    assert (found.outcome, found.is_passed) == ("kept", False)


@pytest.mark.parametrize(
    "challenger",
    [
        version(5, sha256="bb"),
        version(5),
        version(5, snapshot_digest="s", problem_digest="other"),
        version(5, snapshot_digest="other", problem_digest="p"),
    ],
    ids=["another file", "nothing known", "another problem", "another snapshot"],
)
def test_another_model_passes(challenger: ModelVersion, problem: Problem) -> None:
    found = verdict(asking(problem), PRODUCTION, None, looked_up(challenger, REFUSED))

    assert found.outcome == "promoted"
    assert "not rolled back before" not in [gate.name for gate in found.gates]


def test_a_version_that_is_gone_or_was_taken_back_in_does_not_count(problem: Problem) -> None:
    forgiven = ModelVersion(
        "reviews",
        3,
        "run",
        {k: v for k, v in REFUSED.tags.items() if k != VersionKey.ROLLED_BACK.tag},
    )

    for versions in ((), (forgiven,)):
        assert "rolled_back" not in looked_up(version(5, sha256="aa"), *versions)
