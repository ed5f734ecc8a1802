"""Labels in unknown data: the column that is one, and what is none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.commands import counted
from perennial.errors import OutsideError
from perennial.fields import KINDS
from perennial.files.rows import listed
from perennial.profile.columns import Described, Role
from perennial.profile.table import TableProfile

# Nobody calls another column that.
_NAMED = re.compile(
    r"^(y|labels?|target|etiqueta|[eé]tiquette|etichetta|метка|标签|標籤|ラベル)$"
    r"|(^|[_\W])(label|target)$|^(label|target)[_\W]",
    re.IGNORECASE,
)
# Columns of other meaning may be called that, too: the class of a ticket, the type of a building.
_OFTEN = re.compile(
    r"(^|[_\W])(class|classes|category|categories|klasse|kategorie|categor[ií]a|classe|класс|"
    r"категория|类别|類別|type|group|status|result|response|risk|priority|language|direction)$"
    r"|sentiment|intent|topic|section|species|outcome|diagnos|churn|surviv|spam|fraud|default|"
    r"verdict|purchase|urgent|attrition|approved|polarity|stance|emotion|(^|[_\W])(is|has|will)[_\W]",
    re.IGNORECASE,
)
# Words for no label. "none" and "-" may be labels.
NO_LABEL = frozenset({"", "na", "n/a", "nan", "null", "?"})
_CERTAIN = 1.0
_LEAST_SCORE = 1.0
_OFTEN_NAMED = 2.0
# A label with fewer rows for each value would be no more than a name.
_ROWS_PER_LABEL = 5
MOST_LABELS = 500
_LISTS = (Role.LIST, Role.WORDS)
_CONTINUOUS = 20
_JOINED = re.compile(r"\s*[;|,]\s*")
_SOME = 0.2


@dataclass(frozen=True, eq=False)
class LabelGuess:
    """The column of the label.

    Attributes
    ----------
    column : str
        Its name.
    others : tuple of str
        Columns that could as well be the label, the likeliest first; none if it is certain.
    why : str
        Why it is taken for the label, as a clause.
    """

    column: str
    others: tuple[str, ...]
    why: str


def guess_label(table: TableProfile, columns: Mapping[str, Described]) -> LabelGuess:
    """Return the column that looks most like a label.

    Raises
    ------
    OutsideError
        If none does, or the likeliest one is none that a classifier can learn.
    """
    scores = {name: _score(each, table, columns) for name, each in columns.items()}
    ranked = sorted((name for name in scores if scores[name] > 0), key=lambda n: -scores[n])
    if not ranked or scores[ranked[0]] < _LEAST_SCORE:
        raise _no_label(table, columns, ranked)
    best = ranked[0]
    why = "by its name" if _is_named(best) else "by its values"
    is_clear = _score_of_name(best) > 0
    near = [name for name in ranked[1:] if not is_clear or scores[best] - scores[name] < _CERTAIN]
    return LabelGuess(best, tuple(near), why)


def require_label(described: Described, rows: int) -> None:
    """Check that a column is a label for a classifier.

    Raises
    ------
    OutsideError
        Which says in one sentence what it is instead, and what to do.
    """
    name, column = described.name, described.column
    if described.role is Role.EMPTY:
        raise OutsideError(
            f"The column {name!r} is empty, so it cannot be the label; name another one with "
            "--label."
        )
    if described.role in _LISTS or _is_joined(column.present):
        raise OutsideError(
            f"The column {name!r} has several labels in one row, and a problem gives each document "
            "one; make a problem with two labels of each that matters, such as yes and no."
        )
    if described.role is Role.DATE:
        raise OutsideError(
            f"The column {name!r} has dates, which are no labels; name another one with --label."
        )
    known = label_counts(described)
    if described.role is Role.CONSTANT or (known is not None and len(known) == 1):
        value = next(iter(described.column.present))
        raise OutsideError(
            f"The column {name!r} has one value only, {str(value)!r}, and a classifier needs two "
            "labels or more; load documents of others, or name another column with --label."
        )
    if _is_continuous(described):
        raise OutsideError(
            f"The column {name!r} is a number with {_many(described)} different values, which is "
            "a regression, and Perennial classifies; make classes of it, such as low and high, or "
            "name another column with --label."
        )
    counts = label_counts(described)
    if counts is None or len(counts) > MOST_LABELS:
        raise OutsideError(
            f"The column {name!r} has {_many(described)} different values in {rows:,} rows, more "
            f"than the {MOST_LABELS} labels that a problem can have; name another column with "
            "--label."
        )
    if sum(counts.values()) < 2 * len(counts) and len(counts) > 2:
        raise OutsideError(
            f"The column {name!r} has {_many(described)} different values in {rows:,} rows, hardly "
            "any of them twice, as names have and labels do not; name another one with --label."
        )


def label_counts(described: Described) -> Mapping[Any, int] | None:
    """Return label -> rows of a column, without words for none; None if there are too many."""
    counts = described.column.counts
    if counts is None:
        return None
    return {
        value: rows
        for value, rows in counts.items()
        if not (isinstance(value, str) and value.lower() in NO_LABEL)
    }


def _many(described: Described) -> str:
    if described.column.counts is None:
        return f"more than {described.distinct:,}"
    return f"{described.distinct:,}"


def _is_named(name: str) -> bool:
    return bool(_NAMED.search(name))


def _score(each: Described, table: TableProfile, columns: Mapping[str, Described]) -> float:
    """Return how much a column looks like the label; 0 if it cannot be one."""
    score = _score_of_name(each.name) + _score_of_place(each.name, columns)
    if _is_named(each.name) or (each.role in _LISTS and score >= _OFTEN_NAMED):
        # Whoever calls it label means it: what is wrong with it is said.
        return score
    if _is_continuous(each):
        # As the last column it may be what a regression is made for.
        return score
    if not _repeats(each, table.rows):
        return 0.0
    if each.role is Role.NUMBER:
        return score - 0.5
    return score + (0.5 if each.distinct == 2 else 0.25)


def _score_of_name(name: str) -> float:
    if _is_named(name):
        return 2 * _OFTEN_NAMED
    return _OFTEN_NAMED if _OFTEN.search(name) else 0.0


def _score_of_place(name: str, columns: Mapping[str, Described]) -> float:
    names = [n for n, each in columns.items() if each.role not in (Role.ID, Role.EMPTY)]
    if names and name == names[-1]:
        return 1.5
    return 0.75 if names and name == names[0] else 0.0


def _repeats(each: Described, rows: int) -> bool:
    """Return whether a column has few values, each of them in several rows."""
    counts = label_counts(each)
    if each.role not in (Role.CATEGORY, Role.BOOLEAN, Role.NUMBER) or not counts:
        return False
    present = sum(counts.values())
    return present >= _ROWS_PER_LABEL * len(counts) and present >= rows / 2


def _is_continuous(each: Described) -> bool:
    if each.role is not Role.NUMBER:
        return False
    counts = each.column.counts
    if counts is None:
        return True
    if len(counts) <= _CONTINUOUS:
        return False
    read = KINDS["number"].from_file
    whole = all(float(read(v) or 0).is_integer() for v in counts if _is_number(v))
    return not whole or len(counts) > 150 or sum(counts.values()) < 10 * len(counts)


def _is_number(value: Any) -> bool:
    try:
        return isinstance(KINDS["number"].from_file(value), int | float)
    except ValueError:
        return False


def _is_joined(values: Sequence[Any]) -> bool:
    """Return whether texts are labels joined by a sign, such as ``action; comedy``."""
    texts = [value for value in values if isinstance(value, str)]
    if not texts:
        return False
    if sum(text.lstrip().startswith("[") and text.rstrip().endswith("]") for text in texts) > (
        _SOME * len(texts)
    ):
        return True
    split = [_JOINED.split(text.strip()) for text in texts]
    joined = [parts for parts in split if len(parts) > 1]
    if len(joined) < _SOME * len(texts):
        return False
    whole = set(texts)
    parts = Counter(part for each in split for part in each)
    alone = {each[0] for each in split if len(each) == 1}
    return len(parts) <= len(whole) and bool(alone & {part for each in joined for part in each})


def _no_label(
    table: TableProfile, columns: Mapping[str, Described], ranked: Iterable[str]
) -> OutsideError:
    likely = list(ranked)
    if likely:
        return OutsideError(
            f"None of the {len(columns):,} columns can be told to be the label; name it with "
            f"--label: {listed(likely)} could be."
        )
    continuous = [name for name, each in columns.items() if _is_continuous(each)]
    if continuous and len(continuous) == len(columns):
        return OutsideError(
            f"No column could be a label: all of them are numbers with many values, "
            f"{listed(continuous)}, and Perennial classifies; make classes of one, such as low "
            "and high."
        )
    if len(columns) == 1:
        return OutsideError(
            f"The only column, {listed(list(columns))}, could not be a label, which repeats a few "
            f"values in its {counted(table.rows, 'row')}; add one with the label of each row."
        )
    return OutsideError(
        f"None of the {len(columns):,} columns could be a label, which repeats a few values in its "
        f"{table.rows:,} rows: {listed(list(columns))}; add one, or name it with --label."
    )
