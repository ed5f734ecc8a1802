"""Prometheus learns from the exporter what flows, registry and Prefect know."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from mlflow import MlflowClient
from prefect.states import State
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from deployments import exporter
from deployments.console.board import Board
from deployments.deployed import deployed_flows
from deployments.exporter import (
    Sources,
    disk,
    findings,
    flow_runs,
    measurements,
    production,
    sources,
)
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.local import embedded
from perennial.prometheus import EXPORTER, FLOWS, PREFIX
from perennial.registry.client import Registry
from perennial.settings import Settings
from perennial.status.deadline import deadline
from perennial.stores import mongodb
from perennial.stores.measurements import COLLECTION, Gauge, record
from tests.conftest import free_port

_VERSION = exporter.sample("production_version", 3, problem="reviews")


def exposed(collector: Sources) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus reads: (name, labels) -> value."""
    exported = CollectorRegistry()
    exported.register(collector)
    text = generate_latest(exported).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def looked(settings: Settings) -> Board:
    """The board after a look at all problems."""
    board = Board(settings, 1.0)
    board.gather()
    return board


def deploy(name: str, *, tags: Sequence[str] = ("perennial",)) -> UUID:
    """Give Prefect a flow with a deployment for the problem `reviews`, and return its id."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name(name)
        return client.create_deployment(flow, "reviews", tags=list(tags))


def run_of(deployment: UUID, *states: State[Any]) -> None:
    """Let a run of a deployment go through these states."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(deployment, state=states[0])
        for state in states[1:]:
            client.set_flow_run_state(run.id, state, force=True)


def test_the_latest_figures_of_a_flow_are_exported_with_flow_and_problem(
    machine: Settings, problem: Problem, mongodb_server: str
) -> None:
    before = datetime.now(UTC).timestamp() - 1
    drift = {"test": "length", "of": "documents"}
    record("monitor", problem, [Gauge("drift_score", 0.1, drift)])
    record("monitor", problem, [Gauge("drift_score", 0.7, drift)])
    record("retrain", problem, [Gauge("snapshot_documents", 12)])

    seen = exposed(Sources(tuple(sources(machine, None, looked(machine)))))

    of = (("flow", "monitor"), ("problem", problem.name))
    assert seen["perennial_drift_score", tuple(sorted([*of, *drift.items()]))] == 0.7
    assert seen["perennial_flow_last_success_timestamp_seconds", of] >= before
    retrain = (("flow", "retrain"), ("problem", problem.name))
    assert seen["perennial_snapshot_documents", retrain] == 12
    assert (
        seen["perennial_flow_deadline_timestamp_seconds", retrain] > datetime.now(UTC).timestamp()
    )
    assert seen["perennial_source_up", (("source", "mongodb"),)] == 1


def test_every_metric_is_exported_with_its_help_and_labels(machine: Settings) -> None:
    described = EXPORTER | FLOWS
    samples = [
        exporter.sample(name.removeprefix(PREFIX), 1, **dict.fromkeys(family.labels, "x"))
        for name, family in described.items()
        if name != "perennial_source_up"
    ]
    exported = CollectorRegistry()
    exported.register(Sources([("x", lambda: samples)]))

    found = {
        family.name: (family.type, family.documentation, {*family.samples[0].labels})
        for family in text_string_to_metric_families(generate_latest(exported).decode())
    }

    assert found == {
        name: (family.type, family.help, {*family.labels}) for name, family in described.items()
    }


@pytest.mark.parametrize(
    ("name", "labels"), [("x", {}), ("source_up", {}), ("source_up", {"source": "x", "of": "y"})]
)
def test_what_the_table_does_not_list_cannot_be_exported(name: str, labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"lists no metric perennial_{name} with the labels"):
        exporter.sample(name, 1, **labels)


