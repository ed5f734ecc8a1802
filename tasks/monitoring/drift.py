"""Drift: compare what is recent with what Production was examined on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.monitoring.comparison import Comparison, Sample, compare
from perennial.monitoring.drift_tests import DriftTest, Of, conclude
from tasks.monitoring.samples import Recent, Reference


@dataclass(frozen=True, eq=False)
class Drift:
    """Drift tests of documents and predictions, and those that exceed their limit.

    Attributes
    ----------
    comparisons : sequence of Comparison
        Of documents and of predictions; one without tests had too little to go by.
    tests : sequence of DriftTest
        All their tests, concluded; the largest for its limit first.
    """

    comparisons: Sequence[Comparison]
    tests: Sequence[DriftTest]

    @property
    def found(self) -> tuple[DriftTest, ...]:
        """The tests that found drift."""
        return tuple(test for test in self.tests if test.drifted)


@task(name="look for drift", cache_policy=NO_CACHE)
def look_for_drift(problem: Problem, reference: Reference, recent: Recent) -> Drift:
    """Test the recent documents and predictions against the reference."""
    samples: dict[Of, Sample] = {"documents": recent.documents, "predictions": recent.predictions}
    comparisons = [
        compare(
            of,
            reference.sample,
            sample,
            model=reference.model,
            monitoring=problem.monitoring,
            seed=problem.seed,
        )
        for of, sample in samples.items()
    ]
    tests = conclude(
        [test for comparison in comparisons for test in comparison.tests],
        problem.monitoring.significance,
    )
    drift = Drift(comparisons, sorted(tests, key=_reach, reverse=True))
    get_run_logger().info(
        "Compared %s and %s with %s of snapshot %s: %s.",
        counted(len(recent.documents), "document"),
        counted(len(recent.predictions), "prediction"),
        f"{len(reference.sample):,}",
        reference.snapshot.version,
        "; ".join(map(str, drift.found)) or f"no drift in {counted(len(tests), 'test')}",
    )
    return drift


def _reach(test: DriftTest) -> tuple[bool, float]:
    return test.drifted, test.reach
