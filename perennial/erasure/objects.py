"""Stored objects: the files below an address on disk or on S3, with the old versions of S3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from perennial.errors import OutsideError

_RIGHTS = "s3:ListBucketVersions, s3:GetObjectVersion and s3:DeleteObjectVersion"
_S3 = ("s3", "s3a")


@dataclass(frozen=True)
class StoredObject:
    """One version of one object.

    Attributes
    ----------
    name : str
        Its path below the address.
    version : str or None
        The version's id, where the storage has versions.
    is_current : bool
        Whether it is what a reader gets who asks for no version.
    is_marker : bool
        Whether it only says that the object is deleted.
    """

    name: str
    version: str | None = None
    is_current: bool = True
    is_marker: bool = False

    def __str__(self) -> str:
        return self.name if self.is_current else f"{self.name} (version {self.version})"


class Objects(Protocol):
    """All that is stored below an address."""

    address: str

    def all(self) -> Iterator[StoredObject]:
        """Yield every object, each of its versions by itself."""
        ...

    def read(self, stored: StoredObject) -> bytes:
        """Return the content of a version; empty if it has gone meanwhile."""
        ...

    def remove(self, objects: Iterable[StoredObject]) -> int:
        """Remove versions for good; return how many."""
        ...


def objects_at(address: str, options: Mapping[str, str] | None = None) -> Objects:
    """Return what is stored below an address.

    Parameters
    ----------
    address : str
        A folder, or ``s3://BUCKET/PREFIX``.
    options : mapping of str to str, optional
        Credentials, see `perennial.stores.snapshots.delta.storage_options`; else those of the
        environment.

    Raises
    ------
    OutsideError
        If it is an address of another kind: nobody could say what is still stored there.
    """
    scheme = urlsplit(address).scheme
    if scheme in _S3:
        return _Bucket(address, options or {})
    if scheme in ("", "file"):
        return Folder(Path(urlsplit(address).path if scheme else address))
    raise OutsideError(
        f"Nothing can be erased at {address} (DATA_URI): old versions of its objects are found on "
        "a disk and on S3 alone."
    )


class Folder:
    """A folder on the disk.

    Parameters
    ----------
    path : Path
        The folder; it need not exist.
    leaving_out : sequence of str
        Names of folders in it that are not looked into.
    """

    def __init__(self, path: Path, leaving_out: Iterable[str] = ()) -> None:
        self._path, self.address = path.absolute(), str(path.absolute())
        self._leaving_out = tuple(leaving_out)

    def all(self) -> Iterator[StoredObject]:
        """Yield every file."""
        for path in sorted(self._path.rglob("*")):
            name = path.relative_to(self._path)
            if path.is_file() and name.parts[0] not in self._leaving_out:
                yield StoredObject(str(name))

    def read(self, stored: StoredObject) -> bytes:
        """Return the content of a file."""
        try:
            return (self._path / stored.name).read_bytes()
        except FileNotFoundError:
            # Logs are rotated and caches tidied by others.
            return b""
        except OSError as error:
            raise OutsideError(f"{self._path / stored.name} cannot be read: {error}") from error

    def remove(self, objects: Iterable[StoredObject]) -> int:
        """Remove files, and the folders that are empty by that."""
        removed = 0
        for each in objects:
            file = self._path / each.name
            file.unlink(missing_ok=True)
            removed += 1
            for folder in file.parents:
                if folder == self._path or any(folder.iterdir()):
                    break
                folder.rmdir()
        return removed


class _Bucket:
    """A prefix of a bucket on S3."""

    def __init__(self, address: str, options: Mapping[str, str]) -> None:
        import boto3

        parts = urlsplit(address)
        self.address = address
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/") + "/"
        self._client = boto3.client(
            "s3",
            aws_access_key_id=options.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=options.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=options.get("AWS_SESSION_TOKEN"),
            region_name=options.get("AWS_REGION"),
            endpoint_url=options.get("AWS_ENDPOINT_URL"),
        )

    def all(self) -> Iterator[StoredObject]:
        """Yield every version of every object, and the marks of those that are deleted."""
        pages = self._client.get_paginator("list_object_versions")
        found = pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in self._told(found):
            for kind, is_marker in (("Versions", False), ("DeleteMarkers", True)):
                for each in page.get(kind, []):
                    yield StoredObject(
                        each["Key"].removeprefix(self._prefix),
                        each.get("VersionId"),
                        is_current=bool(each["IsLatest"]),
                        is_marker=is_marker,
                    )

    def read(self, stored: StoredObject) -> bytes:
        """Return the content of a version."""
        if stored.is_marker:
            return b""
        content: bytes = next(self._told(self._content(stored)))
        return content

    def _content(self, stored: StoredObject) -> Iterator[bytes]:
        with suppress(self._client.exceptions.NoSuchKey):
            found = self._client.get_object(**self._named(stored))
            yield found["Body"].read()
            return
        yield b""

    def remove(self, objects: Iterable[StoredObject]) -> int:
        """Remove versions for good, marks last: without its mark an old version would come back."""
        removed = 0
        for each in sorted(objects, key=lambda each: each.is_marker):
            for _ in self._told(self._removed(each)):
                removed += 1
        return removed

    def _removed(self, stored: StoredObject) -> Iterator[None]:
        self._client.delete_object(**self._named(stored))
        yield

    def _named(self, stored: StoredObject) -> dict[str, str]:
        named = {"Bucket": self._bucket, "Key": self._prefix + stored.name}
        return named if stored.version is None else named | {"VersionId": stored.version}

    def _told(self, found: Any) -> Iterator[Any]:
        """Yield what S3 answers; what it refuses becomes a sentence."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield from found
        except (BotoCoreError, ClientError) as error:
            raise OutsideError(
                f"Old versions at {self.address} (DATA_URI) cannot be looked for: {error}; it "
                f"takes the rights {_RIGHTS}."
            ) from error


def remove_old_versions(objects: Objects) -> int:
    """Remove what nobody reads any more without naming a version; return how many versions."""
    return objects.remove([each for each in objects.all() if not each.is_current or each.is_marker])