def test_the_version_that_a_rollback_has_measured_is_not_exported_beside_the_registrys(
    machine: Settings, problem: Problem, mongodb_server: str
) -> None:
    figures = [{"name": "production_version", "value": 2.0, "labels": {}}]
    with mongodb.connect(machine) as mongo:
        mongo[problem.source.database][COLLECTION].replace_one(
            {"_id": f"rollback {problem.name}"},
            {"flow": "rollback", "problem": problem.name, "at": datetime.now(UTC)}
            | {"figures": figures},
            upsert=True,
        )

    collector = Sources(
        [("mongodb", lambda: measurements(machine)), ("registry", lambda: [_VERSION])]
    )
    found = exposed(collector)

    name = "perennial_production_version"
    assert {labels: value for (metric, labels), value in found.items() if metric == name} == {
        (("problem", "reviews"),): 3
    }
    of = (("flow", "rollback"), ("problem", problem.name))
    assert found["perennial_flow_last_success_timestamp_seconds", of] > 0


def test_a_flow_must_have_succeeded_again_when_its_schedule_has_named_two_times(
    write_problem: Callable[..., Problem],
) -> None:
    problem = write_problem(
        schedule={"retrain": "0 3 * * 1-5", "monitor": None, "timezone": "Europe/Berlin"}
    )
    # A Thursday's run; Berlin is an hour ahead of UTC in winter.
    last = datetime(2026, 1, 8, 2, 20, tzinfo=UTC)

    assert deadline("retrain", problem, last) == datetime(2026, 1, 12, 2, tzinfo=UTC)
    assert deadline("monitor", problem, last) is None
    assert deadline("rollback", problem, last) is None


def test_a_problem_file_that_cannot_be_used_hides_no_figures_of_the_others(
    machine: Settings,
    write_problem: Callable[..., Problem],
    mongodb_server: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporter, "_FRESH_SECONDS", 0.0)
    problem = write_problem()
    text = (machine.problems_dir / "reviews.yaml").read_text()
    (machine.problems_dir / "films.yaml").write_text(text)
    broken = machine.problems_dir / "books.yaml"
    broken.write_text(text + "\nschedule: {retrain: 0 0 31 2 *}\n")
    films = problem.model_copy(update={"name": "films"})
    for each in (problem, films):
        record("retrain", each, [Gauge("snapshot_documents", 12)])
    board = Board(machine, 1.0)
    exported = Sources(tuple(sources(machine, None, board)))

    for _ in range(3):
        board.gather()
        seen = exposed(exported)

    for name in ("reviews", "films"):
        of = (("flow", "retrain"), ("problem", name))
        assert seen["perennial_snapshot_documents", of] == 12
        assert ("perennial_flow_deadline_timestamp_seconds", of) in seen
        of = (("file", f"{name}.yaml"), ("problem", name))
        assert seen["perennial_problem_file_valid", of] == 1
    of = (("file", "books.yaml"), ("problem", "books"))
    assert seen["perennial_problem_file_valid", of] == 0
    (warning,) = [record.message for record in caplog.records if str(broken) in record.message]
    assert warning == (
        f"The problem books is left out: {broken}, line {len(text.splitlines()) + 2}: "
        "schedule.retrain is '0 0 31 2 *'; this time never comes, as none of its months has a day "
        "31; name another day or month, or write null to start the flow by hand only."
    )

    broken.write_text(text)

    assert exposed(exported)["perennial_problem_file_valid", of] == 1


def test_a_source_that_fails_in_a_way_nobody_foresaw_hides_no_other() -> None:
    def broken() -> Iterable[exporter.Sample]:
        raise KeyError("at")

    registry = [exporter.sample("production_version", 3, problem="films")]
    found = exposed(Sources([("mongodb", broken), ("registry", lambda: registry)]))

    assert found["perennial_source_up", (("source", "mongodb"),)] == 0
    assert found["perennial_production_version", (("problem", "films"),)] == 3


def test_a_problem_without_production_has_no_figures_of_one(machine: Settings) -> None:
    assert list(production(machine)) == []


