"""A problem that is retired, by command: nothing is lost, and nothing goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient

from deployments.commands.retire import run_delete, run_retire
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import Registry
from perennial.settings import Settings

pytestmark = pytest.mark.usefixtures("prefect_api")


def test_a_retired_problem_is_not_retrained_until_it_is_brought_back(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Callable[..., list[dict[str, Any]]],
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_problem()
    collection.insert_many(documents(1200))
    assert retrain("reviews").verdict is not None
    capsys.readouterr()

    run_retire("reviews", undo=False)

    said = capsys.readouterr().out
    assert "'reviews' is retired" in said
    assert "reviews.yaml and run `perennial apply`" in said
    assert registry.require_production("reviews").version == 1
    with pytest.raises(OutsideError, match=r"'reviews' was retired on 20.*--undo` brings it back"):
        retrain("reviews", force=True)

    run_retire("reviews", undo=True)
    assert "is active again" in capsys.readouterr().out
    assert retrain("reviews").verdict is None


def test_all_that_is_kept_of_a_retired_problem_is_removed_by_command_and_nothing_of_others(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Callable[..., list[dict[str, Any]]],
    machine: Settings,
    client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_problem()
    file = machine.problems_dir / "reviews.yaml"
    (machine.problems_dir / "films.yaml").write_text(file.read_text())
    collection.insert_many(documents(300))
    for name in ("reviews", "films"):
        assert retrain(name, force=True).verdict is not None
    with pytest.raises(OutsideError, match="'reviews' is not retired; run `perennial retire"):
        run_delete("reviews")
    run_retire("reviews", undo=False)
    capsys.readouterr()

    run_delete("reviews")

    assert "Of 'reviews' 1 model" in capsys.readouterr().out
    assert [model.name for model in client.search_registered_models()] == ["films"]
    assert {path.name for path in (machine.data_dir / "snapshots").iterdir()} == {"films"}
    measured = collection.database["perennial_measurements"].distinct("problem")
    assert measured == ["films"]
    assert collection.count_documents({}) == 300
    assert retrain("films").verdict is None

    # Ended in the middle, or by mistake twice: the next call finds nothing left.
    run_delete("reviews")


def test_a_problem_without_versions_cannot_be_retired(machine: Settings) -> None:
    with pytest.raises(OutsideError, match="MLflow has no versions of 'revies'"):
        run_retire("revies", undo=False)
