"""Slices: parts of the holdout on which a challenger must not be worse than Production."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from perennial import paths
from perennial.gates.base import Comparison, Evidence, Gate, GateResult, format_gain
from perennial.metrics import MetricName
from perennial.schema import Schema, Share

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from perennial.metrics import Interval, Predictions

LENGTH, SOURCE, FIELDS = "length", "source", "fields"
_ABSENT = "(none)"
_VALUE_CHARACTERS = 100
_ENDLESS = 2**63 - 1
_SHOWN_NAMES = 10


def _rising(edges: int | tuple[int, ...]) -> int | tuple[int, ...]:
    if isinstance(edges, tuple) and any(low >= high for low, high in pairwise(edges)):
        raise PydanticCustomError("rising", "numbers of characters should rise")
    return edges


Quantiles = Annotated[int, Field(ge=2, le=20)]
Edges = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class Slices(Schema):
    """Parts of the holdout on which the challenger may not be worse than Production."""

    margin: Share = Field(description="by how much a slice may be worse, in the problem's metric")
    min_documents: int = Field(
        default=100, ge=1, description="smaller slices are named, but not judged"
    )
    source: bool = Field(default=False, description="one slice for each source of documents")
    fields: tuple[str, ...] = Field(
        default=(), description="further fields of a document: one slice for each value"
    )
    text_length: Annotated[Quantiles | Edges | None, AfterValidator(_rising)] = Field(
        default=None,
        description="so many slices of equal size, or the numbers of characters where they begin",
    )


class SlicesKeys(Schema):
    """The key ``slices``."""

    slices: Slices | None = None


@dataclass(frozen=True, eq=False)
class Slice:
    """Some of the documents.

    Attributes
    ----------
    name : str
        The trait that they have in common.
    rows : ndarray of bool, shape (n_documents,)
        Which of all documents they are.
    """

    name: str
    rows: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.rows.sum())


@dataclass(frozen=True)
class SliceGain:
    """Gain of the challenger over Production on one slice.

    Attributes
    ----------
    name : str
        Name of the slice.
    documents : int
        Number of its documents.
    gain : Interval or None
        The gain; None if the slice is too small, or does not have the metric.
    """

    name: str
    documents: int
    gain: Interval | None


def traits_of(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Return the named fields that a document has, as texts; ``a.b`` is the field b of a."""
    found = {name: paths.read(document, name) for name in names}
    absent = (None, paths.MISSING)
    return {name: _text(value) for name, value in found.items() if value not in absent}


def slices_of(slices: Slices, traits: pa.Table) -> tuple[Slice, ...]:
    """Return the slices that a problem asks for.

    Parameters
    ----------
    slices : Slices
        The part of the problem's file.
    traits : Table of n_documents rows
        Traits of the documents: ``length`` in characters, ``source``, and the map ``fields``.
        Documents that lack a trait, or were read before the problem named the field, form a slice
        of their own.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

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
    slices: Slices, parts: Sequence[Slice], evidence: Evidence, production: Predictions
) -> tuple[SliceGain, ...]:
    """Return the challenger's gain on each slice, with intervals that hold for all slices at once.

    The more slices are looked at, the more often one of them seems worse by chance. The share of
    errors is divided by the number of slices that are judged, however they overlap; once a slice is
    proved to be worse, the others share it anew (Holm, A Simple Sequentially Rejective Multiple
    Test Procedure, Scand. J. Statist. 6, 1979). A first one is found exactly when Bonferroni's
    correction finds it, and then more of the others are.

    Parameters
    ----------
    slices : Slices
        Least number of documents of a slice.
    parts : sequence of Slice
        Slices of the documents that were predicted.
    evidence : Evidence
        The challenger's predictions, and how they are compared.
    production : Predictions
        Production's predictions for the same documents.
    """
    from perennial.metrics import difference

    gains: dict[str, Interval]
    open_, gains = _judged(slices, parts, evidence), {}
    while open_:
        confidence = 1 - (1 - evidence.confidence) / len(open_)
        for part in open_:
            one, other = evidence.challenger.take(part.rows), production.take(part.rows)
            gains[part.name] = difference(
                evidence.metric, one, other, confidence=confidence, seed=evidence.seed
            )
        worse = [part for part in open_ if gains[part.name].high < -slices.margin]
        if not worse:
            break
        open_ = [part for part in open_ if part not in worse]
    return tuple(SliceGain(part.name, len(part), gains.get(part.name)) for part in parts)


def _judged(slices: Slices, parts: Sequence[Slice], evidence: Evidence) -> list[Slice]:
    """Return the slices that can be judged."""
    return [
        part
        for part in parts
        if len(part) >= slices.min_documents
        and _exists(evidence.metric, evidence.challenger.take(part.rows))
    ]


class SlicesGate(Gate[SlicesKeys, Sequence[Slice]]):
    """Requires that no slice is proved to be worse by more than the margin."""

    name = "slices"
    position = 40
    keys = SlicesKeys
    only_for_texts = (("slices", "text_length"),)
    in_every_digest = True
    examples = (
        (
            "`slices: {margin: 0.02, ...}`",
            "it is proved to be worse than Production by more than the margin on one slice",
        ),
    )
    section = """\
