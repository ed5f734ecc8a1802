"""The models in memory: verified, compiled, warm."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perennial.errors import OutsideError
from perennial.registry.artifact import ModelFile, open_model
from perennial.registry.model_version import ModelVersion

if TYPE_CHECKING:
    from perennial.config.sections.abstain import Abstain
    from perennial.fields import FieldKind
    from perennial.inference.base import Predictor

Kind = Literal["text", "tabular"]
Origin = Literal["registry", "cache"]
_WARM_UPS = 20


@dataclass(frozen=True, eq=False)
class Loaded:
    """A version that can answer at once."""

    version: ModelVersion
    predictor: Predictor
    origin: Origin
    fields: Mapping[str, FieldKind] | None = None
    required: Collection[str] = ()

    @property
    def kind(self) -> Kind:
        """Whether it takes texts, or records of fields."""
        return "text" if self.fields is None else "tabular"


@dataclass(frozen=True, eq=False)
class Served:
    """The versions of one problem that are in memory, and when none of them gives a label."""

    problem: str
    production: Loaded
    previous: Loaded | None = None
    canary: Loaded | None = None
    abstain: Abstain | None = None

    @property
    def loaded(self) -> tuple[Loaded, ...]:
        """The versions, Production first."""
        named = (self.production, self.canary, self.previous)
        return tuple({each.version.version: each for each in named if each}.values())

    def find(self, number: int) -> Loaded | None:
        """Return the version of a number; None if it is not in memory."""
        found = (each for each in self.loaded if each.version.version == number)
        return next(found, None)


def load(version: ModelVersion, file: ModelFile, origin: Origin) -> Loaded:
    """Verify a model, compile its predictor, and use it once.

    Raises
    ------
    OutsideError
        If the file is not the registered one, or its golden examples fail.
    """
    # scikit-learn takes seconds to import; the worker answers its probes meanwhile.
    from perennial.inference.predictor import build_predictor
    from perennial.inputs.encoder import fields_of, required_of

    name = f"Version {version.version} of {version.problem!r}"
    model = open_model(file, version.sha256, name)
    predictor = build_predictor(model, file.golden.inputs)
    if tuple(predictor.classes) != file.golden.classes:
        raise OutsideError(f"{name} is refused: its predictor has other classes than the model.")
    for each in file.golden.inputs[:_WARM_UPS]:
        predictor.probabilities([each])
    return Loaded(version, predictor, origin, fields_of(model), required_of(model))
