"""Behavioural cases: what a model must get right, however accurate it is.

A holdout says how often a model is right, not what it has understood. Three kinds of cases ask for
that (Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList, ACL 2020):
minimum function tests, invariance tests and directional expectation tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from perennial.gates.base import (
    NOT_MEASURED,
    READ_FILE,
    Evidence,
    FileReader,
    Gate,
    GateResult,
    ModelOnHoldout,
)
from perennial.schema import Name, Schema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The key of a validation's context that holds the labels of the problem.
LABELS = "labels"
_SHOWN_CHARACTERS = 60

# What a model is asked about: a text, or the fields of an object.
Input = Annotated[str, Field(min_length=1)] | dict[str, Any]


def _known(label: str, info: ValidationInfo) -> str:
    labels = (info.context or {}).get(LABELS, (label,))
    if label not in labels:
        allowed = " or ".join(map(repr, labels))
        raise PydanticCustomError("label", "input should be {allowed}", {"allowed": allowed})
    return label


Label = Annotated[str, AfterValidator(_known)]


class MinimumFunction(Schema):
    """An input whose label is beyond doubt."""

    input: Input
    label: Label


class Invariance(Schema):
    """A change that must not matter: the label stays."""

    input: Input
    changed: Input
    tolerance: float | None = Field(
        default=None, ge=0, le=1, description="how far a probability may move, too"
    )


class Direction(Schema):
    """A change that must move the probability of a label."""

    input: Input
    changed: Input
    label: Label
    rises: float = Field(
        ge=-1, le=1, description="at least by this; -0.05: it falls by no more than 0.05"
    )


class Group(Schema):
    """Cases about one ability."""

    pass_rate: float = Field(
        default=1.0, gt=0, le=1, description="the least share of its cases that must pass"
    )
    minimum_function: tuple[MinimumFunction, ...] = ()
    invariance: tuple[Invariance, ...] = ()
    direction: tuple[Direction, ...] = ()

    def __len__(self) -> int:
        return len(self.minimum_function) + len(self.invariance) + len(self.direction)


class CaseFile(Schema):
    """A file of behavioural cases."""

    groups: dict[Name, Group] = Field(min_length=1)

    @property
    def inputs(self) -> list[Any]:
        """All inputs of the cases, in the order in which `check_cases` takes the answers."""
        return list(_inputs(self))


def _inputs(cases: CaseFile) -> Iterator[Any]:
    for group in cases.groups.values():
        yield from (case.input for case in group.minimum_function)
        pairs: tuple[Invariance | Direction, ...] = (*group.invariance, *group.direction)
        for pair in pairs:
            yield from (pair.input, pair.changed)


def _read(value: Any, info: ValidationInfo) -> Any:
    read: FileReader | None = (info.context or {}).get(READ_FILE)
    if read is None or not isinstance(value, str):
        return value
    return read(CaseFile, ("gates", "cases"), value)


class CasesKeys(Schema):
    """The key ``cases``."""

    cases: Annotated[CaseFile | None, BeforeValidator(_read)] = Field(
        default=None, description="a file beside the problem's with behavioural cases"
    )


@dataclass(frozen=True)
class GroupResult:
    """Result of one group of cases.

    Attributes
    ----------
    name : str
        Name of the group.
    cases : int
        Number of its cases.
    failures : tuple of str
        The answer and the expectation of each case that failed.
    """

    name: str
    cases: int
    failures: tuple[str, ...]

    @property
    def passed(self) -> int:
        """Number of cases that passed."""
        return self.cases - len(self.failures)


@dataclass(frozen=True)
class _Answer:
    """A model's label for one input, and the probability of every label."""

    label: str
    probabilities: dict[str, float]


def check_cases(
    cases: CaseFile,
    *,
    labels: Sequence[str],
    classes: Sequence[str],
    probabilities: NDArray[np.float64],
) -> tuple[GroupResult, ...]:
    """Return the result of each group.

    Parameters
    ----------
    cases : CaseFile
        The cases.
    labels : sequence of str, shape (n_inputs,)
        The model's label of each of ``cases.inputs``.
    classes : sequence of str, shape (n_classes,)
        Labels of the columns of `probabilities`.
    probabilities : ndarray of float64, shape (n_inputs, n_classes)
        The model's probabilities for ``cases.inputs``.
    """
    answers = iter(
        [
            _Answer(str(label), dict(zip(classes, row, strict=True)))
            for label, row in zip(labels, probabilities.tolist(), strict=True)
        ]
    )
    return tuple(_check_group(name, group, answers) for name, group in cases.groups.items())


