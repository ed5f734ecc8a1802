"""The verdict: may the challenger take over from Production?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from perennial.config.problem import Problem
from perennial.gates.approval import Approval, Promotion, judge_answer
from perennial.gates.base import Evidence, Gate, GateResult
from perennial.gates.better import GATE as BETTER
from perennial.gates.catalogue import judge
from perennial.gates.confirmation import CONFIRMATION, confidence_again
from perennial.metrics import Predictions, compute, difference
from perennial.promotion.baselines import Baseline, compare_baselines
from perennial.promotion.comparison import MetricPair, compare_metrics
from perennial.promotion.figure import Selection, Since
from perennial.promotion.selection import optimism

NEVER_AUTOMATIC = "promotion is never automatic"
VerdictOutcome = Literal["promoted", "kept", "waiting"]
Confirmation = Literal["awaited", "confirmed"]
# The outcome for a challenger that has passed every gate, by the problem's rule of promotion.
_OUTCOMES: dict[Promotion, VerdictOutcome] = {
    "auto": "promoted",
    "approve": "waiting",
    "never": "kept",
}


class Verdict(BaseModel):
    """The outcome of comparing a challenger with Production on the same holdout.

    Attributes
    ----------
    outcome : VerdictOutcome
        ``waiting`` if every gate is passed and a person has to say yes or no.
    gates : tuple of GateResult
        Results of the gates, with the value that each has found.
    challenger : int
        Version number of the challenger.
    production : int or None
        Version number of Production, if there was one.
    promotion : Promotion
        The problem's rule for a challenger that passes every gate.
    until : datetime or None
        End of the time in which a person may answer, if one is asked.
    confirmation : Confirmation or None
        Whether a challenger that has passed every other gate is confirmed; None for the others,
        and where none is asked for.
    compared : tuple of MetricPair
        Every metric of both versions; empty without Production, and of a verdict that was read.
    compared_on : int
        On how many documents.
    again : tuple of GateResult
        What the gate *better* says at the higher confidence that a second pass is asked for; empty
        where every gate is not passed, and where nothing has to be confirmed by a second pass.
    anchor : int or None
        The best version so far, if ``not_worse`` is asked for and the challenger is not proved to
        be better than that one.
    steps : int or None
        How many versions, with the challenger, follow that one.
    selection : Selection or None
        How a challenger that passes every gate was chosen; None for the others, and for the first.
    since : Since or None
        What documents say of Production that arrived after it was made.
    baselines : tuple of Baseline
        The best constant answer and a simpler model on the same documents; empty of a verdict that
        was read.
    """

    model_config = ConfigDict(frozen=True)

    outcome: VerdictOutcome
    gates: tuple[GateResult, ...]
    challenger: int
    production: int | None
    promotion: Promotion = "auto"
    until: datetime | None = None
    confirmation: Confirmation | None = None
    compared: tuple[MetricPair, ...] = ()
    compared_on: int = 0
    again: tuple[GateResult, ...] = Field(default=(), exclude=True)
    anchor: int | None = None
    steps: int | None = None
    selection: Selection | None = None
    since: Since | None = None
    baselines: tuple[Baseline, ...] = Field(default=(), exclude=True)

    @property
    def reason(self) -> str:
        """The reason for the outcome, in one sentence."""
        failed = [f"{gate.name}: {gate.found}, required {gate.required}" for gate in self.failed]
        if failed:
            return "; ".join(failed)
        if self.outcome == "waiting":
            return "every gate is passed, but it waits for a person's answer"
        if self.outcome == "kept":
            return f"every gate is passed, but {NEVER_AUTOMATIC}"
        if self.production is None:
            return "every gate is passed, and there was no Production version"
        confirmed = [gate.found for gate in self.gates if gate.name == CONFIRMATION]
        return "; ".join(["every gate is passed", *confirmed])

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """The gates that kept the challenger out."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def is_passed(self) -> bool:
        """Whether every gate is passed; a person may still refuse the promotion."""
        return not self.failed

    @property
    def waits(self) -> bool:
        """Whether every gate is passed, and only a person's answer is missing."""
        return self.outcome == "waiting"

    @property
    def is_unconfirmed(self) -> bool:
        """Whether every gate is passed, and only the confirmation is missing."""
        return {gate.name for gate in self.failed} == {CONFIRMATION}

    def confirmed(self, result: GateResult) -> Verdict:
        """Return the verdict with the result of its confirmation, after every other gate.

        Raises
        ------
        ValueError
            If another gate is not passed: nothing has to be confirmed then.
        """
        if not self.is_passed:
            raise ValueError("only a challenger that has passed every gate is confirmed")
        changed: dict[str, Any] = {"gates": (*self.gates, result), "confirmation": "confirmed"}
        if not result.passed:
            changed |= {"outcome": "kept", "confirmation": "awaited"}
        return self.model_copy(update=changed)

    def with_gate(self, result: GateResult) -> Verdict:
        """Return the verdict with one more gate, which keeps the challenger out if not passed."""
        changed: dict[str, Any] = {"gates": (*self.gates, result)}
        if not result.passed:
            changed["outcome"] = "kept"
        return self.model_copy(update=changed)

    def answered(self, approval: Approval) -> Verdict:
        """Return the verdict with a person's answer as its last gate."""
        gates = (*self.gates, judge_answer(approval))
        passed = all(gate.passed for gate in gates)
        outcome: VerdictOutcome = "promoted" if passed else "kept"
        return self.model_copy(update={"outcome": outcome, "gates": gates, "until": None})


