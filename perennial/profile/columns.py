"""Columns of unknown data: what each of them can be for a problem."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from statistics import median
from typing import Any

from perennial.fields import KINDS
from perennial.fields.number import KIND as NUMBER
from perennial.files.storable import read_date
from perennial.profile.table import Column, TableProfile, countable
from perennial.text.scripts import MOSTLY, count_words, unspaced_share


class Role(StrEnum):
    """What a column can be."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    TEXT = "text"
    DATE = "date"
    WORDS = "list of words"
    NAME = "name"
    ID = "id"
    CONSTANT = "one value"
    EMPTY = "empty"
    LIST = "list"
    OTHER = "other"


# The kind of field that a column of a role becomes.
KIND_OF: Mapping[Role, str] = {
    Role.NUMBER: "number",
    Role.BOOLEAN: "boolean",
    Role.CATEGORY: "category",
    Role.TEXT: "text",
    Role.DATE: "date",
    Role.WORDS: "words",
}

# Share of the values that must be of a kind for the column to be of it; the others are quarantined.
_MOST = 0.95
# Codes with more values are taken for names, unless they repeat.
MOST_CATEGORIES = 200
_REPEATED = 0.5
_WORDS, _UNSPACED_LETTERS = 4, 8
_LOOKED_AT = 2_000
_MANY_WORDS = 50
_IDENTIFIER = re.compile(r"(^|[_\W])(id|uuid|guid|key|index|nr|no|number)$|[a-z]I[Dd]$|^unnamed")
_CODE = re.compile(r"zip|postal|postcode|plz|code", re.IGNORECASE)
_PARTS = re.compile(r"[^\W\d_]{2,}[-_./ ][^\W\d_]{2,}")
# Numbers that have only one meaning: thousands are separated in threes.
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d*),(\d{1,2}|\d{4,})", re.ASCII)
_DECIMAL_POINT = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d*)\.(\d{1,2}|\d{4,})", re.ASCII)
_LEADING_ZERO = re.compile(r"0\d+", re.ASCII)


@dataclass(frozen=True, eq=False)
class Described:
    """A column and what it can be.

    Attributes
    ----------
    column : Column
        The column.
    role : Role
        What it can be.
    distinct : int
        Its different values, in the sample if there are many.
    note : str
        Why it is that, or what is odd about it; a clause, or nothing.
    decimal : str
        The decimal mark of numbers that are texts.
    """

    column: Column
    role: Role
    distinct: int
    note: str = ""
    decimal: str = "."

    @property
    def name(self) -> str:
        """The name of the column."""
        return self.column.name


def describe_columns(table: TableProfile) -> dict[str, Described]:
    """Return what each column of a table can be."""
    return {name: _describe(column, table) for name, column in table.columns.items()}


def _describe(column: Column, table: TableProfile) -> Described:
    present = column.present
    if not present:
        return Described(column, Role.EMPTY, 0)
    if _share(isinstance(value, list | tuple) for value in present) > 1 - _MOST:
        words = all(isinstance(each, str) for value in present for each in _listed(value))
        return Described(column, Role.WORDS if words else Role.LIST, 0)
    counted = column.counts
    distinct = len(counted) if counted is not None else len(set(map(countable, present)))
    if counted is not None and len(counted) == 1:
        return Described(column, Role.CONSTANT, 1)
    some = thinned(present, _LOOKED_AT)
    decimal = _decimal_mark(some)
    role, note = _role(column, some, distinct, decimal, table)
    return Described(column, role, distinct, note, decimal if role is Role.NUMBER else ".")


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _role(
    column: Column, present: Sequence[Any], distinct: int, decimal: str, table: TableProfile
) -> tuple[Role, str]:
    if all(isinstance(value, date) for value in present):
        return Role.DATE, ""
    if not all(isinstance(value, str | bool | int | float) for value in present):
        return _of_objects(present)
    if _is_boolean(present, distinct, is_typed=table.is_typed):
        return Role.BOOLEAN, ""
    numbers = _numbers(present, decimal, is_typed=table.is_typed)
    if len(numbers) >= _MOST * len(present):
        return _of_numbers(column, present, numbers, distinct)
    texts = [value for value in present if isinstance(value, str)]
    return _of_mostly_texts(texts, len(present), distinct, is_typed=table.is_typed)


def _of_mostly_texts(
    texts: Sequence[str], present: int, distinct: int, *, is_typed: bool
) -> tuple[Role, str]:
    if len(texts) < _MOST * present:
        return Role.OTHER, "has values of several types"
    if _share(map(_is_date, texts)) >= _MOST:
        return Role.DATE, "are texts, not dates" if is_typed else ""
    return _of_texts(texts, distinct)


