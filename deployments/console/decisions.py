"""Decisions of a person: each starts the flow that the command of the same name runs.

The run is one of the problem's deployment in Prefect, so that it happens where runs happen, with
their locks, limits and checks, and is seen by everybody. Its history says who decided, and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from perennial.errors import OutsideError
from perennial.libraries import configured_prefect_api
from perennial.settings.api_keys import Holder
from perennial.status.runs import (
    PAUSES,
    Run,
    as_run,
    ask,
    find,
    pause_name,
    prefect_client,
)

Action = Literal[
    "approve", "refuse", "rollback", "retrain", "recheck", "drop", "take back", "pause", "resume"
]
SCOPES: Mapping[Action, str] = {
    "approve": "approve",
    "refuse": "approve",
    "rollback": "rollback",
    "retrain": "retrain",
    "recheck": "retrain",
    "drop": "quarantine",
    "take back": "quarantine",
    "pause": "schedule",
    "resume": "schedule",
}
_OF_A_VERSION = ("approve", "refuse", "rollback")
# What Prefect puts before the sentence of an error that a person can mend.
_SENTENCES = ("OutsideError: ", "ProblemError: ", "UnavailableError: ")


class Decision(BaseModel):
    """What a person decides about a problem.

    Attributes
    ----------
    action : Action
        What shall happen.
    version : int or None
        The version that it is about.
    reason : str or None
        Why the documents are in quarantine that it is about; see `perennial.reasons.Reason.key`.
    by, why : str
        Who decides it, and why.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Action
    version: int | None = None
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    by: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    why: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _names_what_it_is_about(self) -> Decision:
        if self.action in _OF_A_VERSION and self.version is None:
            raise ValueError("version is missing")
        if self.action == "drop" and self.reason is None:
            raise ValueError("reason is missing")
        return self


@dataclass(frozen=True)
class Outcome:
    """What became of a decision.

    Attributes
    ----------
    sentence : str
        For the person.
    run : Run or None
        The run that carries it out, if there is one.
    """

    sentence: str
    run: Run | None = None


def carry_out(problem: str, decision: Decision, holder: Holder) -> Outcome:
    """Start what was decided.

    Raises
    ------
    OutsideError
        If Prefect is not configured, does not answer, or has no deployment for it.
    """
    by = f"{decision.by} (console key {holder.name})"
    with prefect_client(_require_api()) as client:
        if decision.action in {"pause", "resume"}:
            return _switch(client, problem, decision, by)
        flow, parameters = _run_of(decision, by)
        deployment = _deployment(client, flow, problem)
        state = {"type": "SCHEDULED", "message": f"{decision.action} by {by}: {decision.why}"}
        made = ask(
            client,
            "POST",
            f"/deployments/{deployment['id']}/create_flow_run",
            {
                "parameters": parameters,
                "state": state,
                "tags": ["console"],
                # Asked a second time while Prefect is busy, it makes no second run.
                "idempotency_key": f"console {uuid4()}",
            },
        )
    return Outcome(_SAID[decision.action], as_run(made))


_SAID: Mapping[Action, str] = {
    "approve": "The yes is on its way: the version is compared once more, and promoted if it "
    "still passes.",
    "refuse": "The no is on its way.",
    "rollback": "The rollback is on its way.",
    "retrain": "A retraining is on its way.",
    "recheck": "Every document is being judged again; what can be used now leaves quarantine.",
    "drop": "They are being left out; MongoDB keeps them.",
    "take back": "What was dropped is being judged again.",
    "pause": "The schedule is paused: no retraining begins by itself.",
    "resume": "The schedule goes on.",
}


def look_at(run: str) -> tuple[Run, str]:
    """Return a run as it is now, and what its end says to people.

    Raises
    ------
    OutsideError
        If Prefect is not configured, does not answer, or knows no such run.
    """
    with prefect_client(_require_api()) as client:
        found = ask(client, "GET", f"/flow_runs/{quote(run, safe='')}")
    said = (found.get("state") or {}).get("message") or ""
    for name in _SENTENCES:
        _, is_there, sentence = said.partition(name)
        if is_there:
            return as_run(found), sentence.strip()
    # What nobody expected may quote anything; the run's page has it.
    return as_run(found), ""


def _require_api() -> str:
    api = configured_prefect_api()
    if api is None:
        raise OutsideError(
            "Nothing can be decided here: PREFECT_API_URL is not set where the console runs. The "
            "commands of perennial can."
        )
    return api


def _run_of(decision: Decision, by: str) -> tuple[str, dict[str, Any]]:
    """Return the flow that carries a decision out, and its parameters."""
    if decision.action in {"approve", "refuse"}:
        said = {"version": decision.version, "why": decision.why, "by": by}
        return "approve", said | {"approve": decision.action == "approve"}
    if decision.action == "rollback":
        return "rollback", {"version": decision.version, "why": decision.why, "by": by}
    if decision.action == "recheck":
        return "quarantine", {"retry": True}
    if decision.action == "drop":
        return "quarantine", {"drop": decision.reason, "why": decision.why, "by": by}
    if decision.action == "take back":
        return "quarantine", {"take_back": True, "why": decision.why, "by": by}
    return "retrain", {}


def _deployment(client: Any, flow: str, problem: str) -> dict[str, Any]:
    found = find(client, f"/deployments/name/{quote(flow, safe='')}/{quote(problem, safe='')}")
    if found is None:
        raise OutsideError(
            f"Prefect has no deployment {flow}/{problem}; `perennial apply` makes it."
        )
    return dict(found)


def _switch(client: Any, problem: str, decision: Decision, by: str) -> Outcome:
    """Pause or resume the schedule of retrainings, and keep who did it and why."""
    deployment = _deployment(client, "retrain", problem)
    name = pause_name(problem)
    if decision.action == "pause":
        note = {"by": by, "why": decision.why, "at": datetime.now(UTC).isoformat()}
        if find(client, f"{PAUSES}/{name}") is None:
            ask(client, "POST", "/variables/", {"name": name, "value": note})
        else:
            ask(client, "PATCH", f"{PAUSES}/{name}", {"value": note})
        ask(client, "POST", f"/deployments/{deployment['id']}/pause_deployment")
    else:
        ask(client, "POST", f"/deployments/{deployment['id']}/resume_deployment")
        for schedule in deployment["schedules"]:
            if not schedule["active"]:
                path = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"
                ask(client, "PATCH", path, {"active": True})
        if find(client, f"{PAUSES}/{name}") is not None:
            ask(client, "DELETE", f"{PAUSES}/{name}")
    return Outcome(_SAID[decision.action])