# Of fewer documents a verdict could be chance, whichever way they fall.
LEAST_UNSEEN = 10


def lack_of_evidence(
    problem: Problem, *, challenger: int, production: int, unseen: int, holdout: int
) -> Verdict:
    """Return the verdict where too few documents are left to compare two versions on.

    Parameters
    ----------
    problem : Problem
        The problem.
    challenger, production : int
        Version numbers.
    unseen, holdout : int
        How many holdout documents neither has learned from, of how many.
    """
    gate = GateResult(
        name="unseen documents",
        passed=False,
        found=f"{unseen:,} of {holdout:,} holdout documents that version {production} has not "
        "learned from",
        required=f"{LEAST_UNSEEN:,}; load labelled documents that are new",
    )
    return Verdict(
        outcome="kept",
        gates=(gate,),
        challenger=challenger,
        production=production,
        promotion=problem.gates.promotion,
    )


def reach_verdict(
    problem: Problem,
    *,
    challenger: tuple[int, Predictions],
    production: tuple[int, Predictions] | None,
    measured: Mapping[str, Any] | None = None,
    approval: Approval | None = None,
    gates: Sequence[Gate[Any, Any]] | None = None,
    simpler: Mapping[str, Predictions] | None = None,
) -> Verdict:
    """Return the verdict on a challenger. Every gate enters it here.

    Parameters
    ----------
    problem : Problem
        The problem, with its metric, gates and seed.
    challenger, production : tuple of int and Predictions
        Version numbers and their predictions on the same holdout. Without a Production version,
        only the gates that look at the challenger alone have results.
    measured : mapping of str to Any, optional
        Name of a gate -> its measurement, as `perennial.gates.catalogue` returns it. A gate that
        the problem asks for and that was not measured is not passed.
    approval : Approval, optional
        A person's answer, where the problem does not promote by itself.
    gates : sequence of Gate, optional
        The gates to judge by; all of them by default. A simulation has predictions alone, and
        leaves out the others.
    simpler : mapping of str to Predictions, optional
        Name of a simpler model -> its predictions on the same holdout. Without it the challenger is
        not compared with baselines.
    """
    version, predictions = challenger
    evidence = Evidence(
        metric=problem.metric,
        confidence=problem.gates.confidence,
        seed=problem.seed,
        challenger=predictions,
        production=production[1] if production else None,
        measured=measured or {},
    )
    results = judge(problem.gates, evidence, gates)
    policy = problem.gates.promotion
    is_passed = all(result.passed for result in results)
    verdict = Verdict(
        outcome=_OUTCOMES[policy] if is_passed else "kept",
        gates=results,
        challenger=version,
        production=production[0] if production else None,
        promotion=policy,
        compared=compare_metrics(predictions, production[1]) if production else (),
        compared_on=len(predictions) if production else 0,
        again=_again(problem, evidence) if is_passed else (),
        selection=_select(problem, evidence) if is_passed else None,
        baselines=_baselines(evidence, simpler),
    )
    return verdict if approval is None else verdict.answered(approval)


def _baselines(
    evidence: Evidence, simpler: Mapping[str, Predictions] | None
) -> tuple[Baseline, ...]:
    if simpler is None or not len(evidence.challenger):
        return ()
    found = compare_baselines(
        evidence.metric,
        evidence.challenger,
        simpler,
        confidence=evidence.confidence,
        seed=evidence.seed,
    )
    return tuple(found)


def _select(problem: Problem, evidence: Evidence) -> Selection | None:
    """Return the challenger's claim with what of it may be chance; None without a Production."""
    if evidence.production is None:
        return None
    confidence = problem.gates.confidence
    gain = difference(
        evidence.metric,
        evidence.challenger,
        evidence.production,
        confidence=confidence,
        seed=evidence.seed,
    )
    asked = confidence_again(confidence) if problem.gates.confirm == "next" else confidence
    return Selection(
        metric=evidence.metric,
        claimed=compute(evidence.metric, evidence.challenger),
        optimism=optimism(gain, confidence, asked),
    )


def _again(problem: Problem, evidence: Evidence) -> tuple[GateResult, ...]:
    """Return what the gate *better* says where a second pass has to be surer than the first."""
    if evidence.production is None or problem.gates.confirm != "next":
        return ()
    surer = {"confidence": confidence_again(problem.gates.confidence)}
    return judge(problem.gates.model_copy(update=surer), evidence, [BETTER])
