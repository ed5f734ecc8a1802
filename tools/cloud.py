"""What the account on AWS needs besides the cluster: ``python -m tools.cloud up|identities|down``.

`up` creates what is not there yet and changes nothing else, so it can be run again. `down` removes
all of it, the data too, and says each thing that it removed. `identities` ties roles to service
accounts of the cluster, which must be there by then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template
from typing import Any

import boto3
import typer
from botocore.exceptions import ClientError
from rich.console import Console

_POLICIES = Path(__file__).parent.parent / "k8s" / "iam"
_CLUSTER = "perennial"
_ENVIRONMENTS = ("staging", "production")
_IMAGES = ("perennial-serving", "perennial-worker")
_SECRETS = ("serving", "worker")
_TAGS = [{"Key": "project", "Value": "perennial"}]
_GITHUB = "token.actions.githubusercontent.com"
_THERE = {
    "BucketAlreadyOwnedByYou",
    "EntityAlreadyExists",
    "RepositoryAlreadyExistsException",
    "ResourceExistsException",
    "ResourceInUseException",
}
_GONE = {
    "NoSuchBucket",
    "NoSuchEntity",
    "RepositoryNotFoundException",
    "ResourceNotFoundException",
}
_KEEP_IMAGES = {
    "rules": [
        {
            "rulePriority": 1,
            "description": "What no tag names any more goes after a week",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 7,
            },
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 2,
            # A release is four of them: index, image, attestation, signature.
            "description": "The last fifty releases stay, for rollbacks and for what runs",
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": 200,
            },
            "action": {"type": "expire"},
        },
    ]
}

_console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Role:
    """A role, the policy file it gets, and who may take it.

    Attributes
    ----------
    name : str
        Its name on AWS.
    policy : str
        A file of ``k8s/iam``, without its ending.
    environment : str
        ``staging`` or ``production``; for both the first one.
    account : tuple of str or None
        Namespace and service account that get the role; None for a role of GitHub Actions.
    """

    name: str
    policy: str
    environment: str
    account: tuple[str, str] | None = None

    @property
    def github_environment(self) -> str:
        """The environment of GitHub Actions in which a workflow may take the role."""
        return "images" if self.policy == "images" else self.environment


_ROLES = (
    *(
        Role(f"perennial-runs-{name}", "runs", name, (f"perennial-{name}", "run"))
        for name in _ENVIRONMENTS
    ),
    Role("perennial-secrets", "secrets", "staging", ("external-secrets", "external-secrets")),
    Role("perennial-images", "images", "staging"),
    *(Role(f"perennial-deploy-{name}", "deploy", name) for name in _ENVIRONMENTS),
)


@contextmanager
def _unless(codes: set[str]) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


@dataclass(frozen=True)
class Cloud:
    """One account in one region.

    Parameters
    ----------
    region : str
        Where everything is.
    repository : str
        ``OWNER/NAME`` on GitHub, whose workflows push and deploy.
    """

    region: str
    repository: str

    @cached_property
    def account(self) -> str:
        """The number of the account."""
        return str(boto3.client("sts", region_name=self.region).get_caller_identity()["Account"])

    def up(self) -> None:
        """Create what is not there."""
        for environment in _ENVIRONMENTS:
            self._create_bucket(self._bucket(environment))
            for name in _SECRETS:
                self._create_secret(f"perennial/{environment}/{name}")
        for image in _IMAGES:
            self._create_repository(image)
        self._trust_github()
        for role in _ROLES:
            self._create_role(role)

    def identities(self) -> None:
        """Give the service accounts of the cluster their roles."""
        for role in _ROLES:
            if role.account is None:
                continue
            namespace, account = role.account
            with _unless(_THERE):
                self._client("eks").create_pod_identity_association(
                    clusterName=_CLUSTER,
                    namespace=namespace,
                    serviceAccount=account,
                    roleArn=f"arn:aws:iam::{self.account}:role/{role.name}",
                )
                _console.print(f"created identity {namespace}/{account}: {role.name}")

    def down(self) -> None:
        """Remove everything; what was never there is passed over."""
        for role in _ROLES:
            self._removed(f"role {role.name}", self._remove_role, role.name)
        provider = f"arn:aws:iam::{self.account}:oidc-provider/{_GITHUB}"
        self._removed(f"identity provider {_GITHUB}", self._remove_provider, provider)
        for image in _IMAGES:
            self._removed(f"repository {image}", self._remove_repository, image)
        for environment in _ENVIRONMENTS:
            for name in _SECRETS:
                secret = f"perennial/{environment}/{name}"
                self._removed(f"secret {secret}", self._remove_secret, secret)
            bucket = self._bucket(environment)
            self._removed(f"bucket {bucket} and what was in it", self._remove_bucket, bucket)

    def _client(self, service: str) -> Any:
        return boto3.client(service, region_name=self.region)

    def _bucket(self, environment: str) -> str:
        return f"perennial-{environment}-{self.account}"

    def _create_bucket(self, name: str) -> None:
        s3 = self._client("s3")
        where: dict[str, Any] = (
            {}
            if self.region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        )
        with _unless(_THERE):
            s3.create_bucket(Bucket=name, **where)
            _console.print(f"created bucket {name}")
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": _TAGS})
        s3.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration=dict.fromkeys(
                (
                    "BlockPublicAcls",
                    "BlockPublicPolicy",
                    "IgnorePublicAcls",
                    "RestrictPublicBuckets",
                ),
                True,
            ),
        )
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(
            Bucket=name, ServerSideEncryptionConfiguration={"Rules": [encryption]}
        )
        s3.put_bucket_lifecycle_configuration(
            Bucket=name, LifecycleConfiguration={"Rules": [_forget_overwritten()]}
        )
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(_only_encrypted(name)))

    def _create_secret(self, name: str) -> None:
        with _unless(_THERE):
            self._client("secretsmanager").create_secret(Name=name, SecretString="{}", Tags=_TAGS)
            _console.print(f"created secret {name}, empty: docs/production.md says what goes in")

    def _create_repository(self, name: str) -> None:
        ecr = self._client("ecr")
        with _unless(_THERE):
            ecr.create_repository(
                repositoryName=name,
                imageTagMutability="IMMUTABLE",
                imageScanningConfiguration={"scanOnPush": True},
                encryptionConfiguration={"encryptionType": "AES256"},
                tags=_TAGS,
            )
            _console.print(f"created repository {name}")
        ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps(_KEEP_IMAGES))

    def _trust_github(self) -> None:
        with _unless(_THERE):
            self._client("iam").create_open_id_connect_provider(
                Url=f"https://{_GITHUB}", ClientIDList=["sts.amazonaws.com"], Tags=_TAGS
            )
            _console.print(f"created identity provider {_GITHUB}")

    def _create_role(self, role: Role) -> None:
        iam, trust = self._client("iam"), json.dumps(self._trust(role))
        with _unless(_THERE):
            iam.create_role(RoleName=role.name, AssumeRolePolicyDocument=trust, Tags=_TAGS)
            _console.print(f"created role {role.name}")
        iam.update_assume_role_policy(RoleName=role.name, PolicyDocument=trust)
        iam.put_role_policy(
            RoleName=role.name, PolicyName=role.policy, PolicyDocument=self.policy(role)
        )

    def policy(self, role: Role) -> str:
        """Return what a role may do, as its file in ``k8s/iam`` says for this account."""
        text = (_POLICIES / f"{role.policy}.json").read_text()
        return Template(text).substitute(
            ACCOUNT=self.account, REGION=self.region, BUCKET=self._bucket(role.environment)
        )

    def _trust(self, role: Role) -> dict[str, Any]:
        """Return who may take a role: pods of the cluster, or one environment of the workflows."""
        if role.account is not None:
            statement: dict[str, Any] = {
                "Principal": {"Service": "pods.eks.amazonaws.com"},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
            }
        else:
            subject = f"repo:{self.repository}:environment:{role.github_environment}"
            statement = {
                "Principal": {"Federated": f"arn:aws:iam::{self.account}:oidc-provider/{_GITHUB}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        f"{_GITHUB}:aud": "sts.amazonaws.com",
                        f"{_GITHUB}:sub": subject,
                    }
                },
            }
        return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}

    def _removed(self, what: str, remove: Callable[[str], None], name: str) -> None:
        with _unless(_GONE):
            remove(name)
            _console.print(f"removed {what}")

    def _remove_role(self, name: str) -> None:
        iam = self._client("iam")
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)

    def _remove_provider(self, arn: str) -> None:
        # Other projects of the account may use it: it goes only if it was made here.
        iam = self._client("iam")
        if iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"] != _TAGS:
            _console.print(f"kept {arn}: it was not made by make eks-up")
            return
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)

    def _remove_repository(self, name: str) -> None:
        self._client("ecr").delete_repository(repositoryName=name, force=True)

    def _remove_secret(self, name: str) -> None:
        secrets = self._client("secretsmanager")
        # Deleting with force succeeds for what is not there, too.
        secrets.describe_secret(SecretId=name)
        secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    def _remove_bucket(self, name: str) -> None:
        bucket = boto3.resource("s3", region_name=self.region).Bucket(name)
        bucket.object_versions.delete()
        bucket.delete()


def _forget_overwritten() -> dict[str, Any]:
    return {
        "ID": "overwritten",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }


def _only_encrypted(bucket: str) -> dict[str, Any]:
    statement = {
        "Sid": "OnlyTLS",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)
_Region = typer.Option(envvar="AWS_REGION")
_Repository = typer.Option(envvar="GITHUB_REPOSITORY", help="OWNER/NAME on GitHub")


@app.command()
def up(region: str = _Region, repository: str = _Repository) -> None:
    """Create what is not there."""
    Cloud(region, repository).up()


@app.command()
def identities(region: str = _Region, repository: str = _Repository) -> None:
    """Give the service accounts of the cluster their roles."""
    Cloud(region, repository).identities()


@app.command()
def down(region: str = _Region, repository: str = _Repository) -> None:
    """Remove everything, the data too."""
    Cloud(region, repository).down()


if __name__ == "__main__":
    app()
