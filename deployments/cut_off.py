"""Runs that were cut off with the system: they end as crashed, and may be started again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from perennial.status.runs import TAG, ask, pages, prefect_client

_UNDER_WAY = ["RUNNING", "PENDING", "CANCELLING"]
_MESSAGE = "The system was ended in the middle of the run."


def end_cut_off(api: str, before: datetime) -> int:
    """Mark runs as crashed whose worker and processes ended with the system; return how many.

    Nobody else says so: the server that would notice their silence was ended as well.

    Parameters
    ----------
    api : str
        Address of Prefect's API.
    before : datetime
        When the system was started again: what got its state later is under way.

    Raises
    ------
    OutsideError
        If Prefect does not answer.
    """
    with prefect_client(api) as client:
        cut_off = list(_cut_off(client, before))
        for run in cut_off:
            state = {"type": "CRASHED", "name": "Crashed", "message": _MESSAGE}
            path = f"/flow_runs/{run['id']}/set_state"
            ask(client, "POST", path, {"state": state, "force": True})
    return len(cut_off)


def _cut_off(client: Any, before: datetime) -> Iterator[dict[str, Any]]:
    wanted = {
        "deployments": {"tags": {"all_": [TAG]}},
        "flow_runs": {"state": {"type": {"any_": _UNDER_WAY}}},
    }
    for run in pages(client, "/flow_runs/filter", wanted):
        since = (run.get("state") or {}).get("timestamp")
        if since is not None and datetime.fromisoformat(since) < before:
            yield run
