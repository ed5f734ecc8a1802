"""Blocks: what Prefect keeps for flows and people, made from settings where they are set.

Nothing is created without its setting, and a block of the same name is brought up to date.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from uuid import UUID

from pydantic import SecretStr

from perennial.settings import OperationSettings, Settings

if TYPE_CHECKING:
    from prefect_aws import AwsCredentials

SNAPSHOTS = "perennial-snapshots"
NOTIFICATION = "perennial-notification"
_SLACK = "hooks.slack.com"


def apply_blocks(settings: Settings, operation: OperationSettings) -> list[str]:
    """Create the blocks that the settings ask for; return their names.

    ``DATA_CREDENTIALS_BLOCK`` becomes AwsCredentials, from the usual ``AWS_*`` variables if they
    are set (a block that a person made in the UI stays as it is otherwise), an ``s3://`` address in
    ``DATA_URI`` an S3Bucket, and each name in ``OPERATION_SECRETS`` an AwsSecret.
    """
    bucket = urlparse(settings.data_uri or "")
    if bucket.scheme != "s3" and not (settings.data_credentials_block or operation.secrets):
        return []
    # prefect-aws brings boto3 along, which takes a second.
    from prefect_aws import AwsCredentials, AwsSecret, S3Bucket

    made = []
    name = settings.data_credentials_block
    credentials = AwsCredentials(region_name=os.environ.get("AWS_REGION"))
    if name is not None:
        credentials = _credentials(name)
        made.append(f"aws-credentials/{name}")
    if bucket.scheme == "s3":
        block = S3Bucket(
            bucket_name=bucket.netloc,
            bucket_folder=bucket.path.strip("/"),
            credentials=credentials,
        )
        block.save(SNAPSHOTS, overwrite=True)
        made.append(f"s3-bucket/{SNAPSHOTS}")
    for secret in operation.secrets:
        slug = secret.lower().replace("/", "-").replace("_", "-")
        kept = AwsSecret(aws_credentials=credentials, secret_name=secret)
        kept.save(slug, overwrite=True)
        made.append(f"aws-secret/{slug}")
    return made


def _credentials(name: str) -> AwsCredentials:
    from prefect_aws import AwsCredentials

    key, secret = (os.environ.get(f"AWS_{part}") for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    if not (key and secret):
        try:
            kept: AwsCredentials = AwsCredentials.load(name)
        except ValueError:
            # Without keys the block stands for the role of the machine.
            kept = AwsCredentials(region_name=os.environ.get("AWS_REGION"))
            kept.save(name)
        return kept
    made = AwsCredentials(
        aws_access_key_id=key,
        aws_secret_access_key=SecretStr(secret),
        region_name=os.environ.get("AWS_REGION"),
    )
    made.save(name, overwrite=True)
    return made


@dataclass(frozen=True)
class Notifications:
    """The blocks that tell people.

    Attributes
    ----------
    general : UUID or None
        The one for all problems that have none of their own, if there is one.
    own : mapping of str to UUID
        Problem -> the one that tells its people.
    """

    general: UUID | None = None
    own: Mapping[str, UUID] = field(default_factory=dict)


def apply_notifications(operation: OperationSettings) -> Notifications:
    """Create the blocks that tell people of failed runs and of versions that wait."""
    general = operation.notify_url
    return Notifications(
        None if general is None else _apply_notification(NOTIFICATION, general),
        {
            problem: _apply_notification(f"{NOTIFICATION}-{problem}", url)
            for problem, url in sorted(operation.notify_urls.items())
        },
    )


def _apply_notification(name: str, address: SecretStr) -> UUID:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook

    url = address.get_secret_value()
    if urlparse(url).hostname == _SLACK:
        return UUID(str(SlackWebhook(url=url).save(name, overwrite=True)))
    webhook = CustomWebhookNotificationBlock(
        name=name,
        url=url,
        json_data={"subject": "{{subject}}", "body": "{{body}}"},
    )
    return UUID(str(webhook.save(name, overwrite=True)))
