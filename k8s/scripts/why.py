"""Say why pods are not ready: ``kubectl get pods,events -o json | python3 k8s/scripts/why.py``.

First what each pod waits for, in the words of Kubernetes, then the last warnings in the order in
which they were seen.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

WARNINGS = 20
Object = dict[str, Any]


def reasons(pod: Object) -> Iterator[str]:
    """Yield what keeps a pod from being ready."""
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"no node: {_sentence(condition)}"
    for container in (
        *status.get("initContainerStatuses", ()),
        *status.get("containerStatuses", ()),
    ):
        name, state = container["name"], container.get("state", {})
        if "waiting" in state:
            yield f"{name} waits: {_sentence(state['waiting'])}"
        for ended in (state.get("terminated"), container.get("lastState", {}).get("terminated")):
            if ended and ended["exitCode"]:
                yield f"{name} ended with {ended['exitCode']}: {_sentence(ended)}"


def _sentence(part: Object) -> str:
    return ": ".join(part[key].strip() for key in ("reason", "message") if part.get(key))


def is_well(pod: Object) -> bool:
    """Return whether a pod is ready, or has done its work."""
    status = pod.get("status", {})
    ready = (each["status"] for each in status.get("conditions", ()) if each["type"] == "Ready")
    return status.get("phase") == "Succeeded" or "True" in ready


def seen(event: Object) -> datetime:
    """Return when an event was seen last; who wrote it decides which field says so."""
    series = event.get("series") or {}
    text = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    return datetime.fromisoformat(text)


def report(items: list[Object]) -> Iterator[str]:
    """Yield the lines about pods and events."""
    for pod in items:
        if pod["kind"] == "Pod" and not is_well(pod):
            phase = pod.get("status", {}).get("phase", "Unknown")
            found = list(reasons(pod)) or ["Kubernetes gives no reason"]
            yield f"pod {pod['metadata']['name']} ({phase}): {'; '.join(found)}"
    events = [each for each in items if each["kind"] == "Event" and each.get("type") == "Warning"]
    for event in sorted(events, key=seen)[-WARNINGS:]:
        about = event["involvedObject"]
        yield f"{seen(event):%H:%M:%S} {about['kind']} {about['name']}: {_sentence(event)}"


def main() -> None:
    """Report on standard output."""
    for line in report(json.load(sys.stdin)["items"]):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
