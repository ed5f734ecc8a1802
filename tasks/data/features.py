"""Features: what training documents are counted as, each counted once for all candidates."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from prefect.logging import get_run_logger
from scipy import sparse

from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate, TabularCandidate
from perennial.stores.snapshots.kept_counts import KeptCounts
from perennial.text.counting.documents import CountedDocuments, Part, count_documents
from perennial.text.ngrams import NgramCounter
from perennial.training.fitting import compact
from perennial.training.pipelines import (
    Counter,
    Normalizer,
    TextCounter,
    build_counter,
    build_normalizer,
)

AnyCandidate = Candidate | TabularCandidate
Shared = tuple[Hashable, ...]


@dataclass(frozen=True, eq=False)
class SharedCounts:
    """Features of the training documents, and what made them: counts of n-grams, or fields."""

    counter: Counter
    matrix: sparse.csr_array | NDArray[np.float64]

    @property
    def nbytes(self) -> int:
        """The bytes of the features; of counts with their places."""
        if isinstance(self.matrix, np.ndarray):
            return int(self.matrix.nbytes)
        parts = (self.matrix.data, self.matrix.indices, self.matrix.indptr)
        return sum(int(part.nbytes) for part in parts)


@dataclass(eq=False)
class Documents:
    """Training documents, as one preparation of them reads them.

    Attributes
    ----------
    inputs : Array, shape (n_documents,)
        Their raw inputs.
    digests : Array of bytes, shape (n_documents,), or None
        What their counts are kept under; None where they have nothing of the kind.
    normalizer : Normalizer
        The preparation.
    how : dict of str to JSON
        What says of it all that decides.
    kept : KeptCounts or None
        The counts of earlier retrainings; None where there are no digests.
    newly_counted : int
        How many documents were counted because their counts were not kept.
    """

    inputs: pa.Array
    digests: pa.Array | None
    normalizer: Normalizer
    how: dict[str, Any]
    kept: KeptCounts | None
    newly_counted: int = 0
    _parts: dict[bool, list[Part]] = field(default_factory=dict)

    @cached_property
    def read(self) -> Any:
        """All of them, as the preparation leaves them."""
        return self.normalizer.transform(self.inputs)

    def fit(self, counter: Counter) -> Any:
        """Fit what counts, or encodes, and return the matrix of these documents."""
        if self.kept is not None and type(counter) is NgramCounter:
            return counter.fit_counted(self._counted(self.kept, bigrams=counter.bigrams))
        return counter.fit_transform(self.read)

    def _counted(self, kept: KeptCounts, *, bigrams: bool) -> list[Part]:
        def count(rows: NDArray[np.int64]) -> CountedDocuments:
            self.newly_counted = max(self.newly_counted, len(rows))
            if len(rows) == len(self.inputs):
                tokens = self.read
            elif "read" in vars(self):
                tokens = self.read.take(rows)
            else:
                tokens = self.normalizer.transform(self.inputs.take(pa.array(rows)))
            return count_documents(tokens, bigrams=bigrams)

        if bigrams not in self._parts:
            how = {**self.how, "bigrams": bigrams}
            self._parts[bigrams] = kept.parts(self.digests, how, count)
        return self._parts[bigrams]


def count_shared(
    problem: Problem, inputs: pa.Array, digests: pa.Array | None, kept: KeptCounts | None
) -> dict[Shared, SharedCounts | ValueError]:
    """Return the features of training documents, for each distinct specification of the candidates.

    Documents are normalised once per preparation, and counted once per kind of features; those
    whose counts are kept neither the one nor the other. Preparations are worked on side by side:
    Arrow and NumPy hold no lock while they work.
    """
    groups: dict[Hashable, dict[Shared, AnyCandidate]] = {}
    for candidate in problem.candidates.values():
        groups.setdefault(candidate.shared[:1], {})[candidate.shared] = candidate
    kept = kept if digests is not None and problem.inputs is None else None
    read = [
        _documents(problem, [*group.values()], inputs, digests, kept) for group in groups.values()
    ]

    def count(
        group: dict[Shared, AnyCandidate], documents: Documents
    ) -> dict[Shared, SharedCounts | ValueError]:
        return {shared: _count(candidate, documents) for shared, candidate in group.items()}

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        # Each in a copy of the context, which says where vectors are kept.
        counting = [
            threads.submit(copy_context().run, count, group, documents)
            for group, documents in zip(groups.values(), read, strict=True)
        ]
        found = dict(ChainMap(*(each.result() for each in counting)))
    newly_counted = max(each.newly_counted for each in read)
    if kept is not None and newly_counted < len(inputs):
        get_run_logger().info(
            "Counted %s of %s training documents; the counts of the others were kept.",
            f"{newly_counted:,}",
            f"{len(inputs):,}",
        )
    return found


def _documents(
    problem: Problem,
    candidates: Sequence[AnyCandidate],
    inputs: pa.Array,
    digests: pa.Array | None,
    kept: KeptCounts | None,
) -> Documents:
    first = candidates[0]
    how: dict[str, Any] = {}
    if isinstance(first, Candidate):
        how = problem.preparations[first.preparation].model_dump(mode="json")
    return Documents(inputs, digests, build_normalizer(problem, first), how, kept)


def _count(candidate: AnyCandidate, documents: Documents) -> SharedCounts | ValueError:
    counter = build_counter(candidate.features)
    try:
        matrix = documents.fit(counter)
        return SharedCounts(
            counter, compact(matrix) if isinstance(counter, TextCounter) else matrix
        )
    except ValueError as error:
        # Other candidates may find features in the same documents.
        return error