def _check_group(name: str, group: Group, answers: Iterator[_Answer]) -> GroupResult:
    failures = [
        *(_minimum_function(case, next(answers)) for case in group.minimum_function),
        *(_invariance(case, next(answers), next(answers)) for case in group.invariance),
        *(_direction(case, next(answers), next(answers)) for case in group.direction),
    ]
    failed = tuple(failure for failure in failures if failure is not None)
    return GroupResult(name, len(group), failed)


def _minimum_function(case: MinimumFunction, answer: _Answer) -> str | None:
    if answer.label == case.label:
        return None
    return f"{_quote(case.input)} is {answer.label}, not {case.label}"


def _invariance(case: Invariance, before: _Answer, after: _Answer) -> str | None:
    pair = f"{_quote(case.input)} to {_quote(case.changed)}"
    if before.label != after.label:
        return f"{pair} turns {before.label} into {after.label}"
    label = before.label
    moved = max(abs(after.probabilities[c] - p) for c, p in before.probabilities.items())
    if case.tolerance is not None and moved > case.tolerance:
        return f"{pair} moves {label} by {moved:.3f}, more than {case.tolerance:g}"
    return None


def _direction(case: Direction, before: _Answer, after: _Answer) -> str | None:
    pair = f"{_quote(case.input)} to {_quote(case.changed)}"
    if case.label not in before.probabilities:
        return f"{pair} cannot move {case.label}, a rare label that the model does not know"
    moved = after.probabilities[case.label] - before.probabilities[case.label]
    if moved >= case.rises:
        return None
    return f"{pair} moves {case.label} by {moved:+.3f}, less than {case.rises:+g}"


def _quote(value: Any) -> str:
    shown = value if isinstance(value, str) else ", ".join(f"{k} {v}" for k, v in value.items())
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "..."
    return f"'{shown}'"


class CasesGate(Gate[CasesKeys, Sequence[GroupResult]]):
    """Requires that enough cases of each group pass, and names those that do not."""

    name = "cases"
    position = 50
    keys = CasesKeys
    looks_at = "model"
    only_for_texts = (("cases",),)
    in_every_digest = True
    examples = (
        (
            "`cases: cases/NAME.yaml`",
            "too many behavioural cases of a group fail",
        ),
    )
    section = """\
## Behavioural cases
A file beside the problem, in groups with a `pass_rate` (default 1.0). `problems/cases/sentiment.yaml` has 64 of them.

```yaml
groups:
  negation:
    pass_rate: 0.6
    minimum_function:                       # an input has this label
      - {input: The film is not good., label: negative}
    invariance:                             # a change keeps the label, and the probabilities within the tolerance
      - {input: Maria is great., changed: Fatima is great., tolerance: 0.1}
    direction:                              # a change raises a probability by at least this
      - {input: It is good., changed: It is not good., label: negative, rises: 0.1}
```

When a group fails, the verdict names each case that failed. The cases are part of the problem: changing one makes the
next retraining start, though there are no new documents.
"""  # noqa: E501

    def measure(self, asked: CasesKeys, subject: ModelOnHoldout) -> Sequence[GroupResult] | None:
        """Return the model's result of each group."""
        if asked.cases is None:
            return None
        model, inputs = subject.model, asked.cases.inputs
        return check_cases(
            asked.cases,
            labels=model.predict(inputs).tolist(),
            classes=[str(label) for label in model.classes_],
            probabilities=model.predict_proba(inputs),
        )

    def judge(
        self, asked: CasesKeys, evidence: Evidence, measured: Sequence[GroupResult] | None
    ) -> Iterator[GateResult]:
        """Yield one result for each group."""
        results = {result.name: result for result in measured or ()}
        for name, group in asked.cases.groups.items() if asked.cases else ():
            result = results.get(name)
            passed = result is not None and result.passed >= group.pass_rate * result.cases
            yield GateResult(
                name=f"cases {name}",
                passed=passed,
                found=NOT_MEASURED if result is None else _count(result, named=not passed),
                required=f"at least {group.pass_rate * 100:g}%",
            )


def _count(result: GroupResult, *, named: bool) -> str:
    failures = f": {'; '.join(result.failures)}" if named else ""
    return f"{result.passed} of {result.cases} pass{failures}"


GATE = CasesGate()
