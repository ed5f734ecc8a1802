"""Automations: what Prefect does by itself when something happens.

- A problem has drifted: it is retrained.
- A run is silent: it counts as crashed. A run says every 30 seconds that it is alive
  (``prefect.flow-run.heartbeat``), so one whose process or machine vanished is noticed.
- A run was taken by a worker and never began: it counts as crashed.
- A run has crashed: its deployment is started again, once in a while at most, if it has the tag
  ``restart-when-crashed`` in prefect.yaml.
- A version has passed every gate and waits for a person's yes or no: people are told.
- A run has failed, crashed or is late: people are told, if ``OPERATION_NOTIFY_URL`` says where;
  otherwise the automation only shows in Prefect's event feed that it would have told them.

Problems that ``OPERATION_NOTIFY_URLS`` names have automations of their own for the last two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prefect.automations import AutomationCore, DoNothing, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, RunDeployment, SendNotification

from deployments.blocks import Notifications
from perennial.settings import OperationSettings
from tasks.orchestration.events import event_name, resource_id

PREFIX = "perennial: "
OURS = "perennial"
RESTART = "restart-when-crashed"
_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
_HEARTBEAT = "prefect.flow-run.heartbeat"
# After one of these a run has nothing more to say, for now.
_SILENT_STATES = (
    "AwaitingRetry",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "Paused",
    "Suspended",
    "TimedOut",
)
_STARTING_STATES = ("Pending", "Submitting")
_WAITING_STATES = ("AwaitingConcurrencySlot", "Late", "Scheduled")
_UNWELCOME_STATES = ("Crashed", "Failed", "Late", "TimedOut")
_BODY = """\
Run: {{ flow_run.name }} ({{ flow_run|ui_url }})
Deployment: {{ flow.name }}/{{ deployment.name }}
State: {{ flow_run.state.name }}
Message: {{ flow_run.state.message }}
What to do: docs/runbooks.md
"""


def automations(
    retrain: Mapping[str, UUID], operation: OperationSettings, blocks: Notifications
) -> list[AutomationCore]:
    """Return all automations.

    Parameters
    ----------
    retrain : mapping of str to UUID
        Problem -> its deployment of the flow `retrain`.
    operation : OperationSettings
        How long a run may be silent, and how often a crashed one is started again.
    blocks : Notifications
        The blocks that tell people.
    """
    drifted = [_retrain_after_drift(problem, retrain[problem]) for problem in sorted(retrain)]
    told = tuple(_told(sorted(retrain), blocks))
    return [*drifted, *_recovery(operation), *map(_tell, told), *map(_ask, told)]


@dataclass(frozen=True)
class _Told:
    """Who is told, and of which problems: None for all."""

    block: UUID | None
    problems: tuple[str, ...] | None
    setting: str
    of: str = ""

    @property
    def related(self) -> list[dict[str, str | list[str]]]:
        """What runs are related to of which they are told."""
        deployments: dict[str, str | list[str]] = {
            "prefect.resource.role": "deployment",
            "prefect.resource.name": list(self.problems or ()),
        }
        return [_tag(OURS)] if self.problems is None else [_tag(OURS), deployments]

    @property
    def resources(self) -> list[str]:
        """The problems of which they are told, as Prefect names them."""
        return [resource_id("*")] if self.problems is None else [*map(resource_id, self.problems)]


def _told(problems: Sequence[str], blocks: Notifications) -> Iterator[_Told]:
    """Yield who is told of what: Prefect cannot say 'all but these', so others are named."""
    own = {name: blocks.own[name] for name in problems if name in blocks.own}
    others = tuple(name for name in problems if name not in own)
    if not own:
        yield _Told(blocks.general, None, "OPERATION_NOTIFY_URL")
    elif others:
        yield _Told(blocks.general, others, "OPERATION_NOTIFY_URL")
    for name, block in own.items():
        yield _Told(block, (name,), "OPERATION_NOTIFY_URLS", f" of {name}")


def _recovery(operation: OperationSettings) -> list[AutomationCore]:
    return [_mark_vanished(operation), _mark_unstarted(operation), _restart(operation)]


def _retrain_after_drift(problem: str, deployment: UUID) -> AutomationCore:
    template = {"__prefect_kind": "jinja", "template": "{{ event.payload.problem }}"}
    return AutomationCore(
        name=f"{PREFIX}{problem} has drifted, retrain it",
        description=f"Starts retrain/{problem} when the flow monitor says that documents or "
        "predictions no longer look like what the Production model learned from.",
        trigger=EventTrigger(
            expect={event_name("problem.drifted")},
            match={"prefect.resource.id": resource_id(problem)},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[RunDeployment(deployment_id=deployment, parameters={"problem": template})],
    )


def _mark_vanished(operation: OperationSettings) -> AutomationCore:
    return AutomationCore(
        name=f"{PREFIX}a run is silent, it has crashed",
        description="A run whose process or machine vanished sends no heartbeat any more.",
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *_events(_SILENT_STATES)},
            match=_RUNS,
            match_related=_tag(OURS),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=operation.vanished_seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"The run was silent for {operation.vanished_seconds:.0f} s: its process "
                "or machine vanished.",
            )
        ],
    )


def _mark_unstarted(operation: OperationSettings) -> AutomationCore:
    return AutomationCore(
        name=f"{PREFIX}a run does not begin, it has crashed",
        description="A run that a worker took, and that never said it is running: the worker or "
        "the new machine vanished before. It would keep all later runs waiting.",
        trigger=EventTrigger(
            after=_events(_STARTING_STATES),
            expect={_HEARTBEAT, *_events(("Running", *_SILENT_STATES, *_WAITING_STATES))},
            match=_RUNS,
            match_related=_tag(OURS),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=operation.start_seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"The run did not begin within {operation.start_seconds:.0f} s.",
            )
        ],
    )


def _restart(operation: OperationSettings) -> AutomationCore:
    return AutomationCore(
        name=f"{PREFIX}a run has crashed, start it again",
        description=f"Only deployments with the tag {RESTART}, each at most once in "
        f"{operation.restart_seconds:.0f} s, with the deployment's own parameters.",
        trigger=EventTrigger(
            expect=_events(("Crashed",)),
            match=_RUNS,
            match_related=_tag(RESTART),
            for_each={"related:deployment:prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(seconds=operation.restart_seconds),
        ),
        actions=[RunDeployment(source="inferred", deployment_id=None)],
    )


def _tell(told: _Told) -> AutomationCore:
    return AutomationCore(
        name=f"{PREFIX}a run{told.of} has failed, crashed or is late, tell people",
        description=f"Whom to tell says {told.setting}; without it, only the event feed.",
        trigger=EventTrigger(
            expect=_events(_UNWELCOME_STATES),
            match=_RUNS,
            match_related=told.related,
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            _notify(told.block, "{{ flow_run.name }}: {{ flow_run.state.name }}", _BODY),
        ],
    )


def _ask(told: _Told) -> AutomationCore:
    return AutomationCore(
        name=f"{PREFIX}a version{told.of} waits for a person, tell people",
        description=f"Whom to tell says {told.setting}; without it, only the event feed.",
        trigger=EventTrigger(
            expect={event_name("version.waiting")},
            match={"prefect.resource.id": told.resources},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            _notify(
                told.block,
                "{{ event.payload.problem }} version {{ event.payload.version }}: yes or no?",
                "{{ event.payload.reason }}",
            )
        ],
    )


def _notify(notification: UUID | None, subject: str, body: str) -> ActionTypes:
    if notification is None:
        return DoNothing()
    return SendNotification(block_document_id=notification, subject=subject, body=body)


def _events(states: tuple[str, ...]) -> set[str]:
    return {f"prefect.flow-run.{state}" for state in states}


def _tag(name: str) -> dict[str, str | list[str]]:
    return {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{name}"}


def apply_automations(client: SyncPrefectClient, wanted: list[AutomationCore]) -> None:
    """Create, change and remove automations until those of this project are the wanted ones.

    One that is as wanted is left alone: changing it would make Prefect forget which runs it is
    waiting for.
    """
    found = {
        automation.name: automation
        for automation in client.read_automations()
        if automation.name.startswith(PREFIX)
    }
    for automation in wanted:
        existing = found.pop(automation.name, None)
        if existing is None:
            client.create_automation(automation)
        elif _content(existing) != _content(automation):
            client.update_automation(existing.id, automation)
    for leftover in found.values():
        client.delete_automation(leftover.id)


def _content(automation: AutomationCore) -> object:
    # Not as JSON: there the events of a trigger are a list, in the accidental order of a set.
    return AutomationCore.model_validate(automation.model_dump()).model_dump()
