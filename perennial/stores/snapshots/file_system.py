"""File systems: folders on a disk and prefixes of buckets on S3, by the address of either."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import fs

from perennial.errors import OutsideError
from perennial.settings import Settings
from perennial.stores.snapshots.delta import storage_options


def file_system(address: str, settings: Settings, what: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of an address, and the path in it.

    Parameters
    ----------
    address : str
        A folder, or ``s3://BUCKET/PREFIX``.
    settings : Settings
        The credentials, which are those of DATA_URI.
    what : str
        What is to be kept there, as a message begins.

    Raises
    ------
    OutsideError
        If it is an address of another kind.
    """
    parts = urlsplit(address)
    if parts.scheme in ("", "file"):
        path = Path(parts.path if parts.scheme else address).absolute()
        return fs.LocalFileSystem(use_mmap=True), str(path)
    if parts.scheme not in ("s3", "s3a"):
        raise OutsideError(
            f"{what} cannot be kept at {address}; name a folder, or s3://BUCKET/PREFIX."
        )
    return _bucket(storage_options(settings) or {}), f"{parts.netloc}{parts.path}"


def _bucket(options: Mapping[str, str]) -> fs.FileSystem:
    endpoint = urlsplit(_option(options, "AWS_ENDPOINT_URL") or "")
    return fs.S3FileSystem(
        access_key=options.get("AWS_ACCESS_KEY_ID"),
        secret_key=options.get("AWS_SECRET_ACCESS_KEY"),
        session_token=options.get("AWS_SESSION_TOKEN"),
        region=_option(options, "AWS_REGION"),
        scheme=endpoint.scheme or None,
        endpoint_override=endpoint.netloc or None,
    )


def _option(options: Mapping[str, str], name: str) -> str | None:
    # Without a credentials block other clients of S3 read the environment, too.
    return options.get(name) or os.environ.get(name)
