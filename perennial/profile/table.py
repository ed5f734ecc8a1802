"""Tables of unknown data: counts of all rows in one pass, and a sample of bounded size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial.fields.base import NO_VALUE, is_missing
from perennial.profile.names import may_name_a_group

Values = Mapping[str, Any]

# So many rows are looked at closely, at most twice as many.
SAMPLED = 10_000
# A column with more different values is not counted value by value.
COUNTED = 1_000
# Except where its name says that it may group rows: a sample shows few of a group.
GROUPS_COUNTED = 100_000
_CHUNK = 10_000
_CHARACTERS = 4_000
_WORDS = pa.array(sorted(NO_VALUE))
_NO_TEXT = (pa.ArrowException, TypeError, ValueError, UnicodeError)


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Its name, or the path of a field within objects.
    rows : int
        Rows of the table.
    empty : int
        Rows without a value.
    missing : int
        Rows without a value, or with a word that says so, such as ``NA``.
    counts : Counter or None
        Value -> rows that have it; None if there are too many of them.
    characters : int
        Characters of all texts together.
    sample : list
        The values of the sampled rows, None for those without.
    """

    name: str
    rows: int
    empty: int
    missing: int
    counts: Counter[Any] | None
    characters: int
    sample: list[Any]

    @property
    def present(self) -> list[Any]:
        """The sampled values that are there."""
        return [value for value in self.sample if not is_missing(value)]


@dataclass(frozen=True, eq=False)
class TableProfile:
    """What one pass over a table has found.

    Attributes
    ----------
    rows : int
        How many rows there are.
    columns : mapping of str to Column
        The columns in their order.
    is_typed : bool
        Whether values have types of their own that must stay, as in MongoDB; else they are read as
        a problem's kinds say.
    """

    rows: int
    columns: Mapping[str, Column]
    is_typed: bool


def profile_table(
    rows: Iterable[Values], names: Iterable[str] = (), *, is_typed: bool = False
) -> TableProfile:
    """Return what a table has, which is read once and never held as a whole.

    Parameters
    ----------
    rows : iterable of mapping
        Column -> value; objects in it become columns by the paths of their fields.
    names : iterable of str
        Columns that are known beforehand, also if no row has them.
    is_typed : bool
        As of `TableProfile`.
    """
    counters = {name: _Counter(name) for name in names}
    sample = _Sample()
    seen = 0
    for chunk in _chunks(rows):
        flat: list[Values] = [*map(_flattened, chunk)] if _has_objects(chunk) else chunk
        present: dict[str, Any] = {}
        for row in flat:
            present.update(row)
        for name in present:
            counter = counters.setdefault(name, _Counter(name, seen))
            counter.add([row.get(name) for row in flat])
        seen += len(flat)
        for counter in counters.values():
            counter.fill(seen)
        sample.add(flat)
    columns = {
        name: Column(
            name,
            seen,
            counter.empty,
            counter.missing,
            counter.counts,
            counter.characters,
            [row.get(name) for row in sample.rows],
        )
        for name, counter in counters.items()
    }
    return TableProfile(seen, columns, is_typed)


def _chunks(rows: Iterable[Values]) -> Iterator[list[Values]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _has_objects(rows: list[Values]) -> bool:
    return any(dict in set(map(type, row.values())) for row in rows)


def _flattened(row: Values, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            found |= _flattened(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


class _Counter:
    """Counts of one column."""

    def __init__(self, name: str, absent: int = 0) -> None:
        self._most = GROUPS_COUNTED if may_name_a_group(name) else COUNTED
        self.rows = self.empty = self.missing = absent
        self.characters = 0
        self.counts: Counter[Any] | None = Counter()

    def add(self, values: list[Any]) -> None:
        self.rows += len(values)
        try:
            array = pa.array(values, pa.string())
        except _NO_TEXT:
            self._add_one_by_one(values)
        else:
            self._add_texts(array)
        if self.counts is not None and len(self.counts) > self._most:
            self.counts = None

    def fill(self, rows: int) -> None:
        """Count rows that do not have the column."""
        absent = rows - self.rows
        self.rows, self.empty, self.missing = rows, self.empty + absent, self.missing + absent

    def _add_texts(self, array: pa.Array) -> None:
        trimmed = pc.utf8_trim_whitespace(array)
        absent = array.null_count + (pc.sum(pc.equal(trimmed, "")).as_py() or 0)
        self.empty += absent
        words = pc.is_in(pc.utf8_lower(trimmed), value_set=_WORDS)
        self.missing += array.null_count + (pc.sum(words).as_py() or 0)
        self.characters += pc.sum(pc.utf8_length(array)).as_py() or 0
        if self.counts is not None:
            for each in pc.value_counts(trimmed).to_pylist():
                if each["values"]:
                    self.counts[each["values"]] += each["counts"]

    def _add_one_by_one(self, values: list[Any]) -> None:
        for value in values:
            self.empty += value is None or value == ""
            self.missing += is_missing(value)
            self.characters += len(value) if isinstance(value, str) else 0
            if self.counts is not None and not is_missing(value):
                self.counts[countable(value)] += 1


class _Sample:
    """Rows at equal distances, the farther the more there are."""

    def __init__(self) -> None:
        self.rows: list[Values] = []
        self._step, self._seen = 1, 0

    def add(self, rows: list[Values]) -> None:
        first = -self._seen % self._step
        self.rows += [_cut(row) for row in rows[first :: self._step]]
        self._seen += len(rows)
        while len(self.rows) > 2 * SAMPLED:
            self.rows = self.rows[::2]
            self._step *= 2


def _cut(row: Values) -> Values:
    """Return a row whose texts are not longer than needed to guess."""
    return {
        name: value[:_CHARACTERS] if isinstance(value, str) else value
        for name, value in row.items()
    }


def countable(value: Any) -> Any:
    """Return a value as a key by which it is counted."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | int | float | datetime):
        return value
    return str(value)
