"""Snapshots: versions of one append-only Delta Lake table per problem.

Every document that was ever read from MongoDB is one row: used, quarantined or a duplicate. One
commit holds all rows of one ingestion, so that a snapshot, its quarantine and the knowledge of what
has been read cannot disagree, however a run ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from perennial.errors import OutsideError
from perennial.inputs.base import TextInputs
from perennial.inputs.documents import from_feedback, row_digests, snapshot_digest, superseded
from perennial.inputs.records import RECORDS
from perennial.inputs.split import KEY_COLUMNS
from perennial.settings import Settings

Status = Literal["used", "quarantined", "duplicate"]

_FIELDS = "fields"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("created_at", pa.timestamp("us", "UTC")),
        ("source", pa.string()),
        ("label", pa.string()),
        TextInputs.column,
        ("content", pa.binary()),
        ("digest", pa.binary()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("status", pa.string()),
        # Tables that were begun before this column was known lack it, and read as null.
        (_FIELDS, pa.map_(pa.string(), pa.string())),
    ]
)
# What says whether feedback gives way to a document of the collection.
_PROVENANCE = ("id", "source", "content")
# A snapshot has one of them.
_INPUTS = (TextInputs.column.name, RECORDS)
_DIGEST_KEY = "perennial.digest"
_DOCUMENTS_KEY = "perennial.documents"
_WATERMARK_KEY = "perennial.watermark"
# Delta keeps the log of old versions for 30 days unless told otherwise; a snapshot is forever.
_FOREVER = "interval 100000 weeks"
_CONFIGURATION = {
    "delta.appendOnly": "true",
    "delta.logRetentionDuration": _FOREVER,
    "delta.deletedFileRetentionDuration": _FOREVER,
}
# Texts and digests hardly repeat: looking for repeated values doubles the time of writing.
_FEW_VALUES = ("label", "source", "reason")
_COLUMNS = WriterProperties(
    compression="ZSTD",
    default_column_properties=ColumnProperties(dictionary_enabled=False),
    column_properties={name: ColumnProperties(dictionary_enabled=True) for name in _FEW_VALUES},
)


def schema_for(column: pa.Field) -> pa.Schema:
    """Return the schema of snapshots with this column of inputs, in the place of the texts."""
    return SCHEMA.set(SCHEMA.get_field_index(TextInputs.column.name), column)


class SnapshotConflictError(Exception):
    """Another ingestion has appended since this one looked; read again and repeat."""


@dataclass(frozen=True)
class Snapshot:
    """What one retraining sees.

    Attributes
    ----------
    problem : str
        Name of the problem.
    version : int
        Version of the Delta table at `uri`.
    digest : str
        Digest of the documents in it, whatever their order and files.
    documents : int
        How many documents can be used.
    uri : str
        Where the table is.
    watermark : datetime or None
        Newest time of creation of a document that was read, those dated in the future left out:
        they must not hide what arrives until then. None if no document had a date.
    """

    problem: str
    version: int
    digest: str
    documents: int
    uri: str
    watermark: datetime | None = None


class SnapshotStore:
    """The snapshots of one problem.

    Parameters
    ----------
    problem : str
        Name of the problem.
    settings : Settings
        Where the snapshots are, and with which credentials.
    """

    def __init__(self, problem: str, settings: Settings) -> None:
        self.problem = problem
        self.uri = f"{settings.snapshots_uri}/{problem}"
        self._options = _storage_options(settings)

    def latest(self) -> Snapshot | None:
        """Return the newest snapshot, or None before the first ingestion."""
        table = self._open()
        if table is None:
            return None
        for entry in table.history():
            # Another program may have added versions that change files but no documents.
            if _DIGEST_KEY in entry:
                return self._snapshot(entry | {"version": table.version()})
        raise OutsideError(f"The table at {self.uri} (DATA_URI) was not written by Perennial.")

    def find(self, version_or_digest: int | str) -> Snapshot:
        """Return the snapshot of a version or of a digest.

        Raises
        ------
        OutsideError
            If there is none.
        """
        table = self._open()
        for entry in table.history() if table is not None else []:
            if version_or_digest in (entry["version"], entry.get(_DIGEST_KEY)):
                return self._snapshot(entry)
        raise OutsideError(
            f"There is no snapshot {version_or_digest!r} of {self.problem!r} at {self.uri} "
            "(DATA_URI)."
        )

    def recorded(self, version: int, digest: str) -> Snapshot:
        """Return the snapshot of a version, to be read only if its documents have this digest.

        Raises
        ------
        OutsideError
            If there is none of this version.
        """
        return replace(self.find(version), digest=digest)

    def read(self, snapshot: Snapshot) -> pa.Table:
        """Return the usable documents of a snapshot, in the order of their content.

        Raises
        ------
        OutsideError
            If what is stored is not what the snapshot's digest says.
        """
        columns = ["id", "created_at", "source", "label", *_INPUTS, "content", _FIELDS]
        rows = self._used(snapshot.version, columns)
        digests = row_digests(rows["id"], rows["label"], rows[_input_field(rows).name])
        if snapshot_digest(digests) != snapshot.digest:
            raise OutsideError(
                f"Snapshot {snapshot.version} of {self.problem!r} at {snapshot.uri} (DATA_URI) is "
                f"damaged: its documents do not have the digest {snapshot.digest}."
            )
        return rows.sort_by("content")

    def read_keys(self, snapshot: Snapshot) -> pa.Table:
        """Return what divides the usable documents of a snapshot, without their inputs.

        Columns that the snapshot does not have are left out.
        """
        return self._used(snapshot.version, KEY_COLUMNS)

    def quarantine(self, snapshot: Snapshot) -> pa.Table:
        """Return id, reason and raw document of everything quarantined up to a snapshot."""
        return self._rows(snapshot.version, ["id", "reason", "raw"], ["quarantined"])

    def known_documents(
        self, snapshot: Snapshot, since: datetime | None
    ) -> set[tuple[str, datetime | None]]:
        """Return key and time of creation of the documents read, of those since a time or all."""
        rows = self._rows(snapshot.version, ["id", "created_at"])
        if since is not None:
            late = pc.greater_equal(rows["created_at"], pa.scalar(since, SCHEMA.types[1]))
            rows = rows.filter(pc.fill_null(late, fill_value=True))
        return set(zip(rows["id"].to_pylist(), rows["created_at"].to_pylist(), strict=True))

    def known_contents(self, snapshot: Snapshot) -> pa.Table:
        """Return id, source, content and label of every usable document."""
        return self._used(snapshot.version, [*_PROVENANCE, "label"])

    def feedback_contents(self, snapshot: Snapshot) -> pa.Array:
        """Return the content hashes of the usable documents that are feedback."""
        return _feedback_contents(self._used(snapshot.version, _PROVENANCE))

    def every_feedback_content(self, snapshot: Snapshot) -> pa.Array:
        """Return the content hashes of all feedback that any snapshot up to this one has used."""
        return _feedback_contents(self._rows(snapshot.version, _PROVENANCE, ["used"]))

    def append(self, rows: pa.Table, after: Snapshot | None) -> Snapshot:
        """Append one ingestion as the next version.

        Parameters
        ----------
        rows : Table
            Of `schema_for` the problem's inputs, without the column ``digest``.
        after : Snapshot or None
            The snapshot that was the latest when the ingestion began.

        Raises
        ------
        SnapshotConflictError
            If `after` is not the latest any more; nothing was written.
        OutsideError
            If the storage refuses.
        """
        inputs = _input_field(rows)
        digests = row_digests(rows["id"], rows["label"], rows[inputs.name])
        schema = schema_for(inputs)
        rows = rows.append_column("digest", digests.cast(pa.binary())).select(schema.names)
        columns = ["digest", *_PROVENANCE]
        used = rows.filter(pc.equal(rows["status"], "used")).select(columns)
        if after is not None:
            earlier = self._used(after.version, columns)
            used = pa.concat_tables([earlier, used], promote_options="permissive")
        used = _without_superseded(used)
        digest, documents = snapshot_digest(used["digest"]), len(used)
        watermark = _watermark(rows, after)
        metadata = {_DIGEST_KEY: digest, _DOCUMENTS_KEY: str(documents)}
        if watermark is not None:
            metadata[_WATERMARK_KEY] = watermark.isoformat()
        self._write(rows, after, metadata)
        version = 0 if after is None else after.version + 1
        return Snapshot(self.problem, version, digest, documents, self.uri, watermark)

    def _write(self, rows: pa.Table, after: Snapshot | None, metadata: dict[str, str]) -> None:
        # Without retries the commit succeeds only as the very next version: Delta would otherwise
        # let two appends pass each other, and both would add the same documents.
        commit = CommitProperties(custom_metadata=metadata, max_commit_retries=0)
        try:
            target: DeltaTable | str = self.uri
            if after is not None:
                target = DeltaTable(self.uri, version=after.version, storage_options=self._options)
            write_deltalake(
                target,
                rows.cast(schema_for(_input_field(rows))),
                mode="error" if after is None else "append",
                schema_mode=None if after is None else "merge",
                partition_by=["status"],
                configuration=_CONFIGURATION if after is None else None,
                storage_options=self._options,
                commit_properties=commit,
                writer_properties=_COLUMNS,
            )
        except CommitFailedError as error:
            raise SnapshotConflictError(str(error)) from error
        except Exception as error:
            if after is None and self._open() is not None:
                raise SnapshotConflictError(str(error)) from error
            raise self._outside("written", error) from error

    def _open(self) -> DeltaTable | None:
        try:
            return DeltaTable(self.uri, storage_options=self._options)
        except TableNotFoundError:
            return None
        except Exception as error:
            raise self._outside("opened", error) from error

    def _used(self, version: int, columns: Sequence[str]) -> pa.Table:
        """Read some columns of the documents that a version uses.

        Feedback gives way as soon as the collection has a document of equal content. Its row stays,
        since earlier snapshots use it.
        """
        wanted = [*columns, *(name for name in _PROVENANCE if name not in columns)]
        rows = _without_superseded(self._rows(version, wanted, ["used"]))
        return rows.drop_columns([name for name in wanted if name not in columns])

    def _rows(
        self, version: int, columns: Sequence[str], statuses: Sequence[Status] = ()
    ) -> pa.Table:
        """Read those of some columns that a version has, of some statuses or all."""
        try:
            table = DeltaTable(self.uri, version=version, storage_options=self._options)
            filters = [("status", "in", list(statuses))] if statuses else None
            held = {field.name for field in table.schema().fields}
            wanted = [name for name in columns if name in held]
            rows = table.to_pyarrow_table(columns=wanted, filters=filters)
            if _FIELDS in columns and _FIELDS not in held:
                absent = pa.nulls(len(rows), SCHEMA.field(_FIELDS).type)
                rows = rows.append_column(SCHEMA.field(_FIELDS), absent)
            return rows
        except Exception as error:
            raise self._outside("read", error) from error

    def _snapshot(self, entry: dict[str, Any]) -> Snapshot:
        return Snapshot(
            problem=self.problem,
            version=int(entry["version"]),
            digest=entry[_DIGEST_KEY],
            documents=int(entry[_DOCUMENTS_KEY]),
            uri=self.uri,
            watermark=datetime.fromisoformat(entry[_WATERMARK_KEY])
            if _WATERMARK_KEY in entry
            else None,
        )

    def _outside(self, verb: str, error: Exception) -> OutsideError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return OutsideError(
            f"The snapshots of {self.problem!r} at {self.uri} (DATA_URI) cannot be {verb}: {reason}"
        )


def _without_superseded(rows: pa.Table) -> pa.Table:
    given_way = superseded(rows)
    return rows.filter(pa.array(~given_way)) if given_way.any() else rows


def _feedback_contents(rows: pa.Table) -> pa.Array:
    return rows["content"].filter(pa.array(from_feedback(rows))).combine_chunks()


def _input_field(rows: pa.Table) -> pa.Field:
    """Return the column of the inputs, whichever kind they are."""
    return next(field for field in rows.schema if field.name in _INPUTS)


def _watermark(rows: pa.Table, after: Snapshot | None) -> datetime | None:
    past = pc.less_equal(rows["created_at"], pa.scalar(datetime.now(UTC), SCHEMA.types[1]))
    times = [after.watermark if after else None, pc.max(rows.filter(past)["created_at"]).as_py()]
    return max((time for time in times if time is not None), default=None)


def _storage_options(settings: Settings) -> dict[str, str] | None:
    """Return the options of delta-rs; without a credentials block it reads the environment."""
    if settings.data_credentials_block is None:
        return None
    from prefect_aws import AwsCredentials

    try:
        block = AwsCredentials.load(settings.data_credentials_block, _sync=True)
    except ValueError as error:
        raise OutsideError(f"DATA_CREDENTIALS_BLOCK cannot be used: {error}") from error
    secret = block.aws_secret_access_key
    options = {
        "AWS_ACCESS_KEY_ID": block.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret.get_secret_value() if secret else None,
        "AWS_SESSION_TOKEN": block.aws_session_token,
        "AWS_REGION": block.region_name,
        "AWS_ENDPOINT_URL": block.aws_client_parameters.endpoint_url,
    }
    return {name: str(value) for name, value in options.items() if value is not None}
