"""Evidence: what the gates need to know of a challenger beside what it predicts."""

from __future__ import annotations

import pyarrow as pa

from perennial.config.problem import Problem
from perennial.promotion.slices import slices_of
from perennial.promotion.verdict import Evidence
from perennial.registry.client import ModelVersion
from tasks.training.evaluate import Evaluation


def gather(
    problem: Problem,
    version: ModelVersion,
    evaluation: Evaluation,
    *,
    newer_documents: bool = False,
    traits: pa.Table | None = None,
) -> Evidence:
    """Return the evidence about a challenger.

    Parameters
    ----------
    problem : Problem
        Says which slices there are.
    version : ModelVersion
        The challenger, as it was registered.
    evaluation : Evaluation
        What was found before it was registered.
    newer_documents : bool
        Whether it has learned from documents that Production has not seen.
    traits : Table, optional
        Of the documents that both predict; None when there is no Production.
    """
    slices = problem.gates.slices
    return Evidence(
        newer_documents=newer_documents,
        slices=slices_of(slices, traits) if slices and traits is not None else (),
        cases=evaluation.cases,
        latency=evaluation.latency,
        file_bytes=version.file_bytes,
    )


def has_newer_documents(challenger: ModelVersion, production: ModelVersion) -> bool:
    """Return whether the challenger's snapshot is a later one, with other documents in it."""
    one, other = challenger.snapshot, production.snapshot
    if one is None or other is None:
        return False
    return one[0] > other[0] and one[1] != other[1]
