"""Inputs in files: the declared kind of a field decides how its column is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from perennial import paths
from perennial.config.problem import Problem
from perennial.config.sections.fields import FieldSpec
from perennial.fields import KINDS
from perennial.fields.number import KIND as NUMBER
from perennial.files.readings import as_text, common_reading
from perennial.files.rows import Row, TableFile
from perennial.files.table import column_of
from perennial.inputs.base import inputs_of

# The columns of text and label in a file that has none of the problem's own names.
TEXT_COLUMN, LABEL_COLUMN = "text", "label"
# Kinds of one value each, of which people easily declare the wrong one.
_SCALAR = {"boolean", "category", "number"}


class InputColumns:
    """The columns of a file in which a problem's inputs are.

    Parameters
    ----------
    problem : Problem
        Declares the fields and their kinds.
    text_column : str or None
        The column of the text; None takes the name of its field.

    Attributes
    ----------
    names : tuple of str
        The columns, by name or path.
    """

    def __init__(self, problem: Problem, text_column: str | None = None) -> None:
        self._is_named = text_column is not None
        inputs = inputs_of(problem)
        self._kinds = {name: spec.kind for name, spec in (problem.inputs or {}).items()}
        self._read = {name: _reader(spec) for name, spec in (problem.inputs or {}).items()}
        if inputs.fields is None and text_column is not None:
            self._fields = {text_column: inputs.names[0]}
        else:
            self._fields = {name: name for name in inputs.names}
        self.names = tuple(self._fields)
        self._identity: dict[str, str] | None = None

    def locate(self, table: TableFile, text_column: str | None = None) -> None:
        """Find the columns in a table: a name that MongoDB does not take is another one there.

        Parameters
        ----------
        table : TableFile
            The table.
        text_column : str or None
            The column of a text that has no column of its own name.
        """
        if not self._is_named:
            otherwise = text_column if len(self._fields) == 1 and not self._read else None
            fields = self._fields.values()
            self._fields = {column_of(table, field, otherwise): field for field in fields}
            self.names = tuple(self._fields)

    def read(self, row: Row) -> dict[str, Any]:
        """Return field -> value as a document has it; a field that the row lacks is left out.

        A value that may mean two things stays as it is, so that its document goes to quarantine.
        """
        found: dict[str, Any] = {}
        for column, field in self._fields.items():
            value = as_text(paths.read(row.values, column))
            if value is paths.MISSING:
                continue
            try:
                found[field] = self._read[field](value) if self._read else value
            except ValueError:
                found[field] = value
        return found

    @property
    def identity(self) -> dict[str, str]:
        """Column -> kind of what tells the rows of records without ids apart; empty for a text."""
        if self._identity is not None:
            return self._identity
        return {column: self._kinds[field] for column, field in self._fields.items() if self._kinds}

    def identify_by(self, identity: dict[str, str]) -> None:
        """Tell rows apart by other columns: by those of when they were loaded for the first time.

        Parameters
        ----------
        identity : dict of str to str
            Column -> kind, in the order in which `identity` gave them then.
        """
        self._identity = identity

    def identifying(self, row: Row, read: dict[str, Any]) -> tuple[Any, ...]:
        """Return what identifies a row, whatever format it is in and whatever kinds are declared.

        Parameters
        ----------
        row : Row
            The row.
        read : dict of str to object
            Its fields as `read` returned them.
        """
        if not self._kinds:
            return tuple(map(read.get, self._fields.values()))
        return tuple(
            _identifying(as_text(paths.read(row.values, column)), kind)
            for column, kind in self.identity.items()
        )


def _identifying(value: Any, kind: str) -> Any:
    if kind in _SCALAR:
        return common_reading(value)
    if value is paths.MISSING:
        return None
    try:
        return KINDS[kind].from_file(value)
    except ValueError:
        return value


def _reader(spec: FieldSpec) -> Callable[[Any], Any]:
    if spec.kind == NUMBER.name and spec.decimal != ".":
        return partial(NUMBER.read, decimal=spec.decimal)
    return KINDS[spec.kind].from_file
