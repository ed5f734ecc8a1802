"""Slices: parts of the holdout on which a challenger must not be worse than Production."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config.gates import Slices
from perennial.config.problem import Problem
from perennial.metrics import Interval, MetricName, Predictions, difference

LENGTH, SOURCE, FIELDS = "length", "source", "fields"
_ABSENT = "(none)"
_VALUE_CHARACTERS = 100
_ENDLESS = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Slice:
    """Some of the documents: their common trait, and which they are, shape (n_documents,)."""

    name: str
    rows: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.rows.sum())


@dataclass(frozen=True)
class SliceGain:
    """How much better the challenger is on one slice; None where that cannot be told."""

    name: str
    documents: int
    gain: Interval | None


def traits_of(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Return the named fields that a document has, as texts; ``a.b`` is the field b of a."""
    found = {name: _at(document, name) for name in names}
    return {name: _text(value) for name, value in found.items() if value is not None}


def slices_of(slices: Slices, traits: pa.Table) -> tuple[Slice, ...]:
    """Return the slices that a problem asks for.

    Parameters
    ----------
    slices : Slices
        The part of the problem's file.
    traits : Table
        Of the documents: ``length`` in characters, ``source``, and the map ``fields``. A document
        that lacks a trait, or was read before the problem named the field, is in a slice of its
        own kind.
    """
    found: list[Slice] = []
    if slices.text_length is not None:
        lengths = traits[LENGTH].to_numpy()
        found += _by_length(lengths, _edges(slices.text_length, lengths))
    if slices.source:
        found += _by_value(SOURCE, traits[SOURCE])
    for name in slices.fields:
        fields = traits[FIELDS].combine_chunks()
        found += _by_value(name, pc.map_lookup(fields, pa.scalar(name), "first"))
    return tuple(found)


def compare_slices(
    problem: Problem, parts: Sequence[Slice], challenger: Predictions, production: Predictions
) -> tuple[SliceGain, ...]:
    """Return the challenger's gain on each slice, with intervals that hold for all slices at once.

    The more slices are looked at, the more often one of them seems worse by chance. The share of
    errors is divided by the number of slices that are judged (Bonferroni; Dunn, Multiple
    Comparisons Among Means, JASA 56, 1961), however they overlap. Holm's method (A Simple
    Sequentially Rejective Multiple Test Procedure, Scand. J. Statist. 6, 1979) finds more of the
    worse slices once it has found one, but it finds a first one exactly when this does: whether a
    challenger is kept out would be the same, and these intervals can be shown.

    Parameters
    ----------
    problem : Problem
        Its metric, seed, confidence and least number of documents of a slice.
    parts : sequence of Slice
        Of the documents that were predicted.
    challenger, production : Predictions
        What the two predict for the same documents.
    """
    least = problem.gates.slices.min_documents if problem.gates.slices else 1
    judged = sum(len(part) >= least for part in parts)
    confidence = 1 - (1 - problem.gates.confidence) / max(judged, 1)

    def gain(part: Slice) -> Interval | None:
        one, other = challenger.take(part.rows), production.take(part.rows)
        if len(part) < least or not _exists(problem.metric, one):
            return None
        return difference(problem.metric, one, other, confidence=confidence, seed=problem.seed)

    return tuple(SliceGain(part.name, len(part), gain(part)) for part in parts)


def _exists(metric: MetricName, predictions: Predictions) -> bool:
    """Return whether a metric can be computed; an area needs documents of every class."""
    return metric != "roc_auc" or len(np.unique(predictions.truth)) == len(predictions.classes)


def _edges(asked: int | tuple[int, ...], lengths: NDArray[np.int64]) -> list[int]:
    if isinstance(asked, tuple):
        return sorted({0, *asked})
    shares = np.arange(1, asked) / asked
    inner = np.ceil(np.quantile(lengths, shares)).astype(int).tolist() if len(lengths) else []
    return sorted({0, *inner})


def _by_length(lengths: NDArray[np.int64], edges: list[int]) -> Iterator[Slice]:
    for low, high in pairwise([*edges, _ENDLESS]):
        rows = (lengths >= low) & (lengths < high)
        until = "or more" if high == _ENDLESS else f"to {high - 1:,}"
        if rows.any():
            yield Slice(f"{low:,} {until} characters", rows)


def _by_value(name: str, column: pa.ChunkedArray | pa.Array) -> Iterator[Slice]:
    values = np.array(pc.fill_null(column, _ABSENT).to_pylist(), dtype=np.str_)
    for value in np.unique(values):
        yield Slice(f"{name} {value}", values == value)


def _at(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document.get(part) if isinstance(document, Mapping) else None
    return document


def _text(value: Any) -> str:
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return shown[:_VALUE_CHARACTERS].encode("utf-8", "replace").decode()
