"""Confirmation: which earlier version shows that a challenger's gain is no chance.

What has happened is read from the tags of the versions, and from nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator

from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate
from perennial.registry.model_version import ModelVersion

_DIGEST_CHARACTERS = 16
_PROMOTED = "promoted"
# Parts of a problem that say what a model is, beside its candidate.
_SHAPING = ("labels", "merge_labels", "rare_labels", "inputs", "limits", "metric", "decision")


def specification_of(problem: Problem, candidate: str) -> str:
    """Return the digest of what a candidate is: features, estimator, parameters, and its goal.

    Its name says nothing: who renames a candidate has not changed it.
    """
    chosen = problem.candidates[candidate]
    content = {
        "candidate": chosen.model_dump(mode="json"),
        "problem": problem.model_dump(mode="json", include=set(_SHAPING)),
    }
    if isinstance(chosen, Candidate):
        content["preparation"] = problem.preparations[chosen.preparation].model_dump(mode="json")
        content["candidate"].pop("preparation")
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]


def same_candidate(
    version: ModelVersion, production: ModelVersion, earlier: Iterable[ModelVersion]
) -> Iterator[ModelVersion]:
    """Yield the earlier versions whose verdicts say something about a challenger, newest first.

    They are of the same specification and were compared with the same Production. What happened
    before Production was another version does not count, even if a rollback has undone that since.

    Parameters
    ----------
    version, production : ModelVersion
        The challenger and the Production version.
    earlier : iterable of ModelVersion
        Versions of the problem, newest first.
    """
    for other in earlier:
        if other.version >= version.version:
            continue
        if other.verdict == _PROMOTED or other.compared_with not in (None, production.version):
            return
        if (
            other.compared_with == production.version
            and other.specification is not None
            and other.specification == version.specification
        ):
            yield other


def find_before(
    versions: Iterable[ModelVersion], has_newer: Callable[[ModelVersion], bool]
) -> ModelVersion | None:
    """Return the newest of some versions than which a challenger has newer documents.

    Parameters
    ----------
    versions : iterable of ModelVersion
        What `same_candidate` yields.
    has_newer : callable
        Whether documents have arrived since a version was made. One of the same documents has the
        same result, and shows nothing.
    """
    return next((each for each in versions if has_newer(each)), None)


def find_first(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """Return the oldest of some versions that has passed every gate."""
    passed = [each for each in versions if each.confirmation is not None]
    return passed[-1] if passed else None
