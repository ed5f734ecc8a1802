"""Automations that are as wanted stay as they are: a changed one forgets whom it waits for."""

from __future__ import annotations

from random import Random
from uuid import uuid4

from prefect.automations import AutomationCore

from deployments.automations import apply_automations, automations
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
    wanted = automations({"reviews": uuid4()}, OperationSettings(), None)
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
    patient = automations({"reviews": uuid4()}, OperationSettings(vanished_seconds=100), None)
    hasty = automations({}, OperationSettings(vanished_seconds=50), None)
    server = Server(
        [_Stored.model_validate(one.model_dump() | {"id": uuid4()}) for one in patient[1:]]
    )

    apply_automations(server, hasty)

    assert server.changed == ["perennial: a run is silent, it has crashed"]


class _Stored(AutomationCore):
    id: object
