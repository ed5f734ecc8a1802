"""How Production moves: whenever a process ends, aliases and history agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from perennial.errors import OutsideError
from perennial.registry.client import ModelVersion, Note, Registry, StaleComparisonError

WHY = Note(why="wrong", by="ann", flow="rollback", run="r")


@pytest.fixture
def version(registry: Registry, client: MlflowClient) -> Callable[[int], ModelVersion]:
    """Versions 1 to 3, promoted in turn; no files, for only aliases matter here."""
    client.create_registered_model("reviews")
    for number in (1, 2, 3):
        client.create_model_version("reviews", f"s3://nowhere/{number}")
    for number in (1, 2, 3):
        made = registry.version("reviews", number)
        registry.promote(made, expected=registry.production("reviews"), note=WHY)
    return lambda number: registry.version("reviews", number)


def aliases(registry: Registry) -> tuple[int | None, int | None]:
    production, previous = (registry.alias("reviews", a) for a in ("production", "previous"))
    return production and production.version, previous and previous.version


def test_each_rollback_goes_one_version_further_back(
    registry: Registry, version: Callable[[int], ModelVersion]
) -> None:
    registry.roll_back(version(2), expected=version(3), note=WHY)
    after_one = aliases(registry)
    registry.roll_back(version(1), expected=version(2), note=WHY)

    assert after_one == (2, 1)
    assert aliases(registry) == (1, None)
    assert [version(n).rolled_back for n in (1, 2, 3)] == [None, "wrong", "wrong"]


def fourth(client: MlflowClient, registry: Registry) -> ModelVersion:
    client.create_model_version("reviews", "s3://nowhere/4")
    return registry.version("reviews", 4)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_was_held_up_loses_to_who_came_meanwhile_and_history_says_so(
    moment: str,
    registry: Registry,
    version: Callable[[int], ModelVersion],
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new, meanwhile = fourth(client, registry), []
    give = MlflowClient.set_registered_model_alias

    def held_up(self: MlflowClient, name: str, alias: str, number: str) -> None:
        """As if the process stood still just then, and another one promoted version 4."""
        if moment == "after" and alias == "production":
            give(self, name, alias, number)
        if not meanwhile and alias == ("previous" if moment == "before" else "production"):
            meanwhile.append(number)
            registry.promote(new, expected=registry.production("reviews"), note=WHY)
        if moment == "before" or alias != "production":
            give(self, name, alias, number)

    registry.roll_back(version(2), expected=version(3), note=WHY)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", held_up)
        with pytest.raises(StaleComparisonError):
            registry.promote(version(3), expected=version(2), note=WHY)

    assert aliases(registry)[0] == 4
    last = registry.history("reviews")[-1]
    assert (last.before, last.after) == ((2, 4) if moment == "before" else (3, 4))


def test_going_forward_again_takes_the_mark_away(
    registry: Registry, version: Callable[[int], ModelVersion]
) -> None:
    registry.roll_back(version(2), expected=version(3), note=WHY)

    registry.roll_back(version(3), expected=version(2), note=WHY)

    assert aliases(registry) == (3, 2)
    assert version(3).rolled_back is None
    assert version(2).rolled_back is None


def test_a_rollback_after_production_has_changed_moves_and_marks_nothing(
    registry: Registry, version: Callable[[int], ModelVersion]
) -> None:
    before = registry.history("reviews")

    with pytest.raises(StaleComparisonError):
        registry.roll_back(version(1), expected=version(2), note=WHY)

    assert aliases(registry) == (3, 2)
    assert version(3).rolled_back is None
    assert registry.history("reviews") == before


def test_a_previous_version_that_was_deleted_is_passed_over(
    registry: Registry, client: MlflowClient, version: Callable[[int], ModelVersion]
) -> None:
    client.create_model_version("reviews", "s3://nowhere/4")
    registry.promote(version(4), expected=version(3), note=WHY)
    client.delete_model_version("reviews", "2")

    registry.roll_back(version(3), expected=version(4), note=WHY)

    assert aliases(registry) == (3, 1)


@pytest.mark.parametrize(
    "step",
    [
        "set_registered_model_tag",
        "set_model_version_tag",
        "set_registered_model_alias",
        "delete_registered_model_alias",
    ],
)
def test_a_rollback_that_ends_half_way_can_be_repeated_and_the_history_tells_what_happened(
    step: str,
    registry: Registry,
    version: Callable[[int], ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, current = version(1), version(3)

    def end(*args: Any, **kwargs: Any) -> None:
        raise MlflowException("gone")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, step, end)
        with pytest.raises(OutsideError):
            registry.roll_back(target, expected=current, note=WHY)

    production, previous = aliases(registry)
    assert production in {1, 3}
    assert previous is not None
    moved = [(change.before, change.after) for change in registry.history("reviews")]
    assert moved == [(None, 1), (1, 2), (2, 3), (3, 1)][: 4 if production == 1 else 3]

    if production == 3:
        registry.roll_back(target, expected=current, note=WHY)
    moved = [(change.before, change.after) for change in registry.history("reviews")]
    assert moved == [(None, 1), (1, 2), (2, 3), (3, 1)]
