"""The verdict: may the challenger take over from Production?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from perennial.config.gates import Gates, Promotion
from perennial.config.problem import Problem
from perennial.metrics import LOSSES, Interval, MetricName, Predictions, compute, difference
from perennial.promotion.behavioral import GroupResult
from perennial.promotion.latency import Latency
from perennial.promotion.slices import Slice, compare_slices
from perennial.thresholds.threshold import FloorFound

BETTER = "better than Production"
NOT_WORSE = "not worse than Production, on newer documents"
APPROVAL = "approval"
NEVER_AUTOMATIC = "promotion is never automatic"
NOT_MEASURED = "not measured"
Outcome = Literal["promoted", "kept", "waiting"]
_MEGABYTE = 1_000_000
_SHOWN_NAMES = 10
_LONGEST = 1_000
# Of a challenger that has passed every gate, by what the problem says of its promotion.
_OUTCOMES: dict[Promotion, Outcome] = {"auto": "promoted", "approve": "waiting", "never": "kept"}


class Gate(BaseModel):
    """One condition of a promotion, with the figure that was found."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    found: str
    required: str


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


class Approval(BaseModel):
    """What a person said about a challenger that had passed every gate.

    Attributes
    ----------
    approved : bool
        Yes or no.
    by, why : str
        Who said so, and for what reason; only the first 1,000 characters are kept.
    """

    model_config = ConfigDict(frozen=True)

    approved: bool
    by: Annotated[str, AfterValidator(_shortened)]
    why: Annotated[str, AfterValidator(_shortened)]

    def __str__(self) -> str:
        return f"{'yes' if self.approved else 'no'}, by {self.by}: {self.why}"


