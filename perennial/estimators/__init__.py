"""The estimators that candidates name: one module each, found by being here.

Nothing here loads NumPy or scikit-learn: a problem's file is checked without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from perennial.estimators.base import EstimatorSpec, nearest

# What the estimators have in common is no estimator.
_SHARED = "base"


def _discover() -> Mapping[str, EstimatorSpec]:
    names = sorted(module.name for module in iter_modules(__path__) if module.name != _SHARED)
    specs: list[EstimatorSpec] = [import_module(f"{__name__}.{name}").ESTIMATOR for name in names]
    return {spec.name: spec for spec in specs}


ESTIMATORS = _discover()
"""Every estimator by its name, in the order of names."""


def _known(name: str) -> str:
    if name in ESTIMATORS:
        return name
    raise PydanticCustomError(
        "estimator",
        "input should be one of {names}{nearest}",
        {"names": ", ".join(ESTIMATORS), "nearest": nearest(name, ESTIMATORS)},
    )


EstimatorName = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(ESTIMATORS)})
]
"""The name of an estimator in a problem's file."""


def spec_of(estimator: object) -> EstimatorSpec | None:
    """Return what is known of a fitted estimator, None if no candidate can name it."""
    return next((spec for spec in ESTIMATORS.values() if spec.builds(estimator)), None)


def preload() -> None:
    """Import every estimator with all that it needs later."""
    for spec in ESTIMATORS.values():
        spec.build()
        for module in spec.imported_later:
            import_module(module)
