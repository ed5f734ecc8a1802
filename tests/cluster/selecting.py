"""Which pods the server finds by the selectors of policies and services."""

from __future__ import annotations

from typing import Any

from tools.cluster.control_plane import Cluster


def policies_of(cluster: Cluster, space: str, pod: str) -> set[str]:
    """Return the network policies that select a pod."""
    return {
        policy["metadata"]["name"]
        for policy in cluster.get("networkpolicies", f"--namespace={space}")
        if selects(cluster, space, policy["spec"]["podSelector"], pod)
    }


def selects(cluster: Cluster, space: str, selector: dict[str, Any], pod: str) -> bool:
    """Return whether the server finds a pod by a selector."""
    terms = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    terms += [
        f"{rule['key']} {rule['operator'].lower()} ({','.join(rule['values'])})"
        for rule in selector.get("matchExpressions", ())
    ]
    found = cluster.get("pods", f"--namespace={space}", f"--selector={','.join(terms)}")
    return pod in {each["metadata"]["name"] for each in found}
