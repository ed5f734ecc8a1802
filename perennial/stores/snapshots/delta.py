"""One Delta Lake table on disk or on S3: opened, read, appended to, and kept small."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from pyarrow import dataset, parquet

from perennial.errors import OutsideError
from perennial.settings import Settings

_log = logging.getLogger(__name__)
Filters = list[tuple[str, str, Any]]

# So many files of one partition are small enough in number to be read quickly.
_FILES = 24
_STREAMED = 8_192
# Rows that are packed together: whoever writes a table holds them until then.
_ROWS_AT_ONCE = 1 << 16
# Otherwise a file is in memory twice while it is read: packed, and as rows.
_FEW_AT_ONCE = dataset.ParquetFragmentScanOptions(
    pre_buffer=False, use_buffered_stream=True, buffer_size=1 << 20
)
_UNCOMMITTED_HOURS = 1
# The history is in the rows: neither files that were merged nor the log of older versions of the
# table are needed. The log keeps no smallest and largest values, which would be parts of texts.
_CONFIGURATION = {
    "delta.logRetentionDuration": "interval 0 seconds",
    "delta.deletedFileRetentionDuration": "interval 0 seconds",
    "delta.enableExpiredLogCleanup": "true",
    "delta.dataSkippingStatsColumns": "version",
}


class SnapshotConflictError(Exception):
    """Another ingestion has appended since this one looked; read again and repeat."""


class Table:
    """A Delta Lake table.

    Parameters
    ----------
    uri : str
        Where it is.
    settings : Settings
        With which credentials it is reached.
    name : str
        What a message calls it.
    """

    def __init__(self, uri: str, settings: Settings, name: str) -> None:
        self.uri, self._name = uri, name
        self.options = storage_options(settings)

    def open(self) -> DeltaTable | None:
        """Return the table as it is now; None if there is none.

        Raises
        ------
        OutsideError
            If it cannot be opened.
        """
        try:
            return DeltaTable(self.uri, storage_options=self.options)
        except TableNotFoundError:
            return None
        except Exception as error:
            raise self.outside("opened", error) from error

    def read(self, columns: Sequence[str], filters: Filters) -> pa.Table:
        """Return rows of the newest version, without the columns that the table does not have.

        Raises
        ------
        OutsideError
            If the storage refuses or a file is damaged.
        """
        try:
            table = DeltaTable(self.uri, storage_options=self.options)
            try:
                return _rows(table, columns, filters)
            except Exception:
                # Another process may have merged files meanwhile.
                now = DeltaTable(self.uri, storage_options=self.options)
                if now.version() == table.version():
                    raise
                return _rows(now, columns, filters)
        except Exception as error:
            raise self.outside("read", error) from error

    def append(
        self,
        batches: Iterable[pa.RecordBatch],
        schema: pa.Schema,
        table: DeltaTable | None,
        *,
        partition_by: str,
        few_values: Sequence[str] = (),
    ) -> None:
        """Append rows in one commit, or make the table with them.

        Parameters
        ----------
        batches : iterable of RecordBatch
            The rows, which are written as they come.
        schema : Schema
            Of the batches; columns that the table lacks are added to it.
        table : DeltaTable or None
            The table as it was when the rows were made; None if there was none.
        partition_by : str
            The column by which a new table is divided.
        few_values : sequence of str
            Columns whose values repeat.

        Raises
        ------
        SnapshotConflictError
            If somebody has written since; nothing was written.
        OutsideError
            If the storage refuses.
        """
        self._write(
            batches,
            schema,
            table,
            few_values,
            mode="error" if table is None else "append",
            schema_mode=None if table is None else "merge",
            partition_by=[partition_by] if table is None else None,
            configuration=_CONFIGURATION if table is None else None,
        )

    def replace(
        self,
        batches: Iterable[pa.RecordBatch],
        schema: pa.Schema,
        table: DeltaTable,
        *,
        few_values: Sequence[str] = (),
        predicate: str | None = None,
    ) -> None:
        """Write all rows anew in one commit; the old files stay until `purge`.

        Parameters
        ----------
        batches : iterable of RecordBatch
            The rows, which are written as they come.
        schema : Schema
            Of the batches.
        table : DeltaTable
            The table as it was when the rows were made.
        few_values : sequence of str
            Columns whose values repeat.
        predicate : str, optional
            Which rows are replaced, as SQL; all of them unless given.

        Raises
        ------
        SnapshotConflictError
            If somebody has written since; nothing was changed.
        OutsideError
            If the storage refuses.
        """
        self._write(batches, schema, table, few_values, mode="overwrite", predicate=predicate)

    def _write(
        self,
        batches: Iterable[pa.RecordBatch],
        schema: pa.Schema,
        table: DeltaTable | None,
        few_values: Sequence[str],
        **how: Any,
    ) -> None:
        # Without retries the commit succeeds only as the very next version: Delta would otherwise
        # let two writers pass each other, and both would add the same documents.
        commit = CommitProperties(max_commit_retries=0)
        failed: list[Exception] = []
        try:
            write_deltalake(
                self.uri if table is None else table,
                pa.RecordBatchReader.from_batches(schema, _noting(batches, failed)),
                storage_options=self.options,
                commit_properties=commit,
                writer_properties=_writer(few_values),
                **how,
            )
        except CommitFailedError as error:
            raise SnapshotConflictError(str(error)) from error
        except Exception as error:
            if failed:
                # The rows could not be made; the storage only passed that on.
                raise failed[0] from None
            if table is None and self.open() is not None:
                raise SnapshotConflictError(str(error)) from error
            raise self.outside("written", error) from error

    def keep_small(self) -> None:
        """Merge small files once there are many, and remove what is not needed any more.

        Whoever reads at that time reads again; see `read`.
        """
        table = self.open()
        if table is None or len(table.file_uris()) <= _FILES:
            return
        try:
            table.optimize.compact()
            # What is not needed since the last checkpoint is looked for, so it comes before one.
            table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
            table.create_checkpoint()
            table.cleanup_metadata()
        except CommitFailedError:
            # Somebody has just written; whoever comes next tidies.
            return
        except Exception as error:  # noqa: BLE001
            # What was to be written is written; large numbers of files only cost time.
            _log.warning("%s It will be tried again.", self.outside("compacted", error))

    def purge(self) -> None:
        """Remove every file that is no part of the newest version.

        What a killed write has left is removed once it is an hour old: until then it may be of a
        process that is about to commit it.

        Raises
        ------
        OutsideError
            If the storage refuses.
        """
        table = self.open()
        if table is None:
            return
        try:
            for hours, full in ((0, False), (_UNCOMMITTED_HOURS, True)):
                table.vacuum(
                    retention_hours=hours,
                    enforce_retention_duration=False,
                    dry_run=False,
                    full=full,
                )
            table.create_checkpoint()
            table.cleanup_metadata()
        except Exception as error:
            raise self.outside("purged", error) from error

    def stream(self, table: DeltaTable) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the schema and all rows of an opened table, a few at a time."""
        rows = table.to_pyarrow_dataset()
        batches = rows.to_batches(
            batch_size=_STREAMED,
            batch_readahead=1,
            fragment_readahead=1,
            fragment_scan_options=_FEW_AT_ONCE,
            use_threads=False,
        )
        return rows.schema, self._told(batches)

    def _told(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            raise self.outside("read", error) from error

    def outside(self, verb: str, error: Exception) -> OutsideError:
        """Return the error that says in one sentence what could not be done."""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return OutsideError(f"{self._name} at {self.uri} (DATA_URI) cannot be {verb}: {reason}")


def _rows(table: DeltaTable, columns: Sequence[str], filters: Filters) -> pa.Table:
    held = {field.name for field in table.schema().fields}
    return table.to_pyarrow_dataset().to_table(
        columns=[name for name in columns if name in held],
        filter=parquet.filters_to_expression(filters),
        fragment_scan_options=_FEW_AT_ONCE,
        batch_readahead=1,
        fragment_readahead=1,
    )


def _noting(batches: Iterable[pa.RecordBatch], failed: list[Exception]) -> Iterator[pa.RecordBatch]:
    """Yield the batches, and note what they raise."""
    try:
        yield from batches
    except Exception as error:
        failed.append(error)
        raise


def _writer(few_values: Sequence[str]) -> WriterProperties:
    # Texts and digests hardly repeat: looking for repeated values doubles the time of writing.
    return WriterProperties(
        compression="ZSTD",
        max_row_group_size=_ROWS_AT_ONCE,
        default_column_properties=ColumnProperties(dictionary_enabled=False),
        column_properties={name: ColumnProperties(dictionary_enabled=True) for name in few_values},
    )


def storage_options(settings: Settings) -> dict[str, str] | None:
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
