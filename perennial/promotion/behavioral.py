"""Behavioural cases: what a model must get right whatever its accuracy is.

A holdout says how often a model is right, not what it has understood. Three kinds of cases ask for
that (Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList, ACL 2020):
minimum function tests, invariance tests and directional expectation tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.config.cases import CaseFile, Direction, Group, Invariance, MinimumFunction

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class GroupResult:
    """How a model did on one group of cases.

    Attributes
    ----------
    name : str
        The group.
    cases : int
        How many cases it has.
    failures : tuple of str
        What was found and expected, for each case that failed.
    """

    name: str
    cases: int
    failures: tuple[str, ...]

    @property
    def passed(self) -> int:
        """How many cases passed."""
        return self.cases - len(self.failures)


@dataclass(frozen=True)
class _Answer:
    """What a model says about one input: its label, and the probability of each."""

    label: str
    probabilities: dict[str, float]


def judge(
    cases: CaseFile,
    *,
    labels: Sequence[str],
    classes: Sequence[str],
    probabilities: NDArray[np.float64],
) -> tuple[GroupResult, ...]:
    """Return how a model did on each group.

    Parameters
    ----------
    cases : CaseFile
        What was asked.
    labels : sequence of str, shape (n_inputs,)
        The model's label of each of ``cases.inputs``.
    classes : sequence of str, shape (n_classes,)
        What the columns of `probabilities` are about.
    probabilities : ndarray of float64, shape (n_inputs, n_classes)
        The model's probabilities for ``cases.inputs``.
    """
    answers = iter(
        [
            _Answer(str(label), dict(zip(classes, row, strict=True)))
            for label, row in zip(labels, probabilities.tolist(), strict=True)
        ]
    )
    return tuple(_judge(name, group, answers) for name, group in cases.groups.items())


def _judge(name: str, group: Group, answers: Iterator[_Answer]) -> GroupResult:
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
    moved = after.probabilities[case.label] - before.probabilities[case.label]
    if moved >= case.rises:
        return None
    pair = f"{_quote(case.input)} to {_quote(case.changed)}"
    return f"{pair} moves {case.label} by {moved:+.3f}, less than {case.rises:+g}"


def _quote(value: Any) -> str:
    shown = value if isinstance(value, str) else ", ".join(f"{k} {v}" for k, v in value.items())
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "..."
    return f"'{shown}'"
