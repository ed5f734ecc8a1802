"""What stands in for kubelets: a pod that has a node is ready at once, and gone once deleted."""

from __future__ import annotations

import json
import ssl
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import httpx

from tools.cluster.control_plane import Cluster

_EVERY_SECONDS = 0.2


def client(cluster: Cluster) -> httpx.Client:
    """Return a client of the API server, as its administrator."""
    content = json.loads(cluster.kubeconfig.read_text())
    server, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    return httpx.Client(
        base_url=server["server"],
        headers={"Authorization": f"Bearer {user['token']}"},
        verify=ssl.create_default_context(cafile=server["certificate-authority"]),
    )


class Kubelets:
    """Says of all pods with a node that they are ready, until it is left."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="kubelets")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            with client(self._cluster) as api:
                while not self._ended.wait(_EVERY_SECONDS):
                    self._look(api)
        except Exception as error:  # noqa: BLE001 - the test that leaves it raises it
            self._error = error

    def _look(self, api: httpx.Client) -> None:
        found = api.get("/api/v1/pods", params={"fieldSelector": "spec.nodeName!="})
        for pod in found.raise_for_status().json()["items"]:
            about = pod["metadata"]
            path = f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}"
            if "deletionTimestamp" in about:
                done = api.delete(path, params={"gracePeriodSeconds": 0})
            elif pod["status"]["phase"] == "Pending":
                done = api.patch(
                    f"{path}/status",
                    content=json.dumps({"status": _ready()}),
                    headers={"Content-Type": "application/strategic-merge-patch+json"},
                )
            else:
                continue
            # It may have gone since it was listed.
            if done.status_code != httpx.codes.NOT_FOUND:
                done.raise_for_status()


def _ready() -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now}
        for kind in ("Initialized", "ContainersReady", "Ready")
    ]
    return {"phase": "Running", "startTime": now, "conditions": conditions}