def test_a_source_that_is_away_is_shown_as_such_and_hides_no_other(
    machine: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> Iterable[exporter.Sample]:
        raise OutsideError("MongoDB cannot be reached, check MONGODB_URI.")

    monkeypatch.setattr(exporter, "_FRESH_SECONDS", 0.0)
    collector = Sources([("mongodb", away), ("registry", lambda: [_VERSION])])

    for _ in range(3):
        found = exposed(collector)

    assert found["perennial_source_up", (("source", "mongodb"),)] == 0
    assert found["perennial_source_up", (("source", "registry"),)] == 1
    assert found["perennial_production_version", (("problem", "reviews"),)] == 3
    assert [record.message for record in caplog.records].count(
        "MongoDB cannot be reached, check MONGODB_URI."
    ) == 1


def test_servers_are_not_asked_more_often_than_every_few_seconds(machine: Settings) -> None:
    asked = []

    def source() -> Iterable[exporter.Sample]:
        asked.append(1)
        return []

    collector = Sources([("mongodb", source)])
    for _ in range(5):
        exposed(collector)

    assert len(asked) == 1


def counted(api: str, flow: str) -> dict[tuple[str, str], float]:
    """How many runs of a flow the exporter counts: (problem, state) -> number."""
    return {
        (labels["problem"], labels["state"]): each.value
        for each in flow_runs(api)
        if (labels := dict(each.labels))["flow"] == flow
    }


def test_runs_are_counted_by_flow_problem_and_state_those_of_others_and_the_future_are_not(
    prefect_api: str,
) -> None:
    from prefect.states import Completed, Failed, Scheduled

    deployment = deploy("counted")
    for _ in range(2):
        run_of(deployment, Scheduled(), Completed())
    run_of(deployment, Scheduled(), Failed())
    run_of(deployment, Scheduled(scheduled_time=datetime.now(UTC) + timedelta(minutes=20)))
    run_of(deploy("of-another-team", tags=["theirs"]), Scheduled(), Failed())

    assert counted(prefect_api, "counted") == {
        ("reviews", "completed"): 2,
        ("reviews", "failed"): 1,
    }
    assert counted(prefect_api, "of-another-team") == {}


@pytest.mark.parametrize("hours", [0, 30])
@pytest.mark.parametrize("name", ["Pending", "Submitting", "InfrastructurePending"])
def test_a_run_that_a_worker_took_and_that_does_not_begin_is_pending_for_as_long_as_that_lasts(
    prefect_api: str, name: str, hours: int
) -> None:
    from prefect.states import Pending, Scheduled

    due = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(hours=hours))
    flow = f"waits-{name}-{hours}"
    run_of(deploy(flow), due, Pending(name=name))

    assert counted(prefect_api, flow)["reviews", "pending"] == 1