def _of_objects(present: Sequence[Any]) -> tuple[Role, str]:
    if len({str(value) for value in present}) == len(present):
        return Role.ID, ""
    return Role.OTHER, "has values that are neither texts nor numbers"


def _share(found: Iterable[bool]) -> float:
    values = list(found)
    return sum(values) / max(len(values), 1)


def _is_boolean(present: Sequence[Any], distinct: int, *, is_typed: bool) -> bool:
    if is_typed:
        return all(isinstance(value, bool) for value in present)
    read = KINDS["boolean"].from_file
    return distinct == 2 and all(isinstance(read(value), bool) for value in present)


def _decimal_mark(present: Sequence[Any]) -> str:
    """Return the comma if it alone is the decimal mark of some numbers that are texts."""
    texts = [value.strip() for value in present if isinstance(value, str)]
    has_comma = any(_DECIMAL_COMMA.fullmatch(text) for text in texts)
    return "," if has_comma and not any(map(_DECIMAL_POINT.fullmatch, texts)) else "."


def _numbers(present: Sequence[Any], decimal: str, *, is_typed: bool) -> list[float]:
    found = []
    for value in present:
        try:
            number = NUMBER.check(value if is_typed else NUMBER.read(value, decimal=decimal))
        except ValueError:
            continue
        if isinstance(number, float):
            found.append(number)
    return found


def _of_numbers(
    column: Column, present: Sequence[Any], numbers: Sequence[float], distinct: int
) -> tuple[Role, str]:
    is_whole = all(number.is_integer() for number in numbers)
    is_code = any(isinstance(v, str) and _LEADING_ZERO.fullmatch(v.strip()) for v in present)
    if is_code or (_CODE.search(column.name) and is_whole):
        if distinct <= MOST_CATEGORIES:
            return Role.CATEGORY, "codes, not quantities"
        return Role.NAME, f"has {distinct:,} different codes"
    if is_whole and len(set(numbers)) == len(numbers) > 2:
        ordered = sorted(numbers)
        is_row_number = ordered[-1] - ordered[0] == len(ordered) - 1 == column.rows - 1
        if is_row_number or _IDENTIFIER.search(column.name) or column.name.startswith("column_"):
            return Role.ID, ""
    if is_whole and _IDENTIFIER.search(column.name) and distinct > MOST_CATEGORIES:
        return Role.ID, ""
    wrong = len(present) - len(numbers)
    note = f"about {wrong / len(present):.1%} of the values are no numbers" if wrong else ""
    return Role.NUMBER, note


def _is_date(text: str) -> bool:
    if "-" not in text[4:8]:
        return False
    try:
        read_date(text)
    except ValueError:
        return False
    return True


def _of_texts(texts: Sequence[str], distinct: int) -> tuple[Role, str]:
    known = len(set(texts))
    words = median(count_words(text, _MANY_WORDS) for text in texts)
    letters = median(map(len, texts))
    is_prose = words >= _WORDS or (
        letters >= _UNSPACED_LETTERS
        and unspaced_share([text[:50] for text in texts[:200]]) >= MOSTLY
    )
    if is_prose and known > max(_REPEATED * len(texts), 20):
        return Role.TEXT, f"{words:.0f} words in the middle"
    has_spaces = _share(" " in text.strip() for text in texts) > _REPEATED
    if known == len(texts) > 2 and not has_spaces and not _has_parts(texts):
        return Role.ID, ""
    if known <= max(_REPEATED * len(texts), 2):
        return Role.CATEGORY, ""
    if has_spaces or _has_parts(texts):
        return Role.TEXT, "names of several parts"
    return Role.NAME, f"has {distinct:,} different values"


def _has_parts(texts: Sequence[str]) -> bool:
    """Return whether most texts are made of words that are joined, as lib-name-dev is."""
    return _share(_PARTS.search(text) is not None for text in texts) > _REPEATED


def thinned(values: Sequence[Any], most: int) -> list[Any]:
    """Return at most about so many values, at equal distances."""
    return list(values[:: max(1, math.ceil(len(values) / most))])


def date_span(column: Column) -> tuple[datetime, datetime] | None:
    """Return the earliest and the latest sampled date of a column."""
    dates = []
    for value in column.present:
        try:
            dates.append(read_date(value))
        except ValueError:
            continue
    return (min(dates), max(dates)) if dates else None
