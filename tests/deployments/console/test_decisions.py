"""Only who has a key decides in the console, on its own page; what is decided becomes a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from httpx import Response
from prefect.client.orchestration import SyncPrefectClient, get_client
from starlette.testclient import TestClient

from deployments.apply import apply
from deployments.console.decisions import SCOPES
from perennial.config.problem import Problem
from perennial.settings import OperationSettings, Settings
from perennial.status.facts import Facts
from tests.deployments.console.conftest import DIGEST, KEY
from tests.deployments.console.stage import DAY, Made, Stage

Open = Callable[..., TestClient]
OWN_PAGE = {
    "Authorization": f"Bearer {KEY}",
    "Origin": "http://console",
    "Sec-Fetch-Site": "same-origin",
}
RETRAIN: dict[str, Any] = {"action": "retrain", "by": "on call", "why": "new labels came in"}
SHORT = "too_short text"
APPROVE = {"action": "approve", "version": 1, "by": "on call", "why": "I read fifty answers"}


def reviews(_: Settings, __: datetime) -> tuple[Facts, ...]:
    """One problem about which nothing is known but its name."""
    return (Facts("reviews"),)


@pytest.fixture
def known(open_console: Open) -> TestClient:
    """A console with a key, which knows that there is a problem ``reviews``."""
    return open_console(keys=(DIGEST,), read=reviews)


def decide(console: TestClient, decision: Any = None, **headers: str) -> Response:
    return console.post(
        "/console/reviews/decisions", json=decision or RETRAIN, headers={**OWN_PAGE, **headers}
    )


@pytest.fixture
def prefect(
    machine: Settings, prefect_api: str, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SyncPrefectClient]:
    """A Prefect server with the deployments of the machine's problem."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    apply(machine, OperationSettings())
    with get_client(sync_client=True) as client:
        yield client
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)


