"""What people notice while parts break: ``python -m tools.cluster.machines.chaos``.

In the local overlay a client goes on classifying through the Service. For each fault the table says
how many of its requests failed, after how many seconds every part was ready again, and what
Prometheus with our rules alerts of.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from perennial.errors import OutsideError
from perennial.settings import PROJECT
from tools.cluster import programs
from tools.cluster.control_plane import Cluster
from tools.cluster.machines.alerts import Alerts, prometheus
from tools.cluster.machines.cluster import Machines, another, machines
from tools.cluster.machines.faults import FAULTS, Fault
from tools.cluster.machines.local import (
    OVERLAY,
    SPACE,
    add_images,
    add_volume,
    bring_up,
    do,
    take_down,
)

_LOAD = PROJECT / "k8s" / "scripts" / "load.py"
_RECOVER_SECONDS = 420.0
# How long the client goes on when everything is ready again.
_AFTER_SECONDS = 10.0


@dataclass(frozen=True)
class Outcome:
    """What a fault did.

    Attributes
    ----------
    answered, failed : int
        Requests.
    seconds : float
        From its beginning until every part was ready.
    alerts : set of str
        The alerts that it brought.
    """

    answered: int
    failed: int
    seconds: float
    alerts: set[str]


def main() -> None:
    """Print the table; fail if a fault was not recovered from."""
    outcomes: dict[str, Outcome] = {}
    try:
        with (
            # On a disk: what pods write is more than memory should hold.
            tempfile.TemporaryDirectory(dir=programs.cache()) as folder,
            machines(Path(folder)) as live,
            _overlay(live, Path(folder)) as alerts,
        ):
            for fault in _chosen(sys.argv[1:]):
                print(f"{fault.name} ...", file=sys.stderr, flush=True)
                outcomes[fault.name] = observe(fault, alerts)
    except OutsideError as error:
        sys.exit(str(error))
    finally:
        Console().print(to_table(outcomes))


def _chosen(words: list[str]) -> list[Fault]:
    """Return the faults whose names have one of the words, or all."""
    return [each for each in FAULTS if not words or any(word in each.name for word in words)]


@contextmanager
def _overlay(live: Machines, folder: Path) -> Iterator[Alerts]:
    """Bring the overlay up on one node, which keeps all that has a disk, and spread it over two."""
    with ExitStack() as running:
        add_images(live.node, folder)
        add_volume(live, "snapshots")
        bring_up(live, folder)
        do(live.cluster, "create", "configmap", "load", f"--from-file={_LOAD}")
        homes = [folder / name for name in ("prometheus", "node-2", "for-node-2")]
        for home in homes:
            home.mkdir()
        both = running.enter_context(another(live, homes[1]))
        running.callback(take_down, both)
        add_images(both.nodes[-1], homes[2])
        do(live.cluster, "rollout", "restart", "deployment/serving")
        do(live.cluster, "rollout", "status", "deployment/serving", "--timeout=180s")
        yield running.enter_context(prometheus(both, homes[0]))


def _start_load(live: Machines) -> None:
    """Start the client, on the node that stays."""
    pod = YAML(typ="safe").load(OVERLAY / "load" / "pod.yaml")
    pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": live.node.space.name}
    live.cluster.apply("--filename=-", given=json.dumps(pod))
    do(live.cluster, "wait", "--for=condition=Ready", "pod/load", "--timeout=60s")


def observe(fault: Fault, alerts: Alerts) -> Outcome:
    """Let something break while a client classifies; return what it did.

    Parameters
    ----------
    fault : Fault
        What breaks.
    alerts : Alerts
        Prometheus beside the local overlay.

    Raises
    ------
    OutsideError
        If not every part is ready again in time.
    """
    live = alerts.live
    _start_load(live)
    before = alerts.names()
    started = time.monotonic()
    fault.begin(live)
    seen = _look(alerts, started + fault.seconds)
    if fault.end is not None:
        fault.end(live)
    seen |= _until_ready(fault, alerts)
    seconds = time.monotonic() - started
    seen |= _look(alerts, time.monotonic() + _AFTER_SECONDS)
    answered, failed = _end_load(live.cluster)
    return Outcome(answered, failed, seconds, seen - before)


def _look(alerts: Alerts, until: float) -> set[str]:
    """Return the alerts that there are until a moment."""
    seen = alerts.names()
    while time.monotonic() < until:
        time.sleep(1)
        seen |= alerts.names()
    return seen


def _until_ready(fault: Fault, alerts: Alerts) -> set[str]:
    """Wait until each Deployment has all its pods; return the alerts meanwhile."""
    deadline = time.monotonic() + _RECOVER_SECONDS
    seen = alerts.names()
    # Kubernetes has not noticed yet.
    while not _missing(fault, alerts.live) and time.monotonic() < deadline - _RECOVER_SECONDS + 5:
        time.sleep(0.2)
    while missing := _missing(fault, alerts.live):
        if time.monotonic() > deadline:
            raise OutsideError(f"{fault.name}: {', '.join(missing)} do not come back.")
        seen |= alerts.names()
        time.sleep(0.5)
    return seen


def _missing(fault: Fault, live: Machines) -> list[str]:
    """Return what is not as it should be: Deployments, and what the fault says."""
    found = json.loads(do(live.cluster, "get", "deployments", "--output=json"))["items"]
    missing = [each["metadata"]["name"] for each in found if not is_whole(each)]
    return missing + (fault.lacking(live) if fault.lacking is not None else [])


def is_whole(deployment: dict[str, dict[str, int]]) -> bool:
    """Return whether a Deployment has all its pods, ready, and no others."""
    wanted, status = deployment["spec"]["replicas"], deployment["status"]
    return (
        status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
    )


def _end_load(cluster: Cluster) -> tuple[int, int]:
    """End the client; return how many requests were answered, and how many failed."""
    do(cluster, "exec", "load", "--", "touch", "/tmp/end")  # noqa: S108 - in the pod
    cluster.kubectl(
        "wait", "--for=jsonpath={.status.containerStatuses[0].state.terminated}", "pod/load",
        f"--namespace={SPACE}", "--timeout=60s",
    )  # fmt: skip
    said = do(cluster, "logs", "load")
    do(cluster, "delete", "pod", "load", "--wait")
    found = re.search(r"(\d+) requests answered, (\d+) failed", said)
    if found is None:
        raise OutsideError(f"The client says: {said}")
    return int(found[1]), int(found[2])


def to_table(outcomes: dict[str, Outcome]) -> Table:
    """Return outcomes as a table."""
    table = Table("fault", "answered", "failed", "seconds until all was ready", "alerts")
    for name, each in outcomes.items():
        table.add_row(
            name, f"{each.answered:,}", str(each.failed), f"{each.seconds:.0f}",
            ", ".join(sorted(each.alerts)) or "none",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
