"""The models in memory: verified, compiled, warm."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import thread_time
from typing import TYPE_CHECKING, Any, Literal

from perennial.errors import OutsideError
from perennial.registry.artifact import ModelFile, open_model
from perennial.registry.model_version import ModelVersion

if TYPE_CHECKING:
    from perennial.config.answering.abstain import Abstain
    from perennial.config.answering.examples import Example
    from perennial.config.sections.redact import Redact
    from perennial.fields import FieldKind
    from perennial.inference.base import Predictor
    from perennial.inference.known_values import KnownValues

Kind = Literal["text", "tabular"]
Origin = Literal["registry", "cache"]
_WARM_UPS = 20
_ROUNDS = 3
_MEASURED_SECONDS = 0.2


@dataclass(frozen=True, eq=False)
class Loaded:
    """A version that can answer at once."""

    version: ModelVersion
    predictor: Predictor
    origin: Origin
    fields: Mapping[str, FieldKind] | None = None
    required: Collection[str] = ()
    explanation_cost: float = 1.0
    """Time that an explained answer takes, relative to one without explanation; measured."""
    known: Mapping[str, KnownValues] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """Whether it takes texts, or records of fields."""
        return "text" if self.fields is None else "tabular"


@dataclass(frozen=True, eq=False)
class Served:
    """The versions of one problem that are in memory, and what its file says about answers."""

    problem: str
    production: Loaded
    previous: Loaded | None = None
    canary: Loaded | None = None
    abstain: Abstain | None = None
    examples: Sequence[Example] = ()
    redact: Redact | None = None

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
    from perennial.inference.known_values import known_values
    from perennial.inference.predictor import build_predictor
    from perennial.inputs.encoder import fields_of, required_of

    name = f"Version {version.version} of {version.problem!r}"
    model = open_model(file, version.sha256, name)
    predictor = build_predictor(model, file.golden.inputs)
    if tuple(predictor.classes) != file.golden.classes:
        raise OutsideError(f"{name} is refused: its predictor has other classes than the model.")
    for each in file.golden.inputs[:_WARM_UPS]:
        predictor.probabilities([each])
    return Loaded(
        version,
        predictor,
        origin,
        fields_of(model),
        required_of(model),
        _explanation_cost(predictor, file.golden.inputs[:_WARM_UPS]),
        known_values(model),
    )


def _explanation_cost(predictor: Predictor, inputs: Sequence[Any]) -> float:
    """Measure what an explained answer takes, relative to one without explanation.

    It is the time of this thread only, and the least of some rounds: whatever else the machine does
    meanwhile is no part of it.
    """
    label, plain, explained = predictor.classes[0], 0.0, 0.0
    for each in inputs:
        plain += _seconds(partial(predictor.assess, [each]))
        explained += _seconds(partial(predictor.explanation, each, label))
        if explained > _MEASURED_SECONDS:
            break
    return 1 + explained / plain if plain > 0 else 1.0


def _seconds(work: Callable[[], object]) -> float:
    """Return the least time of this thread that some work takes."""
    found = []
    for _ in range(_ROUNDS):
        begin = thread_time()
        work()
        found.append(thread_time() - begin)
    return min(found)
