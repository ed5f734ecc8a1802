"""Growth: hyperparameters that were chosen on far fewer documents than there are now.

A penalty that suits some documents is too weak, and its fit takes far longer, or too strong, where
there are many times as many of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perennial.commands import command, counted
from perennial.config.problem import Problem
from perennial.promotion.confirmation import specification_of
from perennial.registry.client import Registry
from perennial.training.fitting import is_over_blocks
from perennial.training.pipelines import build_classifier

DOCUMENTS = "fit.documents"
# Liblinear's are no measure of steps over blocks, of which a fit takes more.
_ITERATIONS, _OVER_BLOCKS = "fit.iterations", "fit.iterations_over_blocks"
# So many times as many documents or iterations are said, and fewer iterations more are noise.
_TIMES, _FEWEST_MORE = 2, 20


@dataclass(frozen=True)
class EarlierFit:
    """A fit of a version with the same features, estimator and hyperparameters.

    Attributes
    ----------
    version : int
        The version.
    documents : float or None
        On how many documents it was fitted; None for a version of before that was noted.
    iterations : float or None
        How many iterations that took; None where there are none.
    """

    version: int
    documents: float | None
    iterations: float | None


def iterations_metric(problem: Problem, candidate: str, matrix: Any) -> str:
    """Return the metric of a candidate's run that is the number of its iterations.

    Parameters
    ----------
    problem : Problem
        The problem.
    candidate : str
        The candidate.
    matrix : csr_array or ndarray, shape (n_documents, n_features)
        What it is fitted to.
    """
    over_blocks = is_over_blocks(build_classifier(problem, candidate), matrix)
    return _OVER_BLOCKS if over_blocks else _ITERATIONS


def earlier_fits(
    problem: Problem, registry: Registry, candidate: str, iterations: str
) -> tuple[EarlierFit, ...]:
    """Return the first and the last fit of a candidate as it is now; of one fit that one.

    Parameters
    ----------
    problem : Problem
        The problem.
    registry : Registry
        Where its versions are.
    candidate : str
        The candidate.
    iterations : str
        The metric that is the number of iterations; see `iterations_metric`.

    Raises
    ------
    OutsideError
        If MLflow cannot be used.
    """
    wanted = specification_of(problem, candidate)
    versions = [each for each in registry.versions(problem.name) if each.specification == wanted]
    versions.sort(key=lambda each: each.version)
    found = [versions[0], versions[-1]] if len(versions) > 1 else versions
    return tuple(
        EarlierFit(
            each.version,
            _last(registry, each.run_id, DOCUMENTS),
            _last(registry, each.run_id, iterations),
        )
        for each in found
    )


def _last(registry: Registry, run_id: str, metric: str) -> float | None:
    series = registry.series(run_id, metric)
    return series[-1][1] if series else None


def said_of_growth(
    problem: Problem,
    candidate: str,
    documents: int,
    iterations: int | None,
    earlier: tuple[EarlierFit, ...],
) -> tuple[str, ...]:
    """Return what a person should know of a candidate's hyperparameters, a sentence each.

    Parameters
    ----------
    problem : Problem
        The problem.
    candidate : str
        The candidate that was fitted.
    documents : int
        On how many documents.
    iterations : int or None
        What that took, if it has iterations.
    earlier : tuple of EarlierFit
        What `earlier_fits` returned.
    """
    said = []
    if not earlier:
        return ()
    first, last = earlier[0], earlier[-1]
    search = f"`{command('experiment', problem.name)}` searches again"
    if first.documents is not None and documents >= _TIMES * first.documents:
        before = counted(int(first.documents), "document")
        said.append(
            f"The parameters of {candidate} are those of version {first.version}, which was fitted "
            f"on {before}; there are {documents:,} now. {search}."
        )
    if iterations is not None and last.iterations is not None:
        more = iterations - last.iterations
        if iterations >= _TIMES * last.iterations and more >= _FEWEST_MORE:
            said.append(
                f"The fit of {candidate} took {counted(iterations, 'iteration')}, and that of "
                f"version {last.version} {int(last.iterations):,}: its penalty may be too weak for "
                f"so many documents. {search}."
            )
    return tuple(said)
