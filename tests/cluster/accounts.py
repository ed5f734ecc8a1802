"""Who the pods of ours are to the API server: accounts with their tokens."""

from __future__ import annotations

import json
from pathlib import Path

from kubernetes_asyncio.client import Configuration

from tools.cluster.control_plane import Cluster


def _token(cluster: Cluster, account: str, namespace: str) -> str:
    done = cluster.kubectl("create", "token", account, f"--namespace={namespace}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def configuration(cluster: Cluster, account: str, namespace: str) -> Configuration:
    """Return how a client is that has the token of an account, as pods have it."""
    server = json.loads(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    bearer = f"Bearer {_token(cluster, account, namespace)}"
    found = Configuration(host=server["server"], api_key={"BearerToken": bearer})
    found.ssl_ca_cert = server["certificate-authority"]
    return found


def kubeconfig(cluster: Cluster, account: str, namespace: str, path: Path) -> Path:
    """Write the configuration of a program that has the token of an account."""
    content = json.loads(cluster.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": _token(cluster, account, namespace)}
    content["contexts"][0]["context"]["namespace"] = namespace
    path.write_text(json.dumps(content))
    return path
