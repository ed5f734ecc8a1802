"""Rolled back: a model that a person has taken out of Production does not return by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from perennial.gates.base import Comparison, Evidence, Gate, GateResult
from perennial.schema import Schema

if TYPE_CHECKING:
    from perennial.registry.client import Registry
    from perennial.registry.model_version import ModelVersion


class RolledBackKeys(Schema):
    """No key: the gate is always on."""


class RolledBackGate(Gate[RolledBackKeys, "ModelVersion"]):
    """Requires a model other than those from which Production was rolled back.

    Two models are the same if their files are, or if their snapshots and problems are: a retraining
    that is forced to repeat itself, or that only had its gates changed, makes the same model once
    more. A person may still name the version with flows.rollback.
    """

    name = "rolled_back"
    position = 80
    keys = RolledBackKeys
    looks_at = "registry"
    in_every_digest = True
    examples = (
        (
            "always",
            (
                "a rollback took the same model out of Production (same file, or snapshot and "
                "problem)"
            ),
        ),
    )

    def look_up(self, asked: RolledBackKeys, comparison: Comparison) -> ModelVersion | None:
        """Return the version with the same model from which Production was rolled back, if any."""
        version = comparison.version
        rolled_back = _find_rolled_back(comparison.registry, version.problem)
        return next((other for other in rolled_back if _is_same(version, other)), None)

    def judge(
        self, asked: RolledBackKeys, evidence: Evidence, measured: ModelVersion | None
    ) -> Iterator[GateResult]:
        """Yield one result if the model was rolled back before."""
        if measured is not None:
            yield GateResult(
                name="not rolled back before",
                passed=False,
                found=f"same model as version {measured.version}, rolled back: "
                f"{measured.rolled_back}",
                required="another model",
            )


def _find_rolled_back(registry: Registry, problem: str) -> Iterator[ModelVersion]:
    numbers = {
        change.before
        for change in registry.history(problem)
        if change.kind == "rollback" and change.before is not None
    }
    for number in sorted(numbers):
        version = registry.find(problem, number)
        if version is not None and version.rolled_back is not None:
            yield version


def _is_same(version: ModelVersion, other: ModelVersion) -> bool:
    if version.sha256 is not None and version.sha256 == other.sha256:
        return True
    return version.identity is not None and version.identity == other.identity


GATE = RolledBackGate()
