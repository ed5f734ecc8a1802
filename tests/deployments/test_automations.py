"""Automations that are as wanted stay as they are: a changed one forgets whom it waits for."""

from __future__ import annotations

from random import Random
from uuid import uuid4

from prefect.automations import AutomationCore
from prefect.events import EventTrigger, Resource

from deployments.automations import apply_automations, automations
from deployments.blocks import Notifications
from perennial.settings import OperationSettings


class Server:
    """What Prefect's server has stored, and what it is asked to change."""

    def __init__(self, stored: list[AutomationCore]) -> None:
        self.stored, self.changed = stored, list[str]()

    def read_automations(self) -> list[AutomationCore]:
        return self.stored

    def update_automation(self, _: object, automation: AutomationCore) -> None:
        self.changed.append(automation.name)


def test_another_order_of_the_events_is_no_change() -> None:
    wanted = automations({"reviews": uuid4()}, OperationSettings(), Notifications())
    random = Random(0)

    for _ in range(20):
        stored = []
        for automation in wanted:
            content = automation.model_dump(mode="json")
            for events in ("after", "expect"):
                random.shuffle(content["trigger"][events])
            stored.append(_Stored.model_validate(content | {"id": uuid4()}))
        server = Server(stored)

        apply_automations(server, wanted)

        assert server.changed == []


def test_another_patience_is_a_change() -> None:
    patient = automations(
        {"reviews": uuid4()}, OperationSettings(vanished_seconds=100), Notifications()
    )
    hasty = automations({}, OperationSettings(vanished_seconds=50), Notifications())
    server = Server(
        [_Stored.model_validate(one.model_dump() | {"id": uuid4()}) for one in patient[1:]]
    )

    apply_automations(server, hasty)

    assert server.changed == ["perennial: a run is silent, it has crashed"]


def test_whoever_has_an_address_of_their_own_is_told_there_and_nobody_else_is() -> None:
    general, own = uuid4(), uuid4()
    names = ("reviews", "spam", "tickets")
    wanted = automations(
        {name: uuid4() for name in names},
        OperationSettings(),
        Notifications(general, {"spam": own, "gone": uuid4()}),
    )

    told = {name: _told(wanted, name) for name in names}

    assert told == {"reviews": [general] * 2, "spam": [own] * 2, "tickets": [general] * 2}


def test_with_addresses_for_all_problems_nobody_else_is_told() -> None:
    own = {"reviews": uuid4(), "spam": uuid4()}
    wanted = automations(own, OperationSettings(), Notifications(uuid4(), own))

    assert {name: _told(wanted, name) for name in own} == {name: [own[name]] * 2 for name in own}


def _told(wanted: list[AutomationCore], problem: str) -> list[object]:
    """Return whom Prefect would tell of a failed run of a problem, and of a version that waits."""
    run = [
        Resource({"prefect.resource.id": "prefect.tag.perennial", "prefect.resource.role": "tag"}),
        Resource(
            {
                "prefect.resource.id": f"prefect.deployment.{uuid4()}",
                "prefect.resource.role": "deployment",
                "prefect.resource.name": problem,
            }
        ),
    ]
    question = Resource({"prefect.resource.id": f"perennial.problem.{problem}"})
    found: list[object] = []
    for each in wanted:
        trigger = each.trigger
        assert isinstance(trigger, EventTrigger)
        related = trigger.match_related
        specifications = related if isinstance(related, list) else [related]
        if each.name.endswith("is late, tell people"):
            is_told = all(one.includes(run) for one in specifications)
        elif each.name.endswith("for a person, tell people"):
            is_told = trigger.match.matches(question)
        else:
            continue
        if is_told:
            found += [action.block_document_id for action in each.actions]
    return found


class _Stored(AutomationCore):
    id: object
