"""The account on AWS, against moto's stand-in: up is repeatable, down leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tools.cloud import _ROLES, Cloud

REGION = "eu-central-1"
BUCKETS = ["perennial-production-123456789012", "perennial-staging-123456789012"]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Cloud(REGION, "team/perennial")


def _everything() -> dict[str, list[str]]:
    def client(service: str):
        return boto3.client(service, region_name=REGION)

    return {
        "buckets": sorted(bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]),
        "repositories": sorted(
            found["repositoryName"]
            for found in client("ecr").describe_repositories()["repositories"]
        ),
        "secrets": sorted(
            secret["Name"] for secret in client("secretsmanager").list_secrets()["SecretList"]
        ),
        "roles": sorted(role["RoleName"] for role in client("iam").list_roles()["Roles"]),
        "providers": [
            found["Arn"]
            for found in client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
        ],
    }


def test_up_twice_is_up_once(cloud: Cloud) -> None:
    cloud.up()
    once = _everything()
    cloud.up()

    assert _everything() == once
    assert once["buckets"] == BUCKETS
    assert once["repositories"] == ["perennial-serving", "perennial-worker"]
    assert len(once["secrets"]) == 4
    assert once["roles"] == sorted(role.name for role in _ROLES)


def test_up_again_keeps_the_secrets_that_people_have_written(cloud: Cloud) -> None:
    cloud.up()
    secrets = boto3.client("secretsmanager", region_name=REGION)
    secrets.put_secret_value(SecretId="perennial/production/serving", SecretString='{"A": "b"}')
    cloud.up()

    kept = secrets.get_secret_value(SecretId="perennial/production/serving")
    assert kept["SecretString"] == '{"A": "b"}'


def test_down_leaves_nothing_and_says_what_it_removed(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.up()
    s3 = boto3.client("s3", region_name=REGION)
    # moto reads a denial and not its condition, which is to come without TLS.
    s3.delete_bucket_policy(Bucket=BUCKETS[0])
    for content in (b"old", b"new"):
        s3.put_object(Bucket=BUCKETS[0], Key="data/snapshots/x", Body=content)
    capsys.readouterr()

    cloud.down()
    said = capsys.readouterr().out

    assert not any(_everything().values())
    for name in (*BUCKETS, "perennial-serving", "perennial/staging/worker", "perennial-secrets"):
        assert f" {name}" in said
    cloud.down()
    assert capsys.readouterr().out == ""


def test_buckets_keep_versions_encrypted_and_private(cloud: Cloud) -> None:
    cloud.up()
    s3 = boto3.client("s3", region_name=REGION)
    for bucket in BUCKETS:
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert all(block.values())


@pytest.mark.parametrize("role", _ROLES, ids=lambda role: role.name)
def test_no_role_may_do_more_than_its_work(cloud: Cloud, role) -> None:
    policy = json.loads(cloud.policy(role))

    for statement in policy["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            assert "*" not in action
            # Deleting versions is for people: a run that is taken over cannot destroy the
            # snapshots. It may delete the small files that it has merged, of which versions stay.
            assert "Delete" not in action or action == "s3:DeleteObject"
        if statement["Resource"] == "*":
            assert statement["Action"] == "ecr:GetAuthorizationToken"
        else:
            assert "perennial" in statement["Resource"]


def test_only_the_environment_of_a_workflow_may_take_its_role(cloud: Cloud) -> None:
    cloud.up()
    iam = boto3.client("iam", region_name=REGION)

    trust = iam.get_role(RoleName="perennial-deploy-production")["Role"]

    condition = trust["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]
    subject = condition["token.actions.githubusercontent.com:sub"]
    assert subject == "repo:team/perennial:environment:production"


def test_a_bucket_of_somebody_else_is_not_taken_for_ours(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cloud.account == "123456789012"
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")
    where = {"LocationConstraint": REGION}
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=BUCKETS[1], CreateBucketConfiguration=where)
    monkeypatch.delenv("MOTO_ACCOUNT_ID")

    with pytest.raises(ClientError):
        cloud.up()
