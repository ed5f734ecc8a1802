"""Runs and schedules of problems, as Prefect has them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from perennial.errors import OutsideError
from perennial.libraries import configured_prefect_api, prefect_headers

if TYPE_CHECKING:
    import httpx

# What all deployments of this project are tagged with.
TAG = "perennial"
_PER_PAGE = 200
# What Prefect answers while its database is locked; its own client asks again, too.
_BUSY = {429, 502, 503}
_PAUSES_SECONDS = (0.3, 1.0, 3.0)
_WHO_ASKS = {401, 403}
_ANSWER_SECONDS = 5.0
# A problem whose last retraining is further back has none to show.
_LATEST_RUNS = 1000
_RETRAIN = "retrain"
# Who asks for a rollback reads why there is none, such as that no version is left to go back to.
_ASKED_FOR = {"rollback"}
# A run that somebody has cancelled says nothing about the next one.
_FAILED = {"FAILED", "CRASHED"}
_OVER = {"COMPLETED", *_FAILED}
# The variables of Prefect that keep who has paused what.
PAUSES = "/variables/name"
_PAUSED = "perennial_paused_"


@dataclass(frozen=True)
class Run:
    """One run of a flow.

    Attributes
    ----------
    id : str
        Prefect's id of the run.
    state : str
        Name of its state, such as ``Completed``.
    at : datetime
        When it began, or should have.
    is_over : bool
        Whether its state is final.
    is_failed : bool
        Whether it ended in another way than it should.
    """

    id: str
    state: str
    at: datetime
    is_over: bool
    is_failed: bool


@dataclass(frozen=True)
class Pause:
    """Who has paused a schedule, why and when."""

    by: str
    why: str
    at: str


@dataclass(frozen=True)
class Automatic:
    """What Prefect says about the flows of a problem.

    Attributes
    ----------
    deployments : mapping of str to str
        Flow -> id of its deployment.
    paused : frozenset of str
        The flows whose schedule is paused.
    pause : Pause or None
        Who has paused the retrainings, if the console was asked to.
    last : Run or None
        The retraining that began last.
    failed : mapping of str to Run
        Flow -> its last run that is over, where that has failed.
    since : mapping of str to datetime
        Flow -> since when it is deployed.
    """

    deployments: Mapping[str, str] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    pause: Pause | None = None
    last: Run | None = None
    failed: Mapping[str, Run] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)


NOTHING = Automatic()


def read_automatic() -> tuple[dict[str, Automatic], str]:
    """Return what Prefect says of each problem, and why it says nothing, or an empty text.

    Where ``PREFECT_API_URL`` names no server there is nothing to say.
    """
    api = configured_prefect_api()
    if api is None:
        return {}, ""
    try:
        with prefect_client(api) as client:
            return _read(client), ""
    except OutsideError as error:
        return {}, str(error)


def prefect_client(api: str) -> httpx.Client:
    """Return a client of Prefect's API; whoever calls it turns failures into `OutsideError`."""
    import httpx

    return httpx.Client(base_url=api, headers=prefect_headers(), timeout=_ANSWER_SECONDS)


def find(client: httpx.Client, path: str) -> Any:
    """Return what Prefect has at a path, or None if there is nothing.

    Raises
    ------
    OutsideError
        As `ask`.
    """
    return _answer(client, "GET", path, None, {404})