## Slices
`source: true` makes one slice for each source, `fields: [country, film.genre]` one for each value of a field of the
documents, `text_length: [0, 500, 2000]` one from each number of characters to the next (`text_length: 4`: four slices
of equal size). Slices with fewer than `min_documents` holdout documents are listed as not judged. A field is kept in
snapshots from the moment the problem names it; documents that were read earlier are in the slice `(none)`.

The intervals are corrected for the number of slices (Holm), so more slices mean wider intervals: name those that
matter.
"""  # noqa: E501

    def look_up(self, asked: SlicesKeys, comparison: Comparison) -> Sequence[Slice] | None:
        """Return the slices of the documents that both versions predict."""
        if asked.slices is None or comparison.traits is None:
            return None
        return slices_of(asked.slices, comparison.traits)

    def judge(
        self, asked: SlicesKeys, evidence: Evidence, measured: Sequence[Slice] | None
    ) -> Iterator[GateResult]:
        """Yield one result for each slice that can be judged, and one that names the others."""
        slices, production = asked.slices, evidence.production
        if slices is None or production is None:
            return
        gains = compare_slices(slices, measured or (), evidence, production)
        for each in gains:
            if each.gain is not None:
                yield GateResult(
                    name=f"slice {each.name}",
                    passed=not each.gain.high < -slices.margin,
                    found=f"{evidence.metric} {format_gain(each.gain)} on {each.documents:,} "
                    "documents",
                    required=f"interval reaches {-slices.margin:g}",
                )
        left_out = [f"{each.name} ({each.documents:,})" for each in gains if each.gain is None]
        if left_out:
            yield GateResult(
                name="slices not judged",
                passed=True,
                found=_join(left_out),
                required=f"{slices.min_documents:,} documents to be judged",
            )


def _join(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _exists(metric: MetricName, predictions: Predictions) -> bool:
    """Return whether a metric can be computed; an area needs documents of every class."""
    return metric != "roc_auc" or len(set(predictions.truth.tolist())) == len(predictions.classes)


def _edges(asked: int | tuple[int, ...], lengths: NDArray[np.int64]) -> list[int]:
    if isinstance(asked, tuple):
        return sorted({0, *asked})
    import numpy as np

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
    import numpy as np
    import pyarrow.compute as pc

    # Composed and decomposed letters are the same to a person.
    composed = pc.utf8_normalize(pc.fill_null(column, _ABSENT), form="NFC")
    values = np.array(composed.to_pylist(), dtype=np.str_)
    for value in np.unique(values):
        yield Slice(f"{name} {value}", values == value)


def _text(value: Any) -> str:
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return shown[:_VALUE_CHARACTERS].encode("utf-8", "replace").decode()


GATE = SlicesGate()
