"""Findings: what unknown data is for, as far as it shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from perennial import paths
from perennial.errors import OutsideError
from perennial.files.rows import listed
from perennial.files.storable import field_name
from perennial.profile.columns import KIND_OF, Described, Role, date_span, describe_columns
from perennial.profile.labels import LabelGuess, guess_label, label_counts, require_label
from perennial.profile.languages import likely_language, script_names
from perennial.profile.relations import (
    Leak,
    Repeats,
    find_group,
    find_leaks,
    find_repeats,
    near_copies,
)
from perennial.profile.table import TableProfile
from perennial.text.scripts import MOSTLY, count_words, unspaced_share

Task = Literal["text", "record"]
# Returns the column that is the label, of several that could be.
Choose = Callable[[LabelGuess], str]

_FIELD = re.compile(r"[^.$\s][^.$]*(\.[^.$]+)*")
_LONGEST_NAME = 100
_CREATED = re.compile(r"creat|date|time|datum|fecha|^at$|_at$", re.IGNORECASE)
_OF_SOMETHING_ELSE = re.compile(r"birth|geburt|dob|due|expir|valid|updat|modif|clos", re.IGNORECASE)
_MOST_WORDS = 200


@dataclass(frozen=True, eq=False)
class TextFindings:
    """What the texts of a problem are like.

    Attributes
    ----------
    column : str
        Where they are.
    scripts : sequence of str
        The scripts of their letters.
    language : str or None
        The language, if their letters tell.
    is_unspaced : bool
        Whether there are no spaces between words.
    words : float
        The median of their words.
    short : float
        Share of texts with fewer than three words.
    near_copies : float
        Share of the texts that are near-copies of an earlier one.
    """

    column: str
    scripts: Sequence[str]
    language: str | None
    is_unspaced: bool
    words: float
    short: float
    near_copies: float


@dataclass(frozen=True, eq=False)
class Findings:
    """What unknown data is for.

    Attributes
    ----------
    table : TableProfile
        The data.
    columns : mapping of str to Described
        What each column can be.
    label : Described
        The column of the label.
    why_label : str
        Why it is taken for that.
    task : {"text", "record"}
        The kind of input.
    text : TextFindings or None
        Of texts: what they are like.
    fields : sequence of Described
        Of records: the columns that become fields.
    left_out : mapping of str to str
        Other column -> why it is no input, as a clause.
    created_at : str or None
        The column that says when a document was created.
    span : tuple of datetime, or None
        The earliest and latest of these dates.
    group : str or None
        The column that rows have in common which belong together.
    leaks : sequence of Leak
        Columns that alone say the label, or nearly.
    repeats : Repeats
        How often inputs are repeated.
    """

    table: TableProfile
    columns: Mapping[str, Described]
    label: Described
    why_label: str
    task: Task
    text: TextFindings | None
    fields: Sequence[Described]
    left_out: Mapping[str, str]
    created_at: str | None
    span: tuple[datetime, datetime] | None
    group: str | None
    leaks: Sequence[Leak]
    repeats: Repeats
    unlabelled: int = field(default=0)


def examine(
    table: TableProfile,
    *,
    label: str | None = None,
    text: str | None = None,
    choose: Choose | None = None,
) -> Findings:
    """Return what unknown data is for.

    Parameters
    ----------
    table : TableProfile
        The data.
    label : str or None
        The column of the label; None guesses.
    text : str or None
        The column of the text; None guesses whether there is one.
    choose : callable or None
        Asks which of several columns is the label; None takes the likeliest.

    Raises
    ------
    OutsideError
        If no classifier can be made of it, in one sentence.
    """
    if not table.rows:
        raise OutsideError("There are no rows, and a problem needs some to be declared.")
    if (around := _around_the_rows(table)) is not None:
        raise OutsideError(
            f"There is one object, whose {around!r} is a list of others; if these are the rows, "
            "write that list alone, [{...}, {...}], into the file."
        )
    columns = describe_columns(table)
    for name in (label, text):
        if name is not None and name not in columns:
            raise OutsideError(f"There is no column {name!r}; there are {listed(list(columns))}.")
    why = "as it was named"
    if label is None:
        guess = guess_label(table, columns)
        label, why = guess.column, guess.why
        if guess.others and choose is not None:
            label, why = choose(guess), "as it was chosen"
        elif label in (columns[label].column.counts or {}):
            raise OutsideError(
                f"The first row seems to be no header, as {label!r} is the name of a column and "
                "one of its values; write a row of names above it, such as text and "
                f"label, or name the label by --label {label}."
            )
    require_label(columns[label], table.rows)
    return _Examination(table, columns, columns[label], why, text).findings()


def _around_the_rows(table: TableProfile) -> str | None:
    """Return the field of a single row that most likely has the rows themselves, if one has."""
    if table.rows != 1:
        return None
    values = ((name, column.sample[0]) for name, column in table.columns.items() if column.sample)
    lists = ((name, value) for name, value in values if isinstance(value, list) and value)
    return next((name for name, value in lists if all(isinstance(x, dict) for x in value)), None)


class _Examination:
    """Decides what each column but the label is for."""

    def __init__(
        self,
        table: TableProfile,
        columns: Mapping[str, Described],
        label: Described,
        why: str,
        text: str | None,
    ) -> None:
        self._table, self._columns, self._label, self._why = table, columns, label, why
        self._left_out: dict[str, str] = {}
        self._named_text = text

    def findings(self) -> Findings:
        others = {name: each for name, each in self._columns.items() if name != self._label.name}
        created_at, span = self._dates(others)
        group = find_group(others, self._label.name)
        fields = [
            each
            for name, each in others.items()
            if each.role in KIND_OF
            and name != created_at
            and not each.note.startswith("are texts")
            and (group is None or name != group.name)
        ]
        leaks = find_leaks(fields, self._label)
        fields = [each for each in fields if not self._is_leak(each, leaks)]
        text = self._text(others, fields)
        if text is not None:
            for each in fields:
                if each.name != text:
                    self._left_out[each.name] = "the text alone is the input"
            fields, inputs = [], [text]
        else:
            fields = self._named(fields)
            inputs = [each.name for each in fields]
        if not inputs:
            raise OutsideError(
                f"No column beside the label {self._label.name!r} could be the input: "
                f"{self._reasons(others)}; add texts, numbers or categories."
            )
        self._explain(others, inputs, created_at, group)
        samples = [self._columns[name].column.sample for name in inputs]
        return Findings(
            table=self._table,
            columns=self._columns,
            label=self._label,
            why_label=self._why,
            task="record" if text is None else "text",
            text=None if text is None else _about(self._columns[text]),
            fields=fields,
            left_out=self._left_out,
            created_at=created_at,
            span=span,
            group=None if group is None else group.name,
            leaks=leaks,
            repeats=find_repeats(samples, self._label.column.sample),
            unlabelled=self._table.rows - sum((label_counts(self._label) or {}).values()),
        )

    def _dates(
        self, others: Mapping[str, Described]
    ) -> tuple[str | None, tuple[datetime, datetime] | None]:
        dates = [each for each in others.values() if each.role is Role.DATE and not each.note]
        for each in dates:
            if _CREATED.search(each.name) and not _OF_SOMETHING_ELSE.search(each.name):
                return each.name, date_span(each.column)
        return None, None

    def _is_leak(self, each: Described, leaks: Sequence[Leak]) -> bool:
        found = next((leak for leak in leaks if leak.field == each.name), None)
        if found is None or not found.is_certain:
            return False
        self._left_out[each.name] = (
            f"a leak: it alone says the label ({found.share:.1%} of each label)"
        )
        return True

    def _text(self, others: Mapping[str, Described], fields: Sequence[Described]) -> str | None:
        """Return the column of the text that alone is the input; None if there are fields."""
        if self._named_text is not None:
            return self._named_text
        if len(fields) == 1 and fields[0].role is Role.TEXT:
            return fields[0].name
        named = [
            each
            for each in others.values()
            if each.role in (Role.NAME, Role.ID) and _is_written(each)
        ]
        if fields or not named:
            # A single column of few texts is what they are.
            return None
        return max(named, key=lambda each: each.column.characters).name

    def _named(self, fields: Sequence[Described]) -> list[Described]:
        """Return the fields whose names a problem's file can have."""
        left: list[Described] = []
        for each in fields:
            name = field_name(each.name)
            if len(name) > _LONGEST_NAME or not _FIELD.fullmatch(name):
                self._left_out[each.name] = "its name can be no field's; rename it"
            elif paths.collision([*(field_name(other.name) for other in left), name]):
                self._left_out[each.name] = "its name leads into another field; rename it"
            elif name.partition(".")[0] == "_id":
                self._left_out[each.name] = "an id"
            else:
                left.append(each)
        return left

    def _reasons(self, others: Mapping[str, Described]) -> str:
        reasons = [
            f"{name} ({self._left_out.get(name, _WHY.get(each.role, each.role.value))})"
            for name, each in others.items()
        ]
        return listed(reasons) or "there is none"

    def _explain(
        self,
        others: Mapping[str, Described],
        inputs: Sequence[str],
        created_at: str | None,
        group: Described | None,
    ) -> None:
        for name, each in others.items():
            if name in inputs or name == created_at or name in self._left_out:
                continue
            if group is not None and name == group.name:
                continue
            why = _WHY.get(each.role, each.role.value)
            self._left_out[name] = f"{why}: {each.note}" if each.note else why


_WHY = {
    Role.ID: "an id",
    Role.CONSTANT: "always the same",
    Role.EMPTY: "empty",
    Role.DATE: "a date",
    Role.NAME: "too many different texts for a category",
    Role.LIST: "lists",
    Role.TEXT: "another text",
    Role.OTHER: "neither text nor number",
}


def _is_written(each: Described) -> bool:
    values = each.column.present
    written = [value for value in values if isinstance(value, str) and any(map(str.isalpha, value))]
    return len(written) > len(values) / 2


def _about(each: Described) -> TextFindings:
    texts = [value for value in each.column.present if isinstance(value, str)]
    some: list[Any] = texts[:: max(1, len(texts) // 1_000)]
    joined = " ".join(text[:200] for text in some)
    words = sorted(count_words(text, _MOST_WORDS) for text in some)
    return TextFindings(
        column=each.name,
        scripts=script_names(joined),
        language=likely_language([text[:200] for text in some]),
        is_unspaced=unspaced_share([joined]) >= MOSTLY,
        words=words[len(words) // 2] if words else 0,
        short=sum(count < 3 for count in words) / max(len(words), 1),
        near_copies=near_copies(texts),
    )