def test_without_a_key_the_console_only_shows_and_says_so(stage: Stage, open_console: Open) -> None:
    stage.versions("reviews", Made(DAY, 0.9, "waiting"))
    console = open_console()

    page = console.get("/console/reviews").text
    answer = decide(console, APPROVE)

    assert "CONSOLE_API_KEY_HASHES is not set" in page
    assert "data-action" not in page
    assert answer.status_code == 403
    assert "CONSOLE_API_KEY_HASHES is not set" in answer.json()["message"]
    assert console.get(f"/console/runs/{'0' * 8}-0000-0000-0000-{'0' * 12}").status_code == 403


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"Authorization": ""}, 401, "Enter an API key"),
        ({"Authorization": "Bearer another"}, 401, "not valid"),
        ({"Authorization": f"Basic {KEY}"}, 401, "Enter an API key"),
        ({"Origin": "http://elsewhere"}, 403, "own page"),
        ({"Origin": "null"}, 403, "own page"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "own page"),
        ({"Sec-Fetch-Site": "same-site"}, 403, "own page"),
        ({"Content-Type": "text/plain"}, 415, "application/json"),
    ],
)
def test_who_has_no_key_or_comes_from_elsewhere_decides_nothing(
    known: TestClient, headers: dict[str, str], status: int, said: str
) -> None:
    answer = decide(known, **headers)

    assert answer.status_code == status
    assert said in answer.json()["message"]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"action": "delete"}, 422, "action"),
        ({"why": "  "}, 422, "why"),
        ({"by": ""}, 422, "by"),
        ({"why": "w" * 1001}, 422, "why"),
        ({"action": "rollback"}, 422, "version is missing"),
        ({"action": "drop"}, 422, "reason is missing"),
        ({"action": "drop", "reason": ""}, 422, "reason"),
        ({"problem": "other"}, 422, "problem"),
        ({"why": "w" * 20_000}, 413, "10,000 bytes"),
    ],
)
def test_a_decision_that_is_none_is_refused_with_what_is_wrong(
    known: TestClient, change: dict[str, Any], status: int, said: str
) -> None:
    answer = decide(known, RETRAIN | change)

    assert answer.status_code == status
    assert said in answer.json()["message"]


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("approve", {"approve", "refuse"}),
        ("rollback", {"rollback"}),
        ("retrain", {"retrain", "recheck"}),
        ("quarantine", {"drop", "take back"}),
        ("schedule", {"pause", "resume"}),
        ("approve+retrain", {"approve", "refuse", "retrain", "recheck"}),
    ],
)
def test_a_key_may_do_what_its_scopes_say(
    open_console: Open,
    monkeypatch: pytest.MonkeyPatch,
    scope: str,
    allowed: set[str],
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    other = hashlib.sha256(b"other").hexdigest()
    console = open_console(keys=(other, f"{DIGEST}:{scope}"), read=reviews)

    statuses = {
        action: decide(console, {**APPROVE, "action": action, "reason": SHORT}).status_code
        for action in SCOPES
    }

    # Without a Prefect server nothing can be started: 503 says that the key was good.
    assert statuses == {action: 503 if action in allowed else 403 for action in statuses}
    decision = APPROVE | {"action": min(allowed), "reason": SHORT}
    assert "PREFECT_API_URL" in decide(console, decision).text


def test_a_key_of_other_problems_decides_nothing(
    open_console: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    console = open_console(
        keys=(f"{DIGEST}:approve@iris", f"{DIGEST}:retrain@iris+reviews"), read=reviews
    )

    refused = decide(console, APPROVE)
    allowed = decide(console, {**APPROVE, "action": "retrain"})

    assert refused.status_code == 403
    assert "may not do that with 'reviews'" in refused.text
    assert "iris" not in refused.text
    assert allowed.status_code == 503


def test_nothing_is_decided_about_a_problem_that_does_not_exist(known: TestClient) -> None:
    answer = known.post("/console/unknown/decisions", json=RETRAIN, headers=OWN_PAGE)

    assert answer.status_code == 404


def test_a_decision_starts_the_flow_of_its_command_with_who_and_why(
    prefect: SyncPrefectClient, known: TestClient
) -> None:
    who = f"on call (console key {DIGEST[:8]})"
    said = {"by": who, "why": APPROVE["why"], "version": 1}
    for action, flow, parameters in (
        ("approve", "approve", said | {"approve": True}),
        ("refuse", "approve", said | {"approve": False}),
        ("rollback", "rollback", said),
        ("retrain", "retrain", {}),
        ("recheck", "quarantine", {"retry": True}),
        ("drop", "quarantine", {"drop": SHORT, "by": who, "why": APPROVE["why"]}),
        ("take back", "quarantine", {"take_back": True, "by": who, "why": APPROVE["why"]}),
    ):
        answer = decide(known, APPROVE | {"action": action, "reason": SHORT})

        assert answer.status_code == 200, answer.text
        run = prefect.read_flow_run(answer.json()["run"])
        assert prefect.read_deployment(run.deployment_id).name == "reviews"  # type: ignore[arg-type]
        assert prefect.read_flow(run.flow_id).name == flow
        assert run.parameters == {"problem": "reviews", **parameters}
        assert run.state is not None
        assert run.state.message == f"{action} by {who}: I read fifty answers"
        shown = known.get(f"/console/runs/{run.id}", headers=OWN_PAGE).json()
        assert (shown["state"], shown["is_over"]) == ("Scheduled", False)


def test_a_pause_is_shown_with_who_and_why_until_the_schedule_goes_on(
    stage: Stage, prefect: SyncPrefectClient, machine: Settings, open_console: Open
) -> None:
    console = open_console(keys=(DIGEST,))

    assert decide(console, RETRAIN | {"action": "pause", "why": "labels move"}).status_code == 200

    assert prefect.read_deployment_by_name("retrain/reviews").paused
    apply(machine, OperationSettings())
    paused = open_console(keys=(DIGEST,)).get("/console/reviews").text
    assert "was paused by on call (console key" in paused
    assert "labels move" in paused
    assert "Resume retraining" in paused

    assert decide(console, RETRAIN | {"action": "resume"}).status_code == 200

    assert not prefect.read_deployment_by_name("retrain/reviews").paused
    resumed = open_console(keys=(DIGEST,)).get("/console/reviews").text
    assert "was paused by" not in resumed
    assert "Pause retraining" in resumed


def test_a_schedule_that_was_paused_in_prefect_goes_on_from_the_console(
    stage: Stage, prefect: SyncPrefectClient, open_console: Open
) -> None:
    deployment = prefect.read_deployment_by_name("retrain/reviews")
    (schedule,) = deployment.schedules
    prefect.update_deployment_schedule(deployment.id, schedule.id, active=False)
    assert "The schedule of retrain is paused" in open_console().get("/console").text

    decide(open_console(keys=(DIGEST,)), RETRAIN | {"action": "resume"})

    (schedule,) = prefect.read_deployment_by_name("retrain/reviews").schedules
    assert schedule.active


def test_a_run_that_failed_says_why_only_where_the_sentence_is_for_people(
    prefect: SyncPrefectClient, known: TestClient
) -> None:
    from prefect.states import Failed

    found = []
    for message in (
        "Flow run encountered an exception: OutsideError: Version 1 waits for no answer.",
        "Flow run encountered an exception: KeyError: 'a text of somebody'",
    ):
        run = decide(known, APPROVE).json()["run"]
        prefect.set_flow_run_state(run, Failed(message=message), force=True)
        shown = known.get(f"/console/runs/{run}", headers=OWN_PAGE).json()
        assert (shown["is_over"], shown["is_failed"]) == (True, True)
        found.append(shown["message"])

    assert found == ["Version 1 waits for no answer.", ""]


def test_a_problem_without_a_deployment_says_how_to_get_one(
    prefect: SyncPrefectClient, known: TestClient
) -> None:
    prefect.delete_deployment(prefect.read_deployment_by_name("retrain/reviews").id)

    answer = decide(known)

    assert answer.status_code == 503
    assert "no deployment retrain/reviews; `perennial apply` makes it" in answer.json()["message"]


def test_whoever_may_start_a_run_sees_what_becomes_of_it(
    prefect: SyncPrefectClient, open_console: Open
) -> None:
    console = open_console(keys=(f"{DIGEST}:retrain",), read=reviews)
    run = decide(console).json()["run"]

    assert console.get(f"/console/runs/{run}", headers=OWN_PAGE).status_code == 200
    assert console.get(f"/console/runs/{run}").status_code == 401
