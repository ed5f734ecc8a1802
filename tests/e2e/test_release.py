"""The way to a cluster and back, against real servers where there are some.

A registry of images (Debian's), moto for AWS, the real `aws` and `kubectl`. For Docker's Buildx,
eksctl and helm small programs stand in, which do what the scripts rely on.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from ruamel.yaml import YAML

from perennial import __version__
from perennial.settings import PROJECT
from tests.conftest import free_port, wait_until
from tests.e2e.small_service import promote_small, serving
from tests.small_models import GOOD
from tools.manifests.kubectl import kubectl
from tools.programs import require

pytestmark = pytest.mark.e2e

REGION = "eu-central-1"
_BUILDX = Path(__file__).parent / "stand_ins" / "docker.py"
# User and password that moto's ECR gives out, as `htpasswd -B` writes them.
_ACCOUNT = "AWS:$2b$04$a61oL3v0/TbnCROzSz8co.Kmc3BHgrR0IH.p9DsHx7F5d.ZGswEj2\n"
_PASSWORD = "123456789012-auth-token"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An account on AWS that moto plays, for boto3 and for the command `aws`."""
    if shutil.which("aws") is None:
        pytest.skip("the command aws is not installed")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield
    server.stop()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that come before those of the machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _make(
    target: str, folder: Path = PROJECT, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", target],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture
def images(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a registry of images, which asks for the password of ECR."""
    (tmp_path / "htpasswd").write_text(_ACCOUNT)
    port = free_port()
    configuration = tmp_path / "registry.yaml"
    content = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "images")}},
        "auth": {"htpasswd": {"realm": "ecr", "path": str(tmp_path / "htpasswd")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    with configuration.open("w") as file:
        YAML(typ="safe").dump(content, file)
    server = subprocess.Popen(
        [require("docker-registry"), "serve", configuration],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    account = ("AWS", _PASSWORD)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=account) as client:

        def answers() -> bool:
            try:
                return client.get("/v2/").status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, "the registry of images answers")
            yield client
        finally:
            server.terminate()
            server.wait(timeout=10)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with what pushes images and makes a cluster, its environment installed."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("k8s", "Makefile", "Dockerfile", "requirements-dev.txt", "perennial"):
        subprocess.run(["cp", "-r", str(PROJECT / name), str(folder)], check=True)
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (["init"], ["add", "."], [*author, "commit", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    (folder / ".venv" / "bin").mkdir(parents=True)
    # moto knows no identities of pods.
    _write_program(
        folder / ".venv" / "bin" / "python",
        f'#!/bin/sh\ncase "$*" in *" identities") exit;; esac\n'
        f'PYTHONPATH={PROJECT} exec {sys.executable} "$@"\n',
    )
    (folder / ".venv" / "dev").touch()
    return folder


def test_what_is_pushed_is_found_by_its_digest_in_a_real_registry_by_a_stand_in_for_buildx(
    aws: None, images: httpx.Client, programs: Path, checkout: Path
) -> None:
    _write_program(programs / "docker", f'#!/bin/sh\nexec {sys.executable} {_BUILDX} "$@"\n')
    address = f"{images.base_url.host}:{images.base_url.port}"

    first = _make("push", checkout, REGISTRY=address, EXTRAS="sentences embeddings")
    assert first.returncode == 0, first.stderr
    pushed = _make("digests", checkout).stdout.split()

    assert len(pushed) == 2
    for name, reference in zip(("serving", "worker"), pushed, strict=True):
        where, digest = reference.split("@")
        assert where == f"{address}/perennial-{name}"
        manifest = images.get(
            f"/v2/perennial-{name}/manifests/{digest}", headers={"Accept": _MANIFEST}
        ).raise_for_status()
        assert f"sha256:{hashlib.sha256(manifest.content).hexdigest()}" == digest
        configuration = images.get(
            f"/v2/perennial-{name}/blobs/{manifest.json()['config']['digest']}"
        ).json()
        built = configuration["config"]["Labels"]
        assert built["target"] == name
        assert built["BASE"].startswith("docker.io/library/python:3.11-slim@sha256:")
        assert len(built["REVISION"]) == 40
        assert built["VERSION"] == __version__
        assert built["EXTRAS"] == "sentences embeddings"
        assert built["attested"] == "--sbom=true --provenance=mode=max"

    # Tags of ECR never move: who pushes a commit again gets another one.
    second = int(time.time())
    wait_until(lambda: int(time.time()) > second, "the next second")
    assert _make("push", checkout, REGISTRY=address).returncode == 0
    assert len(images.get("/v2/perennial-serving/tags/list").json()["tags"]) == 2


def test_a_cluster_comes_and_goes_with_moto_for_aws_and_stand_ins_for_eksctl_and_helm(
    aws: None, programs: Path, checkout: Path, tmp_path: Path
) -> None:
    network = boto3.client("ec2", region_name=REGION).describe_subnets()["Subnets"]
    subnets = ",".join(subnet["SubnetId"] for subnet in network[:2])
    create = (
        f"aws eks create-cluster --name perennial --region {REGION}"
        " --role-arn arn:aws:iam::123456789012:role/eks"
        f" --resources-vpc-config subnetIds={subnets} --tags project=perennial"
    )
    delete = f"aws eks delete-cluster --name perennial --region {REGION}"
    _write_program(
        programs / "eksctl",
        f'#!/bin/sh\necho "$*" >> {tmp_path}/eksctl\n'
        f'case "$1" in create) cp "$4" {tmp_path}/cluster.yaml; {create};; '
        f"delete) {delete};; esac > /dev/null\n",
    )
    _write_program(
        programs / "helm",
        f'#!/bin/sh\ncp "$(echo "$*" | sed "s/.*--values //")" {tmp_path}/values-$3.yaml\n',
    )
    real = kubectl()
    _write_program(
        programs / "kubectl",
        f'#!/bin/sh\n[ "$1" = config ] && exec {real} "$@"\n'
        f'echo "$*" >> {tmp_path}/kubectl\n'
        f'[ "$*" != "apply -f -" ] || {{ echo ---; cat; }} >> {tmp_path}/applied.yaml\n',
    )
    ours = {"GITHUB_REPOSITORY": "team/perennial"}

    up = _make("eks-up", checkout, **ours)
    assert up.returncode == 0, up.stderr
    applied = list(YAML(typ="safe").load_all((tmp_path / "applied.yaml").read_text()))
    names = [(each["kind"], each["metadata"]["name"]) for each in applied if each]
    assert ("Application", "perennial-staging") in names
    assert ("Application", "perennial-production") in names
    assert ("AppProject", "perennial") in names
    assert names.count(("RoleBinding", "deploy-built-in")) == 2
    balancer = YAML(typ="safe").load(tmp_path / "values-aws-load-balancer-controller.yaml")
    assert balancer["region"] == REGION
    # moto's clusters have no network, and `aws` prints that as None.
    assert balancer["vpcId"] == "None"
    assert "ACCOUNT" not in (tmp_path / "cluster.yaml").read_text()

    assert _make("kubeconfig", checkout).returncode == 0
    shown = subprocess.run(
        [kubectl(), "config", "view", "--minify"], capture_output=True, text=True, check=True
    )
    (user,) = YAML(typ="safe").load(shown.stdout)["users"]
    assert {"get-token", "perennial"} <= set(user["user"]["exec"]["args"])

    asked = _make("eks-down", checkout, **ours)
    assert asked.returncode
    assert "Say YES=perennial" in asked.stderr
    down = _make("eks-down", checkout, YES="perennial", **ours)
    assert down.returncode == 0, down.stderr
    for name in ("cluster perennial", "perennial-serving", "perennial/staging/worker"):
        assert re.search(rf"^removed .*{name}\b", down.stdout, re.MULTILINE)
    assert f"Nothing tagged project=perennial is left in {REGION}." in down.stdout


def test_the_smoke_test_of_a_deployment_asks_a_real_service(
    tmp_path: Path, snippets: list[tuple[str, int]]
) -> None:
    data = promote_small(tmp_path / "data", snippets[:400])
    key = "a-key-of-the-workflow"
    environment = {
        **os.environ,
        "DATA_DIR": str(data),
        "SERVING_LOG_SHARE": "0",
        "SERVING_API_KEY_HASHES": hashlib.sha256(key.encode()).hexdigest(),
    }
    request = f'{{"model": "reviews", "inputs": ["{GOOD}"]}}'
    with serving(environment, tmp_path / "service.log") as client:
        where = {"ADDRESS": str(client.base_url), "SMOKE_REQUEST": request, "SMOKE_TRIES": "0"}
        right = _make("smoke", API_KEY=key, **where)
        wrong = _make("smoke", API_KEY="another", **where)

    assert right.returncode == 0, right.stderr
    assert right.stdout.strip() == "positive by version 1"
    assert wrong.returncode
    assert "401" in wrong.stderr
