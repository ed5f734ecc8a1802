"""Relations between columns and the label: what says it alone, what groups rows, what repeats."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.fields.base import is_missing
from perennial.fields.number import KIND as NUMBER
from perennial.hashing import HASH_BYTES
from perennial.inputs.identity import CURRENT_IDENTITY, content_hashes
from perennial.inputs.near_copies import SKETCH_BYTES, representatives, sketches
from perennial.profile.columns import Described, Role, thinned
from perennial.profile.names import names_a_group

_SAYS, _NEARLY = 0.99, 0.95
_SAYING = (Role.NUMBER, Role.BOOLEAN, Role.CATEGORY)
_LEAST_ROWS = 100
# Of so many columns one says the label by chance.
_MANY_COLUMNS = 500
_BINS, _ROWS_PER_BIN = 20, 20
_LOOKED_AT = 4_000
_LEAST_GROUPS = 20
_ROWS_PER_GROUP = 1.5
_LONGEST = 1_000
_WORTH_A_WORD = 0.001


@dataclass(frozen=True)
class Leak:
    """A field that alone says the label, or nearly.

    Attributes
    ----------
    field : str
        The column.
    share : float
        How much of each label it tells on rows that it was not read on, the mean over labels.
    is_certain : bool
        Whether it says the label as good as always.
    """

    field: str
    share: float
    is_certain: bool


def find_leaks(columns: Sequence[Described], label: Described) -> list[Leak]:
    """Return the columns that alone say the label, of those that could be fields."""
    labels = _as_texts(thinned(label.column.sample, _LOOKED_AT))
    if sum(value is not None for value in labels) < _LEAST_ROWS:
        return []
    found = []
    some = [each for each in columns if each.role in _SAYING]
    for each in some if len(some) < _MANY_COLUMNS else ():
        share = _told(_coded(each), labels)
        if share >= _NEARLY:
            found.append(Leak(each.name, share, share >= _SAYS))
    return found


def _coded(each: Described) -> list[Any]:
    """Return the values of a column as few different ones: numbers by the part they are in."""
    values = thinned(each.column.sample, _LOOKED_AT)
    if each.role is not Role.NUMBER:
        return _as_texts(values)
    read = {value: _number(value, each.decimal) for value in set(values)}
    numbers = np.array([read[value] for value in values], np.float64)
    known = numbers[np.isfinite(numbers)]
    bins = max(_BINS, len(known) // _ROWS_PER_BIN)
    if len(np.unique(known)) <= bins:
        return [None if np.isnan(value) else float(value) for value in numbers]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
    codes: NDArray[np.intp] = np.digitize(numbers, edges)
    return [
        None if np.isnan(value) else int(code) for value, code in zip(numbers, codes, strict=True)
    ]


def _as_texts(values: Sequence[Any]) -> list[str | None]:
    read = {value: None if is_missing(value) else str(value).strip() for value in set(values)}
    return [read[value] for value in values]


def _number(value: Any, decimal: str) -> float:
    if is_missing(value):
        return np.nan
    try:
        number = NUMBER.check(NUMBER.read(value, decimal=decimal))
    except ValueError:
        return np.nan
    return number if isinstance(number, float) else np.nan


def _told(values: Sequence[Any], labels: Sequence[str | None]) -> float:
    """Return how much of each label a value tells, learned from one half and tried on the other."""
    # By chance, as rows may come in turns.
    is_learned = np.random.default_rng(0).random(len(labels)) < 0.5
    learned: dict[Any, Counter[str]] = defaultdict(Counter)
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for value, label, learns in zip(values, labels, is_learned, strict=True):
        if learns and label is not None:
            learned[value][label] += 1
    most = {value: counts.most_common(1)[0][0] for value, counts in learned.items()}
    for value, label, learns in zip(values, labels, is_learned, strict=True):
        if not learns and label is not None:
            seen[label] += 1
            right[label] += most.get(value) == label
    return sum(right[label] / seen[label] for label in seen) / max(len(seen), 1)


def find_group(columns: Mapping[str, Described], label: str) -> Described | None:
    """Return the column whose value several rows have in common, as those of one customer."""
    for each in columns.values():
        if each.role in (Role.TEXT, Role.DATE, Role.LIST, Role.EMPTY, Role.CONSTANT):
            continue
        counts = each.column.counts or Counter[Any]()
        if each.name == label or not names_a_group(each.name, counts):
            continue
        rows = each.column.rows - each.column.missing
        if len(counts) >= _LEAST_GROUPS and rows >= _ROWS_PER_GROUP * len(counts):
            return each
    return None


@dataclass(frozen=True)
class Repeats:
    """Inputs that occur more than once among the sampled rows.

    Attributes
    ----------
    share : float
        Share of the rows whose input an earlier row has, too.
    conflicting : float
        Share of the rows whose input has several labels.
    """

    share: float
    conflicting: float

    @property
    def are_many(self) -> bool:
        """Whether there are enough to be said."""
        return self.share >= _WORTH_A_WORD

    @property
    def conflict(self) -> bool:
        """Whether so many have several labels that it is to be said."""
        return self.conflicting >= _WORTH_A_WORD


def near_copies(texts: Sequence[Any]) -> float:
    """Return the share of sampled texts that are near-copies of an earlier one."""
    some = [text for text in thinned(texts, _LOOKED_AT) if isinstance(text, str)]
    if not some:
        return 0.0
    sketched = sketches(pa.array(some, pa.large_string()))
    content = content_hashes(pa.array(some, pa.large_string()), CURRENT_IDENTITY)
    found = representatives(
        sketched.cast(pa.binary(SKETCH_BYTES)),
        content.cast(pa.binary(HASH_BYTES)),
        range(len(some)),
    )
    return 1 - len(np.unique(found)) / len(some)


def find_repeats(inputs: Sequence[Sequence[Any]], labels: Sequence[Any]) -> Repeats:
    """Return how often inputs are repeated.

    Parameters
    ----------
    inputs : sequence of sequence
        The columns of the input, each with the values of the sampled rows.
    labels : sequence
        The labels of these rows.
    """
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for *values, label in zip(*inputs, labels, strict=True):
        said["\0".join(str(value)[:_LONGEST] for value in values)][str(label)] += 1
    rows = max(len(labels), 1)
    conflicting = sum(sum(counts.values()) for counts in said.values() if len(counts) > 1)
    return Repeats(1 - len(said) / rows, conflicting / rows)
