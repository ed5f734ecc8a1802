"""A person is told when hyperparameters are of a time with far fewer documents."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from perennial.config.problem import Problem
from perennial.promotion.confirmation import specification_of
from perennial.registry.client import Registry
from perennial.registry.tags import VersionTags
from perennial.settings import Settings
from perennial.training import fitting
from perennial.training.fitting import compact
from tasks.training.growth import (
    DOCUMENTS,
    EarlierFit,
    earlier_fits,
    iterations_metric,
    said_of_growth,
)
from tests.perennial.training.test_fitting import WEIGHTS, candidate_of, made
from tests.small_models import fit_small, register_small


def _said(problem: Problem, documents: int, used: int | None, *earlier: EarlierFit) -> list[str]:
    return [*said_of_growth(problem, "words", documents, used, earlier)]


@pytest.mark.parametrize(("documents", "is_said"), [(1_999, False), (2_000, True), (9_000, True)])
def test_twice_the_documents_are_said(problem: Problem, documents: int, is_said: bool) -> None:
    """They are compared with the first version of these parameters, not with the last."""
    said = _said(problem, documents, 10, EarlierFit(3, 1_000.0, 10.0), EarlierFit(8, 1_900.0, 10.0))

    sentence = (
        "The parameters of words are those of version 3, which was fitted on 1,000 documents; "
        f"there are {documents:,} now. `perennial experiment reviews` searches again."
    )
    assert said == ([sentence] if is_said else [])


@pytest.mark.parametrize(
    ("before", "used", "is_said"),
    [(88, 259, True), (88, 175, False), (10, 25, False), (10, 30, True), (88, None, False)],
)
def test_a_fit_that_takes_far_more_iterations_is_said(
    problem: Problem, before: int, used: int | None, is_said: bool
) -> None:
    """A few iterations more or less are noise."""
    said = _said(problem, 1_000, used, EarlierFit(3, 900.0, before))

    assert len(said) == is_said
    for sentence in said:
        assert f"took {used} iterations, and that of version 3 {before}: its penalty" in sentence


def test_nothing_is_said_of_a_first_version_or_of_versions_that_noted_nothing(
    problem: Problem,
) -> None:
    assert _said(problem, 10**6, 500) == []
    assert _said(problem, 10**6, 500, EarlierFit(1, None, None)) == []


def test_the_first_and_the_last_version_of_the_same_parameters_count(
    problem: Problem,
    registry: Registry,
    machine: Settings,
    snippets: Sequence[tuple[str, int]],
) -> None:
    register_small(machine.data_dir, [fit_small(snippets[:100])] * 4)
    name = next(iter(problem.candidates))
    same = specification_of(problem, name)
    for number, documents in ((1, 100), (2, 200), (3, 300), (4, 400)):
        version = registry.version(problem.name, number)
        said = "other parameters" if number in (1, 4) else same
        registry.tag(version, VersionTags(specification=said).as_tags())
        figures = {DOCUMENTS: documents, "fit.iterations": 7.0 * number}
        registry.log(version.run_id, metrics=figures)

    assert earlier_fits(problem, registry, name, "fit.iterations") == (
        EarlierFit(2, 200.0, 14.0),
        EarlierFit(3, 300.0, 21.0),
    )


def test_steps_over_blocks_are_not_compared_with_iterations_of_liblinear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = candidate_of(features=WEIGHTS[1], estimator="nb_svm", parameters={})
    counts, _ = made(200, 60)
    before = iterations_metric(problem, "one", compact(counts))

    monkeypatch.setattr(fitting, "_LARGE", 100)

    assert before == "fit.iterations"
    assert iterations_metric(problem, "one", compact(counts)) == "fit.iterations_over_blocks"
