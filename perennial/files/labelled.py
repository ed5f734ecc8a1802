"""Labelled files: the rows of a file as documents of a problem."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bson import ObjectId

from perennial import paths
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.fields.base import is_missing
from perennial.files.inputs import LABEL_COLUMN, TEXT_COLUMN, InputColumns
from perennial.files.labels import LabelReader
from perennial.files.opening import stem_of
from perennial.files.readings import as_text, common_reading
from perennial.files.rows import WRITTEN, Row, TableFile
from perennial.files.storable import field_name, read_date, storable, why_not_stored
from perennial.files.table import column_of, has_column, open_table, require_columns
from perennial.inputs.base import inputs_of

Document = dict[str, Any]

_SOURCE = "source"
_ID = "_id"
# The field of a document that says why its row cannot be read.
_UNREADABLE = "unreadable"
_SHOWN = 5


@dataclass(frozen=True)
class _TimesSeen:
    """How often each content has come, as it is written in the file and as it is read."""

    written: Counter[bytes] = field(default_factory=Counter)
    read: Counter[bytes] = field(default_factory=Counter)


class _RowError(ValueError):
    """A row cannot be read; the message is a predicate of it, with the way out."""


class LabelledFile:
    """The documents that a file has, made anew each time they are asked for.

    Every row is read once when it is made, so that nothing is loaded of a file that is wrong.

    Parameters
    ----------
    problem : Problem
        Declares fields, kinds and labels.
    table : TableFile
        The file.
    inputs : InputColumns
        The columns of the input.
    label_column : str
        The column of the label.
    id_column : str or None
        The column of the id; None takes ``_id`` where there is one, or the content of the row.
    source : str or None
        Only rows of this source.
    most : int or None
        How many rows are read at most, the first ones; None reads all.

    Raises
    ------
    OutsideError
        If a column is missing, there are no rows, none can be read, or two have one id; the message
        names it.

    Attributes
    ----------
    unreadable : list of str
        Why some rows cannot be read, the first ones: each becomes a document that goes to
        quarantine, with what is written there.
    n_unreadable : int
        How many they are.
    earlier_ids : dict of str to str
        The id that an earlier release gave to a row without one, by that of today, of the rows of
        which the two differ; complete up to the row that was yielded last.
    """

    def __init__(
        self,
        problem: Problem,
        table: TableFile,
        inputs: InputColumns,
        *,
        label_column: str,
        id_column: str | None = None,
        source: str | None = None,
        most: int | None = None,
    ) -> None:
        self._names, self._table, self._inputs = problem.source.fields, table, inputs
        self._label_column, self._chosen, self._most = label_column, source, most
        self._labels = LabelReader(problem.labels)
        self._label_names = list(problem.labels)
        columns = table.columns
        if not columns:
            wrong = next((row for row in table.rows() if row.wrong is not None), None)
            raise OutsideError(
                f"The file {table.path} has no rows."
                if wrong is None
                else f"{self._where(wrong)} {wrong.wrong}."
            )
        require_columns(table, [*inputs.names, label_column, *([id_column] if id_column else [])])
        self._id_column = id_column or (_ID if _ID in columns else None)
        own = self._names.source
        self._source_column = own if own in columns else _SOURCE
        self._fields = inputs_of(problem).names
        self._read = {*inputs.names, label_column, self._id_column, self._source_column}
        # A column of numbers has one type: whole ones become floating ones beside these.
        self._floating: set[str] = set()
        self._now = datetime.now(UTC)
        self.unreadable: list[str] = []
        self.n_unreadable = 0
        self.earlier_ids: dict[str, str] = {}
        self._count = self._check()

    @property
    def identity(self) -> dict[str, str]:
        """Column -> kind of what tells rows apart; empty where an id or one text does."""
        return {} if self._id_column is not None else self._inputs.identity

    @property
    def stem(self) -> str:
        """The name of the file without its endings, which is the source of its rows."""
        return stem_of(self._table.path)

    def has(self, columns: Iterable[str]) -> bool:
        """Return whether the file has all of some columns."""
        return all(has_column(self._table, column) for column in columns)

    def identify_by(self, identity: dict[str, str]) -> None:
        """Tell rows without ids apart by other columns than today's inputs; see `InputColumns`."""
        self._inputs.identify_by(identity)

    def __len__(self) -> int:
        """Return the number of documents."""
        return self._count

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents: the same row of the same file always gets the same id.

        An input that stands in the file several times becomes several documents, as it would
        arrive.
        """
        times_seen = _TimesSeen()
        self.earlier_ids.clear()
        for row in self._rows():
            if self._is_chosen(row):
                yield self._document(row, times_seen)

    def _rows(self) -> Iterator[Row]:
        return islice(self._table.rows(), self._most)

    def _check(self) -> int:
        places: dict[str | ObjectId, int] = {}
        rows = count = 0
        for row in self._rows():
            rows += 1
            if not self._is_chosen(row):
                continue
            count += 1
            # Only an id of its own is looked at here.
            document = self._document(row, None)
            if _UNREADABLE in document:
                self._report(row, document[_UNREADABLE]["why"])
            elif self._id_column is not None:
                self._check_id(row, document[_ID], places)
            self._floating |= {
                name for name in self._fields if isinstance(paths.read(document, name), float)
            }
        if not rows:
            raise OutsideError(f"The file {self._table.path} has a header and no rows below it.")
        if not count:
            raise OutsideError(
                f"The file {self._table.path} has no row of the source {self._chosen!r}; it has "
                f"{rows:,} of others."
            )
        if self.n_unreadable == count:
            raise OutsideError(self.unreadable[0])
        return count

    def _report(self, row: Row, why: str) -> None:
        self.n_unreadable += 1
        if len(self.unreadable) < _SHOWN:
            self.unreadable.append(f"{self._where(row)} {why}.")

    def _check_id(self, row: Row, key: str | ObjectId, places: dict[str | ObjectId, int]) -> None:
        earlier = places.setdefault(key, row.place)
        if earlier != row.place:
            raise OutsideError(
                f"{self._where(row)} has the id {key!r} in {self._id_column!r}, which "
                f"{self._table.unit} {earlier:,} has, too; name a column that differs in each row."
            )

    def _where(self, row: Row) -> str:
        unit = self._table.unit.capitalize()
        return f"{unit} {row.place:,} of the file {self._table.path}"

    def _source(self, row: Row) -> str:
        value = paths.read(row.values, self._source_column)
        missing = value is None or value is paths.MISSING or value == ""
        return stem_of(self._table.path) if missing else str(value)

    def _is_chosen(self, row: Row) -> bool:
        return self._chosen is None or self._source(row) == self._chosen

    def _document(self, row: Row, times_seen: _TimesSeen | None) -> Document:
        """Return a row as a document; one that says why, if it cannot be read.

        Without the times that contents were seen, a document gets no id of its content.
        """
        if row.wrong is not None:
            return self._unreadable(row, row.wrong, row.written, times_seen)
        try:
            document = self._readable(row, times_seen)
        except _RowError as error:
            why = str(error)
        else:
            refused = why_not_stored(document)
            if refused is None:
                return document
            why = f"{refused}; shorten or remove it"
        written = str(list(row.values.values()))[:WRITTEN].encode("utf-8", "replace").decode()
        return self._unreadable(row, why, written, times_seen)

    def _unreadable(
        self, row: Row, why: str, written: str, times_seen: _TimesSeen | None
    ) -> Document:
        written = written.encode("utf-8", "replace").decode()
        source = stem_of(self._table.path)
        said = {"file": self._table.path.name, self._table.unit: row.place, "why": why}
        key = None
        if times_seen is not None:
            key = content_id(source, [why, written], times_seen.written)
        return {
            _ID: key,
            self._names.created_at: self._now,
            self._names.source: source,
            _UNREADABLE: {**said, "written": written},
        }

    def _readable(self, row: Row, times_seen: _TimesSeen | None) -> Document:
        given = as_text(paths.read(row.values, self._label_column))
        label = None if given is paths.MISSING else self._labels.read(given)
        read = self._inputs.read(row)
        values = {name: self._of_one_type(name, value) for name, value in read.items()}
        source = self._source(row)
        key = self._id(row)
        if key is None and times_seen is not None:
            is_name = given in self._label_names
            identifying = [given if is_name else common_reading(given)]
            identifying += self._inputs.identifying(row, read)
            key = content_id(source, identifying, times_seen.written)
            # An earlier release took the values, which change with the kinds of the problem's file.
            said = given if label is None or is_name else label
            earlier = content_id(source, [said, *map(values.get, self._fields)], times_seen.read)
            if earlier != key:
                self.earlier_ids[key] = earlier
        names = self._names
        declared = {**values, names.label: label, names.source: source, **self._dates(row)}
        return self._put_together({_ID: key}, self._others(row), declared)

    def _others(self, row: Row) -> Document:
        """Return what the columns hold of which the problem says nothing."""
        return {
            field_name(name): storable(value)
            for name, value in row.values.items()
            if name not in self._read and name != _ID
        }

    def _dates(self, row: Row) -> Document:
        """Return the dates; what is none stays as it is, and its document goes to quarantine."""
        names = self._names
        created_at = self._date(row, names.created_at)
        dates = {names.created_at: self._now if created_at is paths.MISSING else created_at}
        if names.updated_at is not None:
            changed = self._date(row, names.updated_at)
            dates |= {} if changed in (None, paths.MISSING) else {names.updated_at: changed}
        return dates

    def _put_together(self, *parts: Document) -> Document:
        """Return a document of values at paths; a later one takes the place of an earlier one."""
        document: Document = {}
        for path, value in chain.from_iterable(part.items() for part in parts):
            try:
                paths.put(document, path, value)
            except ValueError as error:
                raise _RowError(
                    f"has a value in {str(error)!r}, which is an object for {path!r}; rename one "
                    "of the two columns"
                ) from None
        return document

    def _of_one_type(self, name: str, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if whole and name in self._floating else value

    def _id(self, row: Row) -> str | ObjectId | None:
        if self._id_column is None:
            return None
        value = paths.read(row.values, self._id_column)
        if value is None or value is paths.MISSING or value == "":
            raise _RowError(f"has no id in {self._id_column!r}; give it one")
        return value if isinstance(value, ObjectId) else str(value)

    def _date(self, row: Row, path: str) -> Any:
        value = paths.read(row.values, path)
        if value is paths.MISSING:
            return value
        try:
            return None if is_missing(value) else read_date(value)
        except ValueError:
            return storable(value)


def open_labelled(
    problem: Problem,
    file: Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    encoding: str | None = None,
    source: str | None = None,
    most: int | None = None,
) -> LabelledFile:
    """Return the documents of a file.

    Parameters
    ----------
    problem : Problem
        Declares fields, kinds and labels.
    file : Path
        The file.
    text_column, label_column : str or None
        The columns of text and label; None takes those that are named as the problem's fields, or
        else text and label.
    id_column, source, most
        As of `LabelledFile`.
    encoding : str or None
        The encoding of the file; None finds it.
    """
    inputs, label = InputColumns(problem, text_column), problem.source.fields.label
    wanted = [*inputs.names, label_column or label, TEXT_COLUMN, LABEL_COLUMN]
    table = open_table(file, wanted, encoding=encoding)
    inputs.locate(table, TEXT_COLUMN)
    return LabelledFile(
        problem,
        table,
        inputs,
        label_column=label_column or column_of(table, label, LABEL_COLUMN),
        id_column=id_column,
        source=source,
        most=most,
    )


def content_id(source: str, values: Sequence[Any], times_seen: Counter[bytes]) -> str:
    """Return the id of a document without one: the same for the same content, time by time.

    Parameters
    ----------
    source : str
        Its source.
    values : sequence of object
        Its label and its input.
    times_seen : Counter
        How often each content has come before, which is counted here.
    """
    content = "\0".join(str(value) for value in (source, *values))
    digest = hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=12)
    times_seen[digest.digest()] += 1
    return f"{source}-{digest.hexdigest()}-{times_seen[digest.digest()]}"
