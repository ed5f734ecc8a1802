"""Tables of made-up data, and what is found in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from perennial.profile.draft import Draft, draft_problem
from perennial.profile.findings import Findings, examine
from perennial.profile.table import profile_table

Columns = Mapping[str, Iterable[Any]]


def find(columns: Columns, *, is_typed: bool = False, **options: Any) -> Findings:
    """Return what is found in a table of columns."""
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return examine(profile_table(rows, columns, is_typed=is_typed), **options)


def draft(columns: Columns, *, is_typed: bool = False, **options: Any) -> Draft:
    """Return the problem that is drafted for a table of columns."""
    found = find(columns, is_typed=is_typed, **options)
    return draft_problem("new", found, database="shop", collection="rows")


def numbers(rows: int, seed: int = 0) -> list[str]:
    """Return numbers as a file has them."""
    return [f"{value:.4f}" for value in np.random.default_rng(seed).normal(size=rows)]


def choices(values: Iterable[Any], rows: int, seed: int = 0) -> list[Any]:
    """Return values in random order."""
    known = list(values)
    return [known[place] for place in np.random.default_rng(seed).integers(0, len(known), rows)]


def labels(rows: int, rare: int = 0) -> list[str]:
    """Return two labels in turn, or one of them `rare` times in all."""
    if not rare:
        return [("no", "yes")[place % 2] for place in range(rows)]
    return ["yes" if place % (rows // rare) == 0 else "no" for place in range(rows)]


def texts(rows: int, words: Iterable[str] = ("the", "shop", "is", "down", "again", "today")) -> Any:
    """Return different texts of several words."""
    known = list(words)
    return [" ".join([*choices(known, 6, seed=n), f"number{n}"]) for n in range(rows)]
