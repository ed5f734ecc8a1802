"""Apply: a real Prefect server has what the files say, however often it is applied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.workers.process import ProcessWorker

from deployments.apply import apply
from deployments.automations import PREFIX
from deployments.blocks import NOTIFICATION, SNAPSHOTS, apply_blocks
from deployments.pools import TEMPLATES, apply_pool, job_template
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.settings import PROJECT, OperationSettings, Settings, read
from tests.prefect_server import tidied_client
from tools.manifests.render_job import prepare_job

HERE = OperationSettings()


@pytest.fixture
def client(prefect_api: str) -> Iterator[SyncPrefectClient]:
    with tidied_client() as client:
        yield client


def _automations(client: SyncPrefectClient) -> dict[str, Any]:
    found = client.read_automations()
    return {one.name.removeprefix(PREFIX): one for one in found if one.name.startswith(PREFIX)}


def test_what_is_applied_twice_is_there_once(
    client: SyncPrefectClient, problem: Problem, machine: Settings
) -> None:
    first = apply(machine, HERE)
    automations = {one.id for one in _automations(client).values()}

    again = apply(machine, HERE)

    assert again == first
    assert {one.id for one in _automations(client).values()} == automations
    assert "reviews has drifted, retrain it" in _automations(client)


def test_a_deployment_is_what_the_files_say(
    client: SyncPrefectClient,
    write_problem: Callable[..., Problem],
    machine: Settings,
) -> None:
    write_problem(schedule={"retrain": "7 2 * * *", "timezone": "Europe/Berlin"})

    apply(machine, HERE)

    deployment = client.read_deployment_by_name("retrain/reviews")
    (schedule,) = deployment.schedules
    assert schedule.schedule.model_dump(include={"cron", "timezone"}) == {
        "cron": "7 2 * * *",
        "timezone": "Europe/Berlin",
    }
    assert deployment.global_concurrency_limit is not None
    assert deployment.global_concurrency_limit.limit == 1
    assert deployment.description
    form = deployment.parameter_openapi_schema["properties"]
    assert form["problem"]["enum"] == ["reviews"]
    assert "Train even when" in form["force"]["description"]
    answer = client.read_deployment_by_name("approve/reviews").parameter_openapi_schema
    assert {"version", "approve", "by", "why"} < answer["properties"].keys()
    assert answer["properties"]["approve"]["type"] == "boolean"
    assert set(answer["required"]) == {"version", "why"}


def test_a_schedule_that_a_person_has_paused_stays_paused_until_it_is_resumed(
    client: SyncPrefectClient,
    write_problem: Callable[..., Problem],
    machine: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_problem()
    apply(machine, HERE)
    paused = client.read_deployment_by_name("retrain/reviews")
    client.pause_deployment(paused.id)
    (schedule,) = client.read_deployment_by_name("monitor/reviews").schedules
    off = client.read_deployment_by_name("monitor/reviews").id
    client.update_deployment_schedule(off, schedule.id, active=False)

    write_problem(schedule={"retrain": "7 2 * * *"})
    apply(machine, HERE)

    (changed,) = client.read_deployment_by_name("retrain/reviews").schedules
    assert changed.schedule.cron == "7 2 * * *"
    assert client.read_deployment_by_name("retrain/reviews").paused
    assert [
        each.active for each in client.read_deployment_by_name("monitor/reviews").schedules
    ] == [False]
    assert not client.read_deployment_by_name("score/reviews").paused
    assert "The schedule of retrain/reviews is paused in Prefect" in caplog.text
    assert "The schedule of monitor/reviews is paused in Prefect" in caplog.text

    client.resume_deployment(paused.id)
    caplog.clear()
    apply(machine, HERE)
    assert not client.read_deployment_by_name("retrain/reviews").paused
    assert "retrain/reviews is paused" not in caplog.text


def test_a_changed_file_changes_its_deployment_and_a_removed_one_removes_it(
    client: SyncPrefectClient, write_problem: Callable[..., Problem], machine: Settings
) -> None:
    write_problem(schedule={"retrain": "7 2 * * *"})
    other = machine.problems_dir / "other.yaml"
    other.write_text((machine.problems_dir / "reviews.yaml").read_text())
    apply(machine, HERE)
    assert "other has drifted, retrain it" in _automations(client)

    other.unlink()
    write_problem(schedule={"retrain": None})
    names = apply(machine, HERE)

    assert not any(name.endswith("/other") for name in names)
    assert not client.read_deployment_by_name("retrain/reviews").schedules
    assert {one.name for one in client.read_deployments()} == {"reviews"}
    assert "other has drifted, retrain it" not in _automations(client)


def test_a_file_that_is_broken_for_now_takes_nothing_from_the_server(
    client: SyncPrefectClient,
    write_problem: Callable[..., Problem],
    machine: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_problem()
    other = machine.problems_dir / "other.yaml"
    text = (machine.problems_dir / "reviews.yaml").read_text()
    other.write_text(text)
    apply(machine, HERE)
    before = {one.id: one.schedules for one in client.read_deployments() if one.name == "other"}
    automation = _automations(client)["other has drifted, retrain it"].id

    other.write_text(text.replace("labels:", "lables:"))
    write_problem(schedule={"retrain": "@daily"})
    names = apply(machine, HERE)

    assert {name.partition("/")[2] for name in names} == {"reviews"}
    (schedule,) = client.read_deployment_by_name("retrain/reviews").schedules
    assert schedule.schedule.cron == "@daily"
    assert {
        one.id: one.schedules for one in client.read_deployments() if one.name == "other"
    } == before
    assert _automations(client)["other has drifted, retrain it"].id == automation
    (warning,) = [each.message for each in caplog.records if str(other) in each.message]
    assert warning.startswith(f"The problem other is left out: {other}, line ")


@pytest.mark.parametrize(
    "tell",
    [
        "a run has failed, crashed or is late, tell people",
        "a version waits for a person, tell people",
    ],
)
def test_people_are_told_where_the_setting_says(
    tell: str, client: SyncPrefectClient, problem: Problem, machine: Settings
) -> None:
    apply(machine, HERE)
    silent = _automations(client)[tell]

    apply(machine, OperationSettings(notify_url="http://127.0.0.1:9/told"))

    told = _automations(client)[tell]
    block = client.read_block_document_by_name(NOTIFICATION, "custom-webhook")
    assert [action.type for action in silent.actions] == ["do-nothing"]
    assert [action.type for action in told.actions] == ["send-notification"]
    assert told.id == silent.id
    assert told.actions[0].block_document_id == block.id


def test_blocks_are_made_only_of_settings(
    client: SyncPrefectClient, machine: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    there = machine.model_copy(
        update={"data_uri": "s3://bucket/prefix", "data_credentials_block": "aws"}
    )

    assert apply_blocks(machine, HERE) == []
    made = apply_blocks(there, OperationSettings(secrets=("perennial/mongodb",)))

    assert made == [
        "aws-credentials/aws",
        f"s3-bucket/{SNAPSHOTS}",
        "aws-secret/perennial-mongodb",
    ]
    bucket = client.read_block_document_by_name(SNAPSHOTS, "s3-bucket")
    assert bucket.data["bucket_name"] == "bucket"
    assert bucket.data["bucket_folder"] == "prefix"


def test_a_pool_of_another_type_is_not_taken(client: SyncPrefectClient) -> None:
    name = uuid4().hex
    client.create_work_pool(WorkPoolCreate(name=name, type="kubernetes"))

    with pytest.raises(OutsideError, match="has the type 'kubernetes', not 'process'"):
        apply_pool(client, name, HERE)


def test_runs_on_this_machine_start_in_the_folder_of_their_worker_wherever_it_was_moved() -> None:
    template = job_template(HERE)

    assert template["variables"]["properties"]["working_dir"]["default"] == "."


@pytest.mark.parametrize("kind", ["kubernetes", "ecs"])
def test_runs_in_containers_have_the_image_that_is_set(kind: Any) -> None:
    template = job_template(OperationSettings(work_pool_type=kind, run_image="registry/worker@1"))

    assert template["variables"]["properties"]["image"]["default"] == "registry/worker@1"
    with pytest.raises(OutsideError, match="set OPERATION_RUN_IMAGE"):
        job_template(OperationSettings(work_pool_type=kind))


def test_variables_of_the_job_template_have_the_defaults_that_are_set() -> None:
    template = job_template(OperationSettings(run_variables={"stream_output": False}))

    properties = template["variables"]["properties"]
    assert properties["stream_output"]["default"] is False
    assert properties["working_dir"]["default"] == "."
    with pytest.raises(OutsideError, match="has no variable 'cpu', which OPERATION_RUN_VARIABLES"):
        job_template(OperationSettings(run_variables={"cpu": 1}))


def test_a_run_on_kubernetes_ends_at_last_and_is_not_moved_while_it_runs() -> None:
    job = prepare_job(deployment="sentiment", flow="retrain")

    # Longer than the longest step, of six hours, and an hour to read and to register.
    assert job["spec"]["activeDeadlineSeconds"] >= 7 * 3600
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "must be a JSON object: "),
        ("[1]", "must be a JSON object, with a value for each name"),
        ("3", "must be a JSON object, with a value for each name"),
    ],
)
def test_variables_that_are_no_json_object_are_named(
    monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    monkeypatch.setenv("OPERATION_RUN_VARIABLES", text)

    with pytest.raises(OutsideError, match=f"OPERATION_RUN_VARIABLES {sentence}"):
        read(OperationSettings)


def test_the_job_templates_are_those_of_the_installed_workers() -> None:
    from prefect_aws.workers import ECSWorker

    for worker, kind in ((ProcessWorker, "process"), (ECSWorker, "ecs")):
        ours = json.loads(TEMPLATES[kind].read_text())
        theirs = worker.get_default_base_job_template()
        assert ours["job_configuration"] == theirs["job_configuration"]
        assert ours["variables"]["properties"].keys() == theirs["variables"]["properties"].keys()


def test_without_a_server_a_sentence_says_what_to_set(machine: Settings) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(OutsideError, match="set PREFECT_API_URL"),
    ):
        apply(machine, HERE)


def test_a_fresh_checkout_hears_nothing_of_a_folder_that_nobody_needs_yet(tmp_path: Path) -> None:
    hidden = ("PREFECT_", "DATA_DIR")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    done = subprocess.run(
        [sys.executable, "-m", "deployments.apply"],
        cwd=PROJECT,
        env={**environment, "DATA_DIR": str(tmp_path / "none" / "yet")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "set PREFECT_API_URL" in done.stderr
    assert "Prefect home" not in done.stderr
