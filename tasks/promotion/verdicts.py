"""Verdicts on the versions that they are about: Markdown for people, tags for programs."""

from __future__ import annotations

from perennial.commands import command
from perennial.gates.approval import APPROVAL
from perennial.gates.base import GateResult
from perennial.gates.confirmation import CONFIRMATION
from perennial.promotion.verdict import Verdict
from perennial.registry.client import ModelVersion, Registry
from perennial.registry.tags import QuestionTags, VerdictTags, VersionKey
from tasks.tables.promotion import gates_table

# What MLflow's database holds of a version's description; its tags hold more.
_DESCRIPTION_CHARACTERS = 5_000


def write_verdict(
    registry: Registry,
    version: ModelVersion,
    verdict: Verdict,
    question: QuestionTags | None = None,
) -> None:
    """Write a verdict onto its version, after the question about it, or its answer.

    The outcome comes last: whoever reads it finds the rest, however the process ends.

    Raises
    ------
    OutsideError
        If MLflow cannot be used.
    """
    registry.annotate(
        version,
        description=_describe(version.problem, verdict),
        tags={
            **(question or QuestionTags()).as_tags(),
            **VerdictTags(
                outcome=verdict.outcome,
                reason=verdict.reason,
                compared_with=verdict.production,
                gates=[gate.model_dump() for gate in verdict.gates],
                confirmation=verdict.confirmation,
                anchor=verdict.anchor,
                steps=verdict.steps,
                selection=None if verdict.selection is None else verdict.selection.model_dump(),
            ).as_tags(),
        },
    )


def read_verdict(version: ModelVersion) -> Verdict:
    """Return the verdict of a version that waits for a person.

    Damaged tags are left out.
    """
    question = version.question
    return Verdict(
        outcome="waiting",
        gates=version.verdict_gates(GateResult),
        challenger=version.version,
        production=version.compared_with,
        promotion="approve",
        until=None if question is None else question.until,
    )


def answer_command(problem: str, number: int) -> str:
    """Return the command by which a person says yes to a version."""
    return command("approve", problem, "--version", number, "--why", '"..."')


def _describe(problem: str, verdict: Verdict) -> str:
    """Return the verdict for a person who looks at the version in MLflow."""
    text = gates_table(verdict).markdown()
    if verdict.selection is not None:
        text = f"{text}\nOn the holdout: {verdict.selection}.\n"
    number = verdict.challenger
    if verdict.waits:
        text = (
            f"Waiting: {verdict.reason}. To promote it: `{answer_command(problem, number)}`; "
            f"with `--refuse` it is kept.\n\n{text}"
        )
    elif verdict.outcome == "kept" and {gate.name for gate in verdict.failed} <= {
        APPROVAL,
        CONFIRMATION,
    }:
        by_hand = command("rollback", problem, "--version", number, "--why", '"..."')
        text = f"Kept: {verdict.reason}. To promote it by hand: `{by_hand}`\n\n{text}"
    if len(text) > _DESCRIPTION_CHARACTERS:
        rest = f"... all of it is in the tag {VersionKey.VERDICT_GATES.tag}"
        text = text[: _DESCRIPTION_CHARACTERS - len(rest)] + rest
    return text
