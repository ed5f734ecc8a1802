"""The part ``experiment:`` of a problem's file: what is explored, how, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field

from perennial.estimators import EstimatorName
from perennial.schema import Schema

Value = bool | int | float | str | None
Parameters = dict[str, Value]


class Space(Schema):
    """Hyperparameters to try, every combination of them.

    With ``halving`` all settings are fitted on the first fold, and after each fold only the better
    half goes on to the next (successive halving with folds as the resource: Jamieson and Talwalkar,
    Non-stochastic Best Arm Identification and Hyperparameter Optimization, 2016). The setting that
    stands in the file always stays.
    """

    search: Literal["grid", "halving"] = "grid"
    parameters: dict[str, Annotated[list[Value], Field(min_length=1)]] = Field(min_length=1)


class Cell(Schema):
    """One estimator of a grid, and what it needs of the features."""

    estimator: EstimatorName
    parameters: Parameters = Field(default={})
    features: dict[str, Value] = Field(
        default={}, description="in addition to those of the grid, such as max_features"
    )


class Grid(Schema):
    """Every kind of features with every estimator; ``FEATURES-ESTIMATOR`` names a candidate."""

    preparation: str
    features: dict[str, dict[str, Value]] = Field(min_length=1)
    estimators: dict[str, Cell] = Field(min_length=1)

    def cells(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield name and specification of each candidate."""
        for (kind, features), (name, cell) in product(
            self.features.items(), self.estimators.items()
        ):
            yield (
                f"{kind}-{name}",
                {
                    "preparation": self.preparation,
                    "features": features | cell.features,
                    "estimator": cell.estimator,
                    "parameters": cell.parameters,
                },
            )


class Experiment(Schema):
    """What the flow `experiment` explores beside the problem's candidates."""

    folds: int = Field(default=5, ge=2, le=20, description="of the cross-validation")
    budget: timedelta = Field(
        default=timedelta(minutes=15),
        gt=timedelta(0),
        description="for all candidates; those that it does not reach say so",
    )
    candidate_budget: timedelta = Field(
        default=timedelta(minutes=3),
        gt=timedelta(0),
        description="for one candidate with all its settings; then its fit is stopped",
    )
    spaces: dict[str, Space] = Field(
        default={}, description="by candidate, or by estimator for all others that use it"
    )
    grid: Grid | None = None

    def space_of(self, name: str, estimator: str) -> Space | None:
        """Return what is tried of a candidate, None if only the setting in the file is."""
        return self.spaces.get(name, self.spaces.get(estimator))

    def settings_of(
        self, name: str, estimator: str, declared: Mapping[str, Value]
    ) -> list[Parameters]:
        """Return the settings of a candidate: the one in the file, then those of its space."""
        settings = [dict(declared)]
        space = self.space_of(name, estimator)
        if space is not None:
            for values in product(*space.parameters.values()):
                setting = {**declared, **dict(zip(space.parameters, values, strict=True))}
                if setting not in settings:
                    settings.append(setting)
        return settings
