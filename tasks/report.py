"""Report: what a retraining did, for the person at the terminal and the one at the Prefect UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from rich.console import Console, Group
from rich.table import Table

from modeling.decision import Verdict
from modeling.problem import MetricName, Problem
from tasks.evaluate import Evaluation
from tasks.ingest import Ingested
from tasks.train import CandidateResult


@dataclass(frozen=True, eq=False)
class Retraining:
    """Everything that one retraining did.

    Attributes
    ----------
    ingested : Ingested
        What came in.
    candidates : sequence of CandidateResult
        What was tried; empty when there was nothing to do.
    evaluation : Evaluation or None
        The challenger on the holdout.
    verdict : Verdict or None
        The outcome; None when there was nothing to do.
    seconds : mapping of str to float
        Duration of each step.
    """

    ingested: Ingested
    seconds: Mapping[str, float]
    candidates: Sequence[CandidateResult] = ()
    evaluation: Evaluation | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class _Grid:
    """One table, to be shown as Markdown and in the terminal."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        lines = [self.head, ("---",) * len(self.head), *self.rows]
        body = "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)
        return f"## {self.title}\n\n{body}\n"

    def rich(self) -> Table:
        table = Table(title=self.title, title_justify="left", title_style="bold", min_width=72)
        for name in self.head:
            table.add_column(name)
        for row in self.rows:
            table.add_row(*row)
        return table


@task(name="report", cache_policy=NO_CACHE)
def report(problem: Problem, retraining: Retraining) -> None:
    """Show a retraining as a Prefect artifact and as tables in the terminal."""
    grids = _grids(problem, retraining)
    heading = headline(problem, retraining)
    create_markdown_artifact(
        key=f"retrain-{problem.name}",
        markdown=f"# {heading}\n\n" + "\n".join(grid.markdown() for grid in grids),
        description=heading,
    )
    Console().print(Group(*(grid.rich() for grid in grids)), f"[bold]{heading}[/bold]")


def headline(problem: Problem, retraining: Retraining) -> str:
    """Return the outcome of a retraining in one line."""
    verdict = retraining.verdict
    if verdict is None:
        return f"{problem.name}: nothing new, nothing to do; Production stays as it is"
    if verdict.outcome == "promoted":
        return f"{problem.name}: promoted, Production is now version {verdict.challenger}"
    return (
        f"{problem.name}: kept, Production stays version {verdict.production}"
        if verdict.production is not None
        else f"{problem.name}: kept out, there is no Production version yet"
    ) + f" ({verdict.reason})"


def _grids(problem: Problem, retraining: Retraining) -> list[_Grid]:
    grids = [_documents(retraining.ingested)]
    if retraining.candidates:
        grids.append(_candidates(problem, retraining.candidates))
    if retraining.evaluation is not None:
        grids.append(_holdout(retraining.evaluation))
    if retraining.verdict is not None:
        grids.append(_gates(retraining.verdict))
    return [*grids, _durations(retraining.seconds)]


def _documents(ingested: Ingested) -> _Grid:
    rows = [
        ("read from MongoDB", f"{ingested.read:,}"),
        ("used", f"{ingested.used:,}"),
        ("duplicates", f"{ingested.duplicates:,}"),
        ("quarantined", f"{ingested.in_quarantine:,}"),
        *((f"  {reason}", f"{count:,}") for reason, count in ingested.quarantined.items()),
        ("in the snapshot", f"{ingested.snapshot.documents:,}"),
    ]
    snapshot = ingested.snapshot
    return _Grid(
        f"Documents, snapshot {snapshot.version} ({snapshot.digest[:12]})",
        ("documents", "count"),
        rows,
    )


def _candidates(problem: Problem, results: Sequence[CandidateResult]) -> _Grid:
    shown: tuple[MetricName, ...] = ("accuracy", "f1", "roc_auc", "log_loss")
    ordered = sorted(results, key=lambda result: result.metrics["accuracy"], reverse=True)
    return _Grid(
        f"Candidates on the validation documents, chosen by {problem.metric}",
        ("candidate", *shown, "fit s"),
        [
            (r.name, *(f"{r.metrics[metric]:.4f}" for metric in shown), f"{r.seconds:.2f}")
            for r in ordered
        ],
    )


def _holdout(evaluation: Evaluation) -> _Grid:
    return _Grid(
        f"Challenger on the holdout, {len(evaluation.predictions):,} documents",
        ("metric", "value", "interval"),
        [
            (name, f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}")
            for name, found in evaluation.metrics.items()
        ],
    )


def _gates(verdict: Verdict) -> _Grid:
    against = "no Production yet" if verdict.production is None else f"version {verdict.production}"
    return _Grid(
        f"Verdict on version {verdict.challenger} against {against}: {verdict.outcome}",
        ("gate", "found", "required", "passed"),
        [(g.name, g.found, g.required, "yes" if g.passed else "no") for g in verdict.gates],
    )


def _durations(seconds: Mapping[str, float]) -> _Grid:
    rows = [(name, f"{value:.2f}") for name, value in seconds.items()]
    return _Grid("Durations", ("step", "s"), [*rows, ("all", f"{sum(seconds.values()):.2f}")])


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