def ask(client: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    """Return Prefect's answer to a request.

    Raises
    ------
    OutsideError
        If it does not answer, or answers with an error.
    """
    return _answer(client, method, path, body, set())


def _answer(client: httpx.Client, method: str, path: str, body: Any, nothing: set[int]) -> Any:
    import httpx

    try:
        response = client.request(method, path, json=body)
        for pause in _PAUSES_SECONDS:
            if response.status_code not in _BUSY:
                break
            time.sleep(pause)
            response = client.request(method, path, json=body)
        if response.status_code in nothing:
            return None
        response.raise_for_status()
        return response.json() if response.content else None
    except httpx.HTTPStatusError as error:
        raise OutsideError(_refusal(error.response.status_code)) from error
    except (httpx.HTTPError, ValueError) as error:
        raise OutsideError(
            f"Prefect does not answer at PREFECT_API_URL ({type(error).__name__})."
        ) from error


def _refusal(status: int) -> str:
    said = f"Prefect at PREFECT_API_URL answers with status {status}"
    if status in _WHO_ASKS:
        return f"{said}; PREFECT_API_KEY or PREFECT_API_AUTH_STRING says who asks."
    return f"{said}; its log says why."


def pause_name(problem: str) -> str:
    """Return the name of the variable that keeps who has paused a problem."""
    return _PAUSED + problem


def _pauses(client: httpx.Client) -> Iterator[tuple[str, Pause]]:
    wanted = {"variables": {"name": {"like_": _PAUSED}}}
    for variable in pages(client, "/variables/filter", wanted):
        name, value = str(variable["name"]), variable["value"]
        if name.startswith(_PAUSED) and isinstance(value, dict):
            said = (str(value.get(key, "")) for key in ("by", "why", "at"))
            yield name.removeprefix(_PAUSED), Pause(*said)


def _read(client: httpx.Client) -> dict[str, Automatic]:
    flows = {flow["id"]: flow["name"] for flow in pages(client, "/flows/filter", {})}
    wanted = {"deployments": {"tags": {"all_": [TAG]}}}
    deployments = {each["id"]: each for each in pages(client, "/deployments/filter", wanted)}
    pauses = dict(_pauses(client))
    last = dict(_retrainings(client, wanted))
    ids: dict[str, dict[str, str]] = {}
    paused: dict[str, set[str]] = {}
    runs: dict[str, Run] = {}
    failing: dict[str, dict[str, Run]] = {}
    since: dict[str, dict[str, datetime]] = {}
    failures = dict(_failures(client, wanted))
    for number, deployment in deployments.items():
        problem, flow = deployment["name"], flows.get(deployment["flow_id"], "")
        ids.setdefault(problem, {})[flow] = number
        since.setdefault(problem, {})[flow] = datetime.fromisoformat(deployment["created"])
        if is_paused(deployment):
            paused.setdefault(problem, set()).add(flow)
        if number in last:
            runs[problem] = last[number]
        if number in failures and flow not in _ASKED_FOR:
            failing.setdefault(problem, {})[flow] = failures[number]
    return {
        problem: Automatic(
            found,
            frozenset(paused.get(problem, ())),
            pauses.get(problem) if _RETRAIN in paused.get(problem, ()) else None,
            runs.get(problem),
            failing.get(problem, {}),
            since.get(problem, {}),
        )
        for problem, found in ids.items()
    }


def is_paused(deployment: Mapping[str, Any]) -> bool:
    """Return whether a deployment with a schedule is paused, or each of its schedules is."""
    schedules = deployment["schedules"]
    stands_still = deployment["paused"] or not any(each["active"] for each in schedules)
    return bool(schedules) and stands_still


def _retrainings(client: httpx.Client, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Run]]:
    """Yield the retrainings of each deployment, the one that began last at the end."""
    begun = {
        **wanted,
        "flows": {"name": {"any_": [_RETRAIN]}},
        "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}},
        "sort": "START_TIME_DESC",
    }
    newest = list(pages(client, "/flow_runs/filter", begun, _LATEST_RUNS))
    for run in reversed(newest):
        yield run["deployment_id"], as_run(run)


def _failures(client: httpx.Client, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Run]]:
    """Yield each deployment whose last run that is over has failed, with that run."""
    failed = {**wanted, "flow_runs": {"state": {"type": {"any_": sorted(_FAILED)}}}}
    suspects = {run["deployment_id"] for run in pages(client, "/flow_runs/filter", failed)}
    over = {"state": {"type": {"any_": sorted(_OVER)}}}
    for number in sorted(suspects):
        asked = {
            "deployments": {"id": {"any_": [number]}},
            "flow_runs": over,
            "sort": "END_TIME_DESC",
        }
        for run in map(as_run, pages(client, "/flow_runs/filter", asked, 1)):
            if run.is_failed:
                yield number, run


def as_run(run: Mapping[str, Any]) -> Run:
    """Return a run of Prefect's API."""
    kind = run["state_type"] or ""
    at = run["start_time"] or run["expected_start_time"] or run["created"]
    return Run(
        run["id"],
        run["state_name"] or "Unknown",
        datetime.fromisoformat(at),
        kind in {*_OVER, "CANCELLED"},
        kind in _FAILED,
    )


def pages(
    client: httpx.Client, path: str, wanted: Mapping[str, Any], most: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield everything that Prefect has of a kind, asked for page by page.

    Parameters
    ----------
    client : httpx.Client
        See `prefect_client`.
    path : str
        Where the kind is filtered, such as ``/flow_runs/filter``.
    wanted : mapping
        The filter.
    most : int or None
        How many are enough.

    Raises
    ------
    OutsideError
        As `ask`.
    """
    offset = 0
    while most is None or offset < most:
        limit = _PER_PAGE if most is None else min(_PER_PAGE, most - offset)
        page = ask(client, "POST", path, {**wanted, "limit": limit, "offset": offset})
        yield from page
        if len(page) < limit:
            return
        offset += len(page)
