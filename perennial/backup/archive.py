"""An archive: the files of one backup, on disk or on S3, with their digests in a manifest.

The manifest is written last. An archive without one was never completed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any

from pyarrow import ArrowException, fs
from pydantic import BaseModel, ConfigDict, ValidationError

from perennial.errors import OutsideError
from perennial.settings import Settings
from perennial.stores.snapshots.file_system import file_system

MANIFEST = "manifest.json"
FORMAT = 1
_CHUNK = 1 << 20
_PREFIX = "perennial-"
_WHAT = "A backup"


class StoredFile(BaseModel):
    """The size of a file in bytes, and its SHA-256."""

    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str


class Manifest(BaseModel):
    """What an archive holds.

    Attributes
    ----------
    format : int
        The format of the archive.
    version : str
        The version of Perennial that wrote it.
    at : datetime
        When it was begun.
    problems : tuple of str
        The problems whose data it holds.
    left_out : tuple of str
        What it does not hold, each in words.
    files : mapping of str to StoredFile
        Every other file: its path in the archive.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    version: str
    at: datetime
    problems: tuple[str, ...]
    left_out: tuple[str, ...]
    files: Mapping[str, StoredFile]


class Archive:
    """A folder, or a prefix in a bucket, with the files of a backup.

    Parameters
    ----------
    address : str
        The folder, or ``s3://BUCKET/PREFIX``.
    settings : Settings
        The credentials, which are those of DATA_URI.
    """

    def __init__(self, address: str, settings: Settings) -> None:
        self.address = address.rstrip("/")
        self._system, self._root = file_system(self.address, settings, _WHAT)
        self._files: dict[str, StoredFile] = {}

    @contextmanager
    def write(self, name: str) -> Iterator[_Hashed]:
        """Yield a file of this name to write to."""
        with _explained(self.address, "written"):
            path = f"{self._root}/{name}"
            self._system.create_dir(path.rpartition("/")[0], recursive=True)
            with self._system.open_output_stream(path, compression=None) as stream:
                hashed = _Hashed(stream)
                yield hashed
        self._files[name] = StoredFile(size=hashed.size, sha256=hashed.digest.hexdigest())

    def add(self, name: str, source: IO[bytes]) -> None:
        """Copy an open file into the archive."""
        with self.write(name) as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)

    def add_folder(
        self, name: str, address: str, settings: Settings, *, leaving_out: str = ""
    ) -> None:
        """Copy everything below a folder or a prefix, but for a folder in it, into the archive."""
        system, root = file_system(address, settings, _WHAT)
        with _explained(address, "read"):
            for found in system.get_file_info(
                fs.FileSelector(root, recursive=True, allow_not_found=True)
            ):
                within = found.path.removeprefix(root).lstrip("/")
                is_left_out = bool(leaving_out) and within.startswith(f"{leaving_out}/")
                if found.type is fs.FileType.File and not is_left_out:
                    with system.open_input_stream(found.path, compression=None) as stream:
                        self.add(f"{name}/{within}", stream)

    def complete(self, manifest: Manifest) -> Manifest:
        """Write the manifest, by which the archive is one; return it with all files."""
        whole = manifest.model_copy(update={"files": dict(self._files)})
        with self.write(MANIFEST) as target:
            target.write(whole.model_dump_json(indent=1).encode())
        return whole

    def manifest(self) -> Manifest:
        """Return what the archive holds.

        Raises
        ------
        OutsideError
            If there is no complete archive here, or one of a newer format.
        """
        try:
            with self.read(MANIFEST) as source:
                found = Manifest.model_validate_json(source.read())
        except (FileNotFoundError, ValidationError) as error:
            raise OutsideError(
                f"There is no complete backup at {self.address}; name the folder that "
                "`perennial backup` printed."
            ) from error
        if found.format > FORMAT:
            raise OutsideError(
                f"The backup at {self.address} was written by Perennial {found.version}, which "
                "has a newer format; restore it with that version."
            )
        return found

    @contextmanager
    def read(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a file of the archive, opened."""
        with (
            _explained(self.address, "read"),
            self._system.open_input_stream(f"{self._root}/{name}", compression=None) as source,
        ):
            yield source

    def verify(self, manifest: Manifest) -> None:
        """Read every file, and compare it with its digest.

        Raises
        ------
        OutsideError
            If one is missing or differs.
        """
        for name, stored in manifest.files.items():
            digest = hashlib.sha256()
            try:
                with self.read(name) as source:
                    while chunk := source.read(_CHUNK):
                        digest.update(chunk)
            except FileNotFoundError:
                raise OutsideError(f"{self.address}/{name} is missing.") from None
            if digest.hexdigest() != stored.sha256:
                raise OutsideError(
                    f"{self.address}/{name} is damaged: its SHA-256 differs from the manifest's."
                )

    def extract(self, names: Iterable[str], folder: str, address: str, settings: Settings) -> None:
        """Copy files that are below a folder of the archive to another place."""
        system, root = file_system(address, settings, _WHAT)
        for name in names:
            target = f"{root}/{name.removeprefix(folder).lstrip('/')}"
            with _explained(address, "written"), self.read(name) as source:
                system.create_dir(target.rpartition("/")[0], recursive=True)
                with system.open_output_stream(target, compression=None) as stream:
                    while chunk := source.read(_CHUNK):
                        stream.write(chunk)


def archive_in(place: str, at: datetime, settings: Settings) -> Archive:
    """Return a new archive in a folder or bucket, named by its time."""
    return Archive(f"{place.rstrip('/')}/{_PREFIX}{at:%Y%m%dT%H%M%SZ}", settings)


def is_empty(address: str, settings: Settings) -> bool:
    """Return whether nothing is stored below an address."""
    system, root = file_system(address, settings, _WHAT)
    with _explained(address, "read"):
        selector = fs.FileSelector(root, recursive=True, allow_not_found=True)
        return not any(found.type is fs.FileType.File for found in system.get_file_info(selector))


def remove_below(address: str, settings: Settings) -> None:
    """Remove everything that is stored below an address, if there is anything."""
    system, root = file_system(address, settings, _WHAT)
    with _explained(address, "removed"):
        if system.get_file_info(root).type is fs.FileType.Directory:
            system.delete_dir(root)


class _Hashed:
    """A stream that is written to, with the digest of what was."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.size, self.digest = 0, hashlib.sha256()

    def write(self, content: bytes) -> int:
        self._stream.write(content)
        self.size += len(content)
        self.digest.update(content)
        return len(content)

    def flush(self) -> None:
        """Do nothing: all is there when the stream is closed."""


@contextmanager
def _explained(address: str, verb: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ArrowException) as error:
        raise OutsideError(f"{address} cannot be {verb}: {error}") from error
