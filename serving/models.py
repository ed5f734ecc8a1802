"""The models in memory: verified, compiled, warm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from artifact import ModelFile, open_model
from settings import OutsideError
from versions import ModelVersion

if TYPE_CHECKING:
    from modeling.fields import FieldKind
    from modeling.scorer import Scorer

Kind = Literal["text", "tabular"]
Origin = Literal["registry", "cache"]
_WARM_UPS = 20


@dataclass(frozen=True, eq=False)
class Loaded:
    """A version that can answer at once."""

    version: ModelVersion
    scorer: Scorer
    origin: Origin
    fields: Mapping[str, FieldKind] | None = None

    @property
    def kind(self) -> Kind:
        """Whether it takes texts, or records of fields."""
        return "text" if self.fields is None else "tabular"


@dataclass(frozen=True, eq=False)
class Served:
    """The versions of one problem that are in memory."""

    problem: str
    production: Loaded
    previous: Loaded | None = None
    canary: Loaded | None = None


def load(version: ModelVersion, file: ModelFile, origin: Origin) -> Loaded:
    """Verify a model, compile its scorer, and use it once.

    Raises
    ------
    OutsideError
        If the file is not the registered one, or its golden examples fail.
    """
    # scikit-learn takes seconds to import; the worker answers its probes meanwhile.
    from modeling.scorer import scorer_for
    from modeling.table import fields_of

    name = f"Version {version.version} of {version.problem!r}"
    model = open_model(file, version.sha256, name)
    scorer = scorer_for(model, file.golden.inputs)
    if tuple(scorer.classes) != file.golden.classes:
        raise OutsideError(f"{name} is refused: its scorer has other classes than the model.")
    for each in file.golden.inputs[:_WARM_UPS]:
        scorer.probabilities([each])
    return Loaded(version, scorer, origin, fields_of(model))
