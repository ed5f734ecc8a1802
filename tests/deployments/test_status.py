"""`perennial status`: every problem in one table, whatever does not answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner, Result

from deployments.cli import app
from perennial.config.problem import Problem
from perennial.registry.client import ModelVersion, Registry, open_registry
from perennial.settings import Settings, get_settings
from perennial.status.facts import Facts
from perennial.status.versions import Versions
from perennial.stores import mongodb
from perennial.stores.measurements import COLLECTION, Gauge, record
from tests.conftest import free_port


def status(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["status", *arguments], env={"COLUMNS": "80", "TERM": "dumb"})


def as_record(*arguments: str) -> dict[str, Any]:
    (found,) = json.loads(status("--json", *arguments).stdout)
    return dict(found)


@pytest.fixture
def production(machine: Settings, problem: Problem, client: MlflowClient) -> MlflowClient:
    """A machine on which version 1 is Production."""
    client.create_registered_model("reviews")
    tags = {"perennial.holdout.accuracy": "0.9 [0.88, 0.92]", "perennial.verdict": "promoted"}
    client.create_model_version("reviews", "source", tags=tags)
    registry = open_registry(machine)
    registry.promote(registry.version("reviews", 1), expected=None)
    return client


def test_a_problem_shows_its_production_documents_and_next_retraining(
    production: MlflowClient, problem: Problem
) -> None:
    record("retrain", problem, [Gauge("snapshot_documents", 5067)])

    shown = status()

    assert shown.exit_code == 0
    row = next(line for line in shown.output.splitlines() if line.lstrip().startswith("reviews"))
    assert row.split()[:5] == ["reviews", "ok", "v1,", "0", "min"]
    assert "accuracy 0.900" in row
    assert as_record()["documents"] == 5067
    assert shown.output.rstrip().endswith("1 ok.")
    assert len(max(shown.output.splitlines(), key=len)) <= 80


def test_a_broken_file_and_a_new_problem_do_not_hide_another(
    production: MlflowClient, machine: Settings, write_problem: Callable[..., Problem]
) -> None:
    (machine.problems_dir / "broken.yaml").write_text("labels: 3\n")
    reviews = (machine.problems_dir / "reviews.yaml").read_text()
    (machine.problems_dir / "fresh.yaml").write_text(reviews)

    found = {each["problem"]: each for each in json.loads(status("--json").stdout)}

    assert {name: each["state"] for name, each in found.items()} == {
        "broken": "failing",
        "fresh": "new",
        "reviews": "ok",
    }
    assert "broken.yaml" in found["broken"]["findings"][0]["sentence"]
    assert found["reviews"]["production"] == 1
    shown = status()
    assert shown.exit_code == 1
    assert "1 failing, 1 new, 1 ok." in shown.output
    assert status("reviews").exit_code == 0


def test_a_production_that_was_deleted_in_mlflow_is_failing(production: MlflowClient) -> None:
    production.delete_model_version("reviews", "1")

    found = as_record()

    assert found["state"] == "failing"
    assert [finding["rule"] for finding in found["findings"]] == ["production_is_lost"]


def test_what_the_registry_knows_is_shown_without_mongodb(
    production: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:9/?directConnection=true")
    monkeypatch.setenv("MONGODB_TIMEOUT", "0.5")
    get_settings.cache_clear()

    found = as_record()

    assert found["production"] == 1
    assert [finding["rule"] for finding in found["findings"]] == ["source_is_away"]
    assert "MONGODB_URI" in found["findings"][0]["sentence"]


def test_damaged_measurements_of_one_database_hide_no_other_problem(
    production: MlflowClient, machine: Settings, problem: Problem
) -> None:
    record("retrain", problem, [Gauge("snapshot_documents", 5067)])
    text = (machine.problems_dir / "reviews.yaml").read_text()
    other = f"{problem.source.database}_other"
    (machine.problems_dir / "films.yaml").write_text(text.replace(problem.source.database, other))
    with mongodb.connect(machine) as client:
        client[other][COLLECTION].insert_one({"_id": "retrain films", "flow": "retrain"})

    found = {each["problem"]: each for each in json.loads(status("--json").stdout)}

    assert found["reviews"]["documents"] == 5067
    assert found["reviews"]["state"] == "ok"
    assert found["films"]["state"] == "failing"
    assert other in found["films"]["findings"][0]["sentence"]


def test_a_version_that_cannot_be_read_hides_no_other_problem(
    production: MlflowClient, machine: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (machine.problems_dir / "reviews.yaml").read_text()
    (machine.problems_dir / "films.yaml").write_text(text)
    production.create_registered_model("films")
    newest = Registry.newest

    def broken(registry: Registry, name: str) -> ModelVersion | None:
        if name == "films":
            raise KeyError("a tag")
        return newest(registry, name)

    monkeypatch.setattr(Registry, "newest", broken)

    found = {each["problem"]: each for each in json.loads(status("--json").stdout)}

    assert found["reviews"]["state"] == "ok"
    assert [finding["rule"] for finding in found["films"]["findings"]] == ["source_is_away"]
    assert "What MLflow has of 'films' cannot be read (KeyError)" in str(found["films"])


def test_a_prefect_that_does_not_answer_is_said_and_hides_nothing(
    production: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")

    found = as_record()

    assert found["production"] == 1
    assert [finding["rule"] for finding in found["findings"]] == ["source_is_away"]
    assert "PREFECT_API_URL" in found["findings"][0]["sentence"]


def test_an_unknown_problem_is_named_with_the_known_ones(problem: Problem) -> None:
    shown = status("revews")

    assert shown.exit_code == 1
    assert "There is no problem 'revews'" in str(shown.exception)
    assert "the problems are reviews." in str(shown.exception)


def test_a_figure_that_was_chosen_stands_beside_the_one_to_believe() -> None:
    chosen = {"metric": "accuracy", "claimed": 0.93, "optimism": 0.01}
    since = {"metric": "accuracy", "value": 0.9, "low": 0.87, "high": 0.93, "documents": 300}
    tags = {"perennial.verdict.selection": json.dumps(chosen)}
    version = ModelVersion("reviews", 1, "", tags)
    later = ModelVersion("reviews", 1, "", {**tags, "perennial.since": json.dumps(since)})

    assert Facts("reviews", versions=Versions(version)).corrected == pytest.approx(0.92)
    assert Facts("reviews", versions=Versions(later)).corrected == 0.9
    assert Facts("reviews").corrected is None