def test_a_flow_has_failed_until_its_next_run_succeeds(
    machine: Settings, problem: Problem, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Cancelled, Completed, Crashed, Failed, Scheduled

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    deployment, other, asked = deploy("monitor"), deploy("tidy"), deploy("rollback")

    def failed() -> dict[str, float]:
        of = "perennial_flow_failed"
        seen = exposed(Sources([("status", lambda: findings(looked(machine)))]))
        values = {
            dict(labels)["flow"]: value for (name, labels), value in seen.items() if name == of
        }
        return {flow: values[flow] for flow in ("monitor", "tidy", "rollback")}

    run_of(other, Scheduled(), Completed())
    # Whoever asks for a rollback reads why there is none.
    run_of(asked, Scheduled(), Failed())
    run_of(deployment, Scheduled(), Crashed())
    assert failed() == {"monitor": 1, "tidy": 0, "rollback": 0}

    run_of(deployment, Scheduled(), Cancelled())
    assert failed()["monitor"] == 1

    run_of(deployment, Scheduled(), Completed())
    assert failed()["monitor"] == 0


def test_a_flow_that_has_never_succeeded_is_due_since_it_is_deployed_unless_it_is_paused(
    machine: Settings,
    write_problem: Callable[..., Problem],
    prefect_api: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    problem = write_problem(schedule={"retrain": "0 3 * * *"})
    deployment = deploy("retrain")
    of = (("flow", "retrain"), ("problem", "reviews"))

    def due() -> float | None:
        seen = exposed(Sources([("status", lambda: findings(looked(machine)))]))
        return seen.get(("perennial_flow_deadline_timestamp_seconds", of))

    times = problem.schedule.times_after("retrain", datetime.now(UTC))
    assert due() == [next(times), next(times)][1].timestamp()

    with get_client(sync_client=True) as client:
        schedule = DeploymentScheduleCreate(schedule=CronSchedule(cron="0 3 * * *"), active=False)
        client.create_deployment_schedules(deployment, [(schedule.schedule, False)])
    assert due() is None


def test_the_free_part_of_the_disk_is_exported(machine: Settings) -> None:
    seen = exposed(Sources([("disk", lambda: disk(machine))]))

    assert 0 < seen["perennial_disk_free_ratio", ()] <= 1


def test_a_flow_that_has_not_run_yet_is_counted_from_zero(
    tmp_path: Path,
) -> None:
    with embedded.server(Settings(data_dir=tmp_path), "prefect") as port:
        api = f"http://127.0.0.1:{port}/api"
        for flow in deployed_flows():
            for state in ("completed", "failed", "crashed", "timedout", "late", "cancelled"):
                assert counted(api, flow)["", state] == 0


def test_prefect_that_does_not_answer_is_named(machine: Settings) -> None:
    with pytest.raises(OutsideError, match="Prefect does not answer at PREFECT_API_URL"):
        list(flow_runs(f"http://127.0.0.1:{free_port()}/api"))


def test_a_prefect_with_a_password_is_asked_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "operator:secret")
    own = Settings(data_dir=tmp_path)
    with embedded.server(own, "prefect") as port:
        api = f"http://127.0.0.1:{port}/api"
        with pytest.raises(OutsideError, match="status 401; PREFECT_API_KEY or"):
            list(flow_runs(api))

        monkeypatch.setenv("PREFECT_API_AUTH_STRING", "operator:secret")

        assert sum(each.value for each in flow_runs(api)) == 0


def test_prefect_is_asked_only_where_it_has_an_address(machine: Settings) -> None:
    always = ["problems", "status", "disk", "mongodb", "registry"]
    board = Board(machine, 1.0)
    assert [name for name, _ in sources(machine, None, board)] == always
    api = os.environ.get("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert [name for name, _ in sources(machine, api, board)] == [*always, "prefect"]


@pytest.mark.usefixtures("registry")
def test_until_when_a_version_waits_for_an_answer_is_exported(
    machine: Settings, client: MlflowClient, write_problem: Callable[..., Problem]
) -> None:
    write_problem()
    client.create_registered_model("reviews")
    for verdict in ("kept", "waiting"):
        tags = {"verdict": verdict, "question.asked": "2026-01-01", "question.until": "2026-01-02"}
        named = {f"perennial.{key}": value for key, value in tags.items()}
        client.create_model_version("reviews", "file:///nowhere", tags=named)

    found = exposed(Sources([("registry", lambda: production(machine))]))

    name = "perennial_answer_deadline_timestamp_seconds"
    until = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
    assert {labels: value for (metric, labels), value in found.items() if metric == name} == {
        (("problem", "reviews"), ("version", "2")): until
    }


def test_a_problem_whose_file_is_gone_or_that_was_retired_is_exported_no_more(
    machine: Settings,
    registry: Registry,
    client: MlflowClient,
    write_problem: Callable[..., Problem],
) -> None:
    reviews = write_problem()
    record("retrain", reviews, [Gauge("snapshot_documents", 12)])
    client.create_registered_model("reviews")
    client.create_model_version("reviews", "file:///nowhere")
    registry.promote(registry.version("reviews", 1), expected=None)
    sources = [
        ("mongodb", lambda: measurements(machine)),
        ("registry", lambda: production(machine)),
    ]

    def about_reviews() -> set[str]:
        found = exposed(Sources(sources))
        return {name for name, labels in found if ("problem", "reviews") in labels}

    assert about_reviews() > {"perennial_production_version", "perennial_snapshot_documents"}

    registry.retire("reviews", datetime.now(UTC))
    assert "perennial_production_version" not in about_reviews()
    registry.bring_back("reviews")
    assert "perennial_production_version" in about_reviews()

    # Another problem of the same database is left.
    (machine.problems_dir / "reviews.yaml").rename(machine.problems_dir / "other.yaml")
    assert about_reviews() == set()
