"""Expectations: what a snapshot's documents are like, field by field, and which new ones break it.

They are learned from the training documents of a version, and say nothing of single ones: ranges
leave out the outermost percent at each end, and a value has to be that of several documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import stats

from perennial.errors import OutsideError
from perennial.monitoring.holm import corrected

What = Literal["missing", "outside"]
LABEL = "label"
# Between these percentiles are the usual numbers: what lies outside may be somebody's own.
_PERCENT = (1, 99)
# A value of fewer documents may be somebody's own.
_LEAST = 5
_MOST_VALUES = 1_000
_SHOWN = 50


@dataclass(frozen=True)
class Expectation:
    """What the documents of a snapshot are like in one field.

    Attributes
    ----------
    field : str
        Name of the field; ``text`` and ``label`` where documents are texts.
    documents : int
        How many documents it was learned from.
    missing : int
        How many of them have no value.
    low, high : float or None
        Between which numbers 98% of the others are; of texts, their numbers of characters.
    values : tuple of str or None
        The values of at least five documents; None where values are no categories.
    outside : int
        How many of the documents with a value are outside of the range, or have another value.
    """

    field: str
    documents: int
    missing: int
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] | None = None
    outside: int = 0

    @property
    def usual(self) -> str:
        """The range or the values, for people."""
        if self.values is not None:
            return f"one of {len(self.values):,} values"
        return f"{self.low:,.4g} to {self.high:,.4g}"


@dataclass(frozen=True)
class Surprise:
    """New documents that break an expectation more often than those that it was learned from.

    Attributes
    ----------
    field : str
        Name of the field.
    what : {"missing", "outside"}
        Whether values are missing, or outside of what is usual.
    documents, of : int
        How many new documents break it, of how many.
    expected : float
        The share that does in the snapshot.
    usual : str
        What is usual, for people.
    p_value : float
        Chance of so many if the share has not changed, corrected for all expectations.
    example : str
        The most frequent unusual value of a category; empty otherwise.
    """

    field: str
    what: What
    documents: int
    of: int
    expected: float
    usual: str
    p_value: float
    example: str = ""

    @property
    def share(self) -> float:
        """The share of the new documents that breaks it."""
        return self.documents / self.of

    def __str__(self) -> str:
        what = "have no value" if self.what == "missing" else f"are not {self.usual}"
        often = f", most often {self.example!r}" if self.example else ""
        return (
            f"{self.field}: {self.documents:,} of {self.of:,} new documents {what}{often}; "
            f"{self.expected:.1%} were expected"
        )


def columns_of(inputs: pa.Array, kinds: Mapping[str, str], labels: Sequence[str]) -> pa.Table:
    """Return documents column by column: numbers as float64, texts by length, all else as texts.

    Parameters
    ----------
    inputs : Array, shape (n_documents,)
        Texts, or records of fields.
    kinds : mapping of str to str
        The fields with their kinds; empty where documents are texts.
    labels : sequence of str, shape (n_documents,)
        Their labels.
    """
    found = {"text": _comparable("text", inputs)} if not kinds else {}
    for name, kind in kinds.items():
        found[name] = _comparable(kind, inputs.field(inputs.type.get_field_index(name)))
    return pa.table({**found, LABEL: pa.array(list(labels), pa.string())})


def _comparable(kind: str, values: pa.Array) -> pa.Array:
    if kind == "number":
        numbers = values.cast(pa.float64())
        return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))
    if kind == "text":
        return pc.utf8_length(values.cast(pa.large_string())).cast(pa.float64())
    if kind in ("category", "boolean"):
        return values.cast(pa.string())
    # Dates move on, and of a list of words each is one of many: only that there is one is expected.
    return pc.if_else(pc.is_valid(values), pa.scalar(0.0), pa.scalar(None, pa.float64()))


def learn(documents: pa.Table) -> tuple[Expectation, ...]:
    """Return what documents are like, from what `columns_of` returned."""
    return tuple(_learn(name, documents[name]) for name in documents.column_names)


def _learn(name: str, column: pa.ChunkedArray) -> Expectation:
    found = Expectation(name, len(column), column.null_count)
    given = column.drop_null()
    if pa.types.is_string(column.type):
        often = [value for value, count in _counted(given)[:_MOST_VALUES] if count >= _LEAST]
        found = replace(found, values=tuple(sorted(often)))
    elif len(given):
        low, high = np.percentile(given.to_numpy(), _PERCENT).tolist()
        found = replace(found, low=low, high=high)
    return replace(found, outside=int(_outside(found, given).sum()))


def check(
    expectations: Sequence[Expectation], new: pa.Table, *, significance: float, limit: float
) -> tuple[Surprise, ...]:
    """Return the expectations that new documents break, the clearest first.

    One is broken if the share of new documents that break it is significantly higher than in the
    snapshot (Fisher's exact test, corrected for all of them after Holm 1979) and by at least the
    limit: a large sample alone is no surprise, nor is a single odd document among few.

    Parameters
    ----------
    expectations : sequence of Expectation
        What `learn` returned for the documents of before; fields that are gone are left out.
    new : Table
        What `columns_of` returned for documents that came later.
    significance : float
        Chance of a false finding, whatever the number of the fields.
    limit : float
        From which rise of a share on it matters.
    """
    known = {each.field: each for each in expectations if each.field in new.column_names}
    tried = [found for name, each in known.items() for found in _try(each, new[name])]
    tried.sort(key=lambda found: found.p_value)
    p_values = corrected([found.p_value for found in tried])
    return tuple(
        replace(found, p_value=p_value)
        for found, p_value in zip(tried, p_values, strict=True)
        if p_value <= significance and found.share - found.expected >= limit
    )


def _try(known: Expectation, column: pa.ChunkedArray) -> Iterator[Surprise]:
    if not len(column):
        return
    missing = column.null_count
    counts = (missing, len(column)), (known.missing, known.documents)
    yield _surprise(known, "missing", *counts)
    given = column.drop_null()
    if len(given) and (known.values is not None or known.low is not None):
        outside = _outside(known, given)
        counts = (int(outside.sum()), len(given)), (known.outside, known.documents - known.missing)
        found = _surprise(known, "outside", *counts)
        if known.values is not None and outside.any():
            found = replace(found, example=_counted(given.filter(pa.array(outside)))[0][0][:_SHOWN])
        yield found


def _counted(values: pa.ChunkedArray) -> list[tuple[str, int]]:
    """Return distinct texts with their numbers, the most frequent first."""
    counts = {each["values"]: each["counts"] for each in pc.value_counts(values).to_pylist()}
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))


def _surprise(
    known: Expectation, what: What, new: tuple[int, int], before: tuple[int, int]
) -> Surprise:
    table = [[count, of - count] for count, of in (new, before)]
    p_value = float(stats.fisher_exact(table, alternative="greater").pvalue)
    expected = before[0] / before[1] if before[1] else 0.0
    usual = "" if what == "missing" else known.usual
    return Surprise(known.field, what, *new, expected, usual, p_value)


def _outside(known: Expectation, given: pa.ChunkedArray) -> NDArray[np.bool_]:
    if known.values is not None:
        usual = pc.is_in(given, pa.array(known.values, pa.string()))
        return np.asarray(pc.invert(usual).to_numpy(), np.bool_)
    if known.low is None or known.high is None:
        return np.zeros(len(given), np.bool_)
    numbers = given.to_numpy()
    outside: NDArray[np.bool_] = (numbers < known.low) | (numbers > known.high)
    return outside


def written(expectations: Sequence[Expectation]) -> bytes:
    """Return expectations as the content of a JSON file."""
    return json.dumps([asdict(each) for each in expectations], ensure_ascii=False).encode()


def read(content: bytes, where: str) -> tuple[Expectation, ...]:
    """Return the expectations of a file.

    Parameters
    ----------
    content : bytes
        What `written` returned.
    where : str
        The file, for the message.

    Raises
    ------
    OutsideError
        If the file is damaged.
    """
    try:
        rows = json.loads(content)
        return tuple(
            Expectation(**{**row, "values": None if row["values"] is None else (*row["values"],)})
            for row in rows
        )
    except (KeyError, TypeError, ValueError) as error:
        raise OutsideError(
            f"{where} is damaged; delete it there, and retrain with --force for a new one."
        ) from error
