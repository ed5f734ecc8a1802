"""Drift: compare what is recent with what Production was examined on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.monitoring.comparison import Comparison, Sample, compare
from perennial.monitoring.drift_tests import DriftTest, Of, conclude
from perennial.monitoring.explanations import earlier_period, one_sender
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
    explained : mapping of str to str
        Of documents or predictions, why their drift is none that a retraining answers.
    """

    comparisons: Sequence[Comparison]
    tests: Sequence[DriftTest]
    explained: Mapping[Of, str] = field(default_factory=dict)

    @property
    def found(self) -> tuple[DriftTest, ...]:
        """The tests that found drift."""
        return tuple(test for test in self.tests if test.drifted)

    @property
    def counted(self) -> tuple[DriftTest, ...]:
        """Those of them that are not explained."""
        return tuple(test for test in self.found if test.of not in self.explained)

    @property
    def is_near(self) -> bool:
        """Whether a test that is not explained is near its limit, at least."""
        return any(test.near and test.of not in self.explained for test in self.tests)


@task(name="look for drift", cache_policy=NO_CACHE)
def look_for_drift(problem: Problem, reference: Reference, recent: Recent) -> Drift:
    """Test the recent documents and predictions against the reference."""
    samples: dict[Of, Sample] = {"documents": recent.documents, "predictions": recent.predictions}

    def against(of: Of, before: Sample, now: Sample) -> Comparison:
        return compare(
            of,
            before,
            now,
            model=reference.model,
            monitoring=problem.monitoring,
            seed=problem.seed,
        )

    comparisons = [against(of, reference.sample, sample) for of, sample in samples.items()]
    tests = conclude(
        [test for comparison in comparisons for test in comparison.tests],
        problem.monitoring.significance,
        problem.monitoring.accuracy_significance,
    )
    explained = {
        of: why
        for of, sample in samples.items()
        if (names := {test.name for test in tests if test.drifted and test.of == of})
        and (why := _explain(problem, reference, recent, sample, names, partial(against, of)))
    }
    drift = Drift(comparisons, sorted(tests, key=_reach, reverse=True), explained)
    get_run_logger().info(
        "Compared %s and %s with %s of snapshot %s: %s.",
        counted(len(recent.documents), "document"),
        counted(len(recent.predictions), "prediction"),
        f"{len(reference.sample):,}",
        reference.snapshot.version,
        "; ".join(map(str, drift.found)) or f"no drift in {counted(len(tests), 'test')}",
    )
    for of, why in drift.explained.items():
        get_run_logger().info("The drift of %s needs no retraining: %s.", of, why)
    return drift


def _explain(
    problem: Problem,
    reference: Reference,
    recent: Recent,
    sample: Sample,
    names: set[str],
    against: Callable[[Sample, Sample], Comparison],
) -> str | None:
    """Return why some drift is none that a retraining answers, in words; None if it is."""
    least, window = problem.monitoring.min_documents, problem.monitoring.window
    whole = reference.sample
    return one_sender(
        whole, sample, names, lambda one, other: against(one, other).tests, least=least
    ) or earlier_period(
        whole,
        names,
        lambda part: against(part, sample).tests,
        since=recent.since,
        window=window,
        least=least,
    )


def _reach(test: DriftTest) -> tuple[bool, float]:
    return test.drifted, test.reach