class Verdict(BaseModel):
    """The outcome of comparing a challenger with Production on the same holdout.

    Attributes
    ----------
    outcome : Outcome
        ``waiting`` if every gate is passed and a person has to say yes or no.
    gates : tuple of Gate
        Every condition, with the figure that was found.
    challenger : int
        The version that was compared.
    production : int or None
        The version it was compared with, if there was a Production.
    promotion : Promotion
        What the problem says about a challenger that passes every gate.
    until : datetime or None
        Until when a person may answer, if it waits for that.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Outcome
    gates: tuple[Gate, ...]
    challenger: int
    production: int | None
    promotion: Promotion = "auto"
    until: datetime | None = None

    @property
    def reason(self) -> str:
        """One sentence: why the outcome is what it is."""
        failed = [f"{gate.name}: {gate.found}, required {gate.required}" for gate in self.failed]
        if failed:
            return "; ".join(failed)
        if self.outcome == "waiting":
            return "every gate is passed, but it waits for a person's answer"
        if self.outcome == "kept":
            return f"every gate is passed, but {NEVER_AUTOMATIC}"
        if self.production is None:
            return "every gate is passed, and there was no Production version"
        return "every gate is passed"

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that kept the challenger out."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def is_passed(self) -> bool:
        """Whether every gate is passed, which is not yet a promotion if a person decides."""
        return not self.failed

    @property
    def waits(self) -> bool:
        """Whether every gate is passed and only a person's answer is missing."""
        return self.outcome == "waiting"

    def answered(self, approval: Approval) -> Verdict:
        """Return the verdict with a person's answer as its last gate."""
        gates = (*self.gates, _approval(approval))
        passed = all(gate.passed for gate in gates)
        outcome: Outcome = "promoted" if passed else "kept"
        return self.model_copy(update={"outcome": outcome, "gates": gates, "until": None})


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a challenger beside its predictions; what no gate asks for may be absent.

    Attributes
    ----------
    newer_documents : bool
        Whether it has learned from documents that arrived after Production's.
    slices : sequence of Slice
        Of the documents that both have predicted.
    cases : sequence of GroupResult
        How it did on the behavioural cases.
    latency : Latency or None
        How long it takes for one document.
    file_bytes : int or None
        Size of its registered file.
    """

    newer_documents: bool = False
    slices: Sequence[Slice] = ()
    cases: Sequence[GroupResult] = ()
    latency: Latency | None = None
    file_bytes: int | None = None


def decide(
    problem: Problem,
    *,
    challenger: tuple[int, Predictions],
    production: tuple[int, Predictions] | None,
    evidence: Evidence | None = None,
    approval: Approval | None = None,
    further: Sequence[Gate] = (),
) -> Verdict:
    """Return the verdict on a challenger.

    Parameters
    ----------
    problem : Problem
        Its metric, gates and seed.
    challenger, production : tuple of int and Predictions
        The versions and what they predict on the same holdout. Without Production nothing is
        compared: the floors and what the challenger shows by itself decide.
    evidence : Evidence, optional
        What the other gates need; None decides on the predictions alone, as a simulation may.
    approval : Approval, optional
        What a person said, where the problem does not promote by itself.
    further : sequence of Gate
        What else the challenger must pass, found elsewhere.
    """
    version, predictions = challenger
    asked = problem.gates
    gates = [_floor(m, limit, predictions) for m, limit in asked.floors.items()]
    gates += further
    if production is not None:
        newer = evidence is not None and evidence.newer_documents
        gates.append(_better(problem, predictions, production[1], newer_documents=newer))
    if evidence is not None:
        if production is not None:
            gates += _slices(problem, evidence.slices, predictions, production[1])
        gates += _cases(asked, evidence)
        gates += _budgets(asked, evidence)
    verdict = Verdict(
        outcome=_OUTCOMES[asked.promotion] if all(gate.passed for gate in gates) else "kept",
        gates=tuple(gates),
        challenger=version,
        production=production[0] if production else None,
        promotion=asked.promotion,
    )
    return verdict if approval is None else verdict.answered(approval)


def floor_gates(floor: FloorFound | None, holdout: Interval | None) -> tuple[Gate, ...]:
    """Return the gate of a floor that the threshold has to keep; none without such a floor.

    The threshold keeps it out of fold, and the holdout must not refute that: at least the upper
    end of the metric's interval there reaches the floor. `Gates.floors` asks for more.
    """
    if floor is None or holdout is None:
        return ()
    return (
        Gate(
            name=f"threshold with enough {floor.metric}",
            passed=floor.reached and holdout.high >= floor.required,
            found=f"{floor.value:.4f} out of fold, with confidence {floor.low:.4f}; {holdout} on "
            "the holdout",
            required=f"at least {floor.required} with confidence, not refuted on the holdout",
        ),
    )


def _floor(metric: MetricName, limit: float, predictions: Predictions) -> Gate:
    value = compute(metric, predictions)
    passed = value <= limit if metric in LOSSES else value >= limit
    bound = "at most" if metric in LOSSES else "at least"
    return Gate(
        name=metric.replace("_", " "),
        passed=passed,
        found=f"{value:.4f}",
        required=f"{bound} {limit}",
    )


def _better(
    problem: Problem, challenger: Predictions, production: Predictions, *, newer_documents: bool
) -> Gate:
    """Ask that the whole confidence interval of the gain lies above zero, or above minus a margin.

    Under equal quality the lower end is above zero in at most half of ``1 - confidence`` of all
    comparisons, so that a coin-flip challenger is promoted in about 2.5 of 100 retrainings at 0.95.

    A model ages, so a problem may take a challenger with newer documents that is not worse by more
    than a margin (non-inferiority; Piaggio et al., Reporting of Noninferiority and Equivalence
    Randomized Trials, JAMA 308, 2012). Each such step may lose up to the margin, and many may add
    up; what stops them is a floor.
    """
    confidence = problem.gates.confidence
    gain = difference(
        problem.metric, challenger, production, confidence=confidence, seed=problem.seed
    )
    by_policy = problem.gates.not_worse if newer_documents else None
    limit = 0.0 if by_policy is None else -by_policy.margin
    return Gate(
        name=BETTER if by_policy is None else NOT_WORSE,
        passed=gain.low > limit,
        found=f"{problem.metric} {_signed(gain)}",
        required=f"{confidence * 100:g}% interval above {limit:g}",
    )


def _slices(
    problem: Problem, slices: Sequence[Slice], challenger: Predictions, production: Predictions
) -> Iterator[Gate]:
    """Ask that no slice is proved to be worse by more than the margin."""
    asked = problem.gates.slices
    if asked is None:
        return
    gains = compare_slices(problem, slices, challenger, production)
    for each in gains:
        if each.gain is not None:
            yield Gate(
                name=f"slice {each.name}",
                passed=not each.gain.high < -asked.margin,
                found=f"{problem.metric} {_signed(each.gain)} on {each.documents:,} documents",
                required=f"interval reaches {-asked.margin:g}",
            )
    left_out = [f"{each.name} ({each.documents:,})" for each in gains if each.gain is None]
    if left_out:
        yield Gate(
            name="slices not judged",
            passed=True,
            found=_listed(left_out),
            required=f"{asked.min_documents:,} documents to be judged",
        )


def _cases(asked: Gates, evidence: Evidence) -> Iterator[Gate]:
    """Ask that enough cases of each group pass; those that do not are named."""
    results = {result.name: result for result in evidence.cases}
    for name, group in asked.cases.groups.items() if asked.cases else ():
        result = results.get(name)
        passed = result is not None and result.passed >= group.pass_rate * result.cases
        yield Gate(
            name=f"cases {name}",
            passed=passed,
            found=NOT_MEASURED if result is None else _passed(result, named=not passed),
            required=f"at least {group.pass_rate * 100:g}%",
        )


def _passed(result: GroupResult, *, named: bool) -> str:
    failures = f": {'; '.join(result.failures)}" if named else ""
    return f"{result.passed} of {result.cases} pass{failures}"


def _budgets(asked: Gates, evidence: Evidence) -> Iterator[Gate]:
    """Ask that the model is quick and small enough; what was not measured does not pass."""
    if asked.latency is not None:
        found = evidence.latency
        yield Gate(
            name="latency",
            passed=found is not None and found.p99 <= asked.latency.milliseconds,
            found=NOT_MEASURED
            if found is None
            else f"99% within {found.p99:.3f} ms, half within {found.median:.3f} ms",
            required=f"99% within {asked.latency.milliseconds:g} ms",
        )
    if asked.size is not None:
        size = evidence.file_bytes
        yield Gate(
            name="size",
            passed=size is not None and size <= asked.size.megabytes * _MEGABYTE,
            found=NOT_MEASURED if size is None else f"{size / _MEGABYTE:.1f} MB",
            required=f"at most {asked.size.megabytes:g} MB",
        )


def _approval(approval: Approval) -> Gate:
    return Gate(
        name=APPROVAL,
        passed=approval.approved,
        found=str(approval),
        required="a person's yes",
    )


def _signed(gain: Interval) -> str:
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more:,} more" if more > 0 else "")
