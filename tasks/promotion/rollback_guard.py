"""Refused: a model that Production was rolled back from does not come back by itself."""

from __future__ import annotations

from perennial.promotion.verdict import Gate, Verdict
from perennial.registry.client import ModelVersion, Registry


def refuse_again(registry: Registry, version: ModelVersion, verdict: Verdict) -> Verdict:
    """Return the verdict, against the challenger if it is what a person has rolled back.

    It is when its file is the same, or its snapshot and problem are: a retraining that is forced
    to repeat itself, or that only had its gates changed, makes the same model once more. A person
    may still name the version with flows.rollback.

    Raises
    ------
    OutsideError
        If MLflow cannot be used.
    """
    for refused in _rolled_back(registry, version.problem):
        if _is_same(version, refused):
            gate = Gate(
                name="not rolled back before",
                passed=False,
                found=f"same model as version {refused.version}, rolled back: "
                f"{refused.rolled_back}",
                required="another model",
            )
            return verdict.model_copy(update={"outcome": "kept", "gates": (*verdict.gates, gate)})
    return verdict


def _rolled_back(registry: Registry, problem: str) -> list[ModelVersion]:
    numbers = {
        change.before
        for change in registry.history(problem)
        if change.kind == "rollback" and change.before is not None
    }
    versions = [registry.find(problem, number) for number in sorted(numbers)]
    return [
        version for version in versions if version is not None and version.rolled_back is not None
    ]


def _is_same(version: ModelVersion, refused: ModelVersion) -> bool:
    if version.sha256 is not None and version.sha256 == refused.sha256:
        return True
    return version.identity is not None and version.identity == refused.identity
