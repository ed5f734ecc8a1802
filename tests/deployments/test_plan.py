"""The plan: every flow has a deployment for every problem, and prefect.yaml says the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from deployments.apply import PULL_STEPS
from deployments.deployed import deployed_flows
from deployments.plan import FILE, definitions, listed, plan
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.settings import PROJECT, Settings

OURS = Settings(problems_dir=PROJECT / "problems")


def test_prefect_yaml_lists_what_the_problems_say() -> None:
    text = FILE.read_text()

    assert listed(plan(OURS), text) == text, "run `make deployments`"


def test_every_definition_in_prefect_yaml_has_its_flow() -> None:
    assert definitions().keys() == deployed_flows()


def test_deployments_made_by_prefect_deploy_begin_where_those_of_apply_do() -> None:
    assert YAML(typ="safe").load(FILE)["pull"] == PULL_STEPS


def test_every_deployed_flow_is_a_flow_that_takes_a_problem() -> None:
    for planned in plan(OURS):
        assert planned.load().name == planned.flow


@pytest.mark.e2e
def test_a_worker_loads_every_flow_from_its_entrypoint() -> None:
    # Not in this process, in which all modules are imported already: a worker's is a fresh one, and
    # a module in flows/ must not come before one of the same name at the top.
    load = """
import sys
from prefect.flows import load_flow_from_entrypoint
for entrypoint in sys.argv[1:]:
    print(load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False).name)
"""
    known = definitions()
    entrypoints = [definition.entrypoint for definition in known.values()]

    done = subprocess.run(
        [sys.executable, "-c", load, *entrypoints],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.stdout.split() == list(known), done.stderr


def test_the_schedule_of_a_problem_is_the_schedule_of_its_deployments(
    write_problem: Callable[..., Problem], machine: Settings
) -> None:
    write_problem(schedule={"retrain": "5 4 * * 1-5", "timezone": "Europe/Berlin"})

    planned = {one.flow: one for one in plan(machine)}

    assert planned["retrain"].name == "retrain/reviews"
    assert (planned["retrain"].cron, planned["retrain"].timezone) == (
        "5 4 * * 1-5",
        "Europe/Berlin",
    )
    assert planned["seed"].cron is None


def test_another_schedule_is_no_reason_to_train_again(
    write_problem: Callable[..., Problem],
) -> None:
    nightly = write_problem(schedule={"retrain": "0 3 * * *"})
    hourly = write_problem(schedule={"retrain": "0 * * * *"})

    assert nightly.digest == hourly.digest


def test_two_runs_of_a_deployment_never_overlap_and_a_second_rollback_is_dropped() -> None:
    limits = {name: known.concurrency_limit for name, known in definitions().items()}

    assert {limit.limit for limit in limits.values()} == {1}
    assert limits["retrain"].collision_strategy == "ENQUEUE"
    assert limits["rollback"].collision_strategy == "CANCEL_NEW"
    # Each of two answers is heard, if only to be told that the version has one.
    assert limits["approve"].collision_strategy == "ENQUEUE"
    assert "restart-when-crashed" not in definitions()["rollback"].tags


def test_a_definition_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "prefect.yaml"
    text = FILE.read_text().replace("limit: 1, collision_strategy: ENQUEUE", "limit: many", 1)
    file.write_text(text)

    with pytest.raises(OutsideError, match=r"concurrency_limit.limit is 'many'"):
        definitions(file)


def test_a_flow_without_a_definition_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: value for name, value in definitions().items() if name != "seed"}
    monkeypatch.setattr("deployments.plan.definitions", lambda _: known)

    with pytest.raises(OutsideError, match="does not define the flow 'seed'"):
        plan(OURS)


def test_a_problem_file_that_cannot_be_used_stops_no_other(
    write_problem: Callable[..., Problem], machine: Settings
) -> None:
    write_problem()
    (machine.problems_dir / "broken.yaml").write_text("labels: [")

    assert {one.problem for one in plan(machine)} == {"reviews"}


def test_what_prefect_yaml_lists_for_a_problem_whose_file_is_broken_stays() -> None:
    text = FILE.read_text()
    others = [one for one in plan(OURS) if one.problem != "iris"]

    assert listed(others, text, kept=["iris"]) == text
    assert "problem: iris" not in listed(others, text)
