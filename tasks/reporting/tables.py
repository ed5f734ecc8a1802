"""Tables about a retraining, each for Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from perennial.config.problem import Problem
from perennial.metrics import LOSSES
from perennial.promotion.canary_analysis import CanaryAnalysis
from perennial.promotion.verdict import Verdict
from perennial.schema import MetricName
from tasks.data.ingest import Ingested
from tasks.training.evaluate import Evaluation
from tasks.training.train import CandidateResult
from tasks.training.tune_threshold import summary


@dataclass(frozen=True)
class Grid:
    """One table, to be shown as Markdown and in the terminal."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """Return the table in Markdown, its title as a heading."""
        lines = [self.head, ("---",) * len(self.head), *self.rows]
        body = "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)
        return f"## {self.title}\n\n{body}\n"

    def rich(self) -> Table:
        """Return the table for the terminal."""
        table = Table(title=self.title, title_justify="left", title_style="bold", min_width=72)
        for name in self.head:
            table.add_column(name)
        for row in self.rows:
            table.add_row(*row)
        return table


def documents_table(problem: Problem, ingested: Ingested, feedback: int | None) -> Grid:
    """Return a table: what came in, what became of it, and how much of all is feedback."""
    rows = [
        ("read from MongoDB", f"{ingested.read:,}"),
        ("used", f"{ingested.used:,}"),
        ("duplicates", f"{ingested.duplicates:,}"),
        ("quarantined", f"{ingested.in_quarantine:,}"),
        *((f"  {reason}", f"{count:,}") for reason, count in ingested.quarantined.items()),
        ("in the snapshot", f"{ingested.snapshot.documents:,}"),
    ]
    if feedback is not None:
        rows.append((f"  from feedback, {problem.feedback.meaning}", f"{feedback:,}"))
    snapshot = ingested.snapshot
    return Grid(
        f"Documents, snapshot {snapshot.version} ({snapshot.digest[:12]})",
        ("documents", "count"),
        rows,
    )


def candidates_table(problem: Problem, results: Sequence[CandidateResult]) -> Grid:
    """Return a table: what each candidate showed on the validation documents, the best first."""
    if not all(result.metrics for result in results):
        fits = [(result.name, f"{result.seconds:.2f}") for result in results]
        return Grid("The only candidate, fitted on all training documents", ("name", "fit s"), fits)
    shown: tuple[MetricName, ...] = ("accuracy", "f1", "roc_auc", "log_loss")
    if problem.metric not in shown:
        shown = (problem.metric, *shown)
    ordered = sorted(
        results,
        key=lambda result: result.metrics[problem.metric],
        reverse=problem.metric not in LOSSES,
    )
    return Grid(
        f"Candidates on the validation documents, chosen by {problem.metric}",
        ("candidate", *shown, "fit s"),
        [
            (r.name, *(f"{r.metrics[metric]:.4f}" for metric in shown), f"{r.seconds:.2f}")
            for r in ordered
        ],
    )


def holdout_table(evaluation: Evaluation) -> Grid:
    """Return a table: what the challenger shows on the holdout, with intervals."""
    return Grid(
        f"Challenger on the holdout, {len(evaluation.predictions):,} documents",
        ("metric", "value", "interval"),
        [
            (name, f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}")
            for name, found in evaluation.metrics.items()
        ],
    )


def gates_table(verdict: Verdict) -> Grid:
    """Return a table: every gate of a verdict with its figure."""
    against = "no Production yet" if verdict.production is None else f"version {verdict.production}"
    return Grid(
        f"Verdict on version {verdict.challenger} against {against}: {verdict.outcome}",
        ("gate", "found", "required", "passed"),
        [(g.name, g.found, g.required, "yes" if g.passed else "no") for g in verdict.gates],
    )


def decision_table(evaluation: Evaluation) -> Grid | None:
    """Return a table: what the decision gains over the most probable label; None without one."""
    if evaluation.tuned is None:
        return None
    rows: list[tuple[str, ...]] = []
    for found in evaluation.compared:
        name, gain = found.metric, found.gain
        better = f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        training = f"{found.out_of_fold:.4f}", f"{found.out_of_fold_plain:.4f}"
        holdout = f"{found.holdout:.4f}", f"{found.holdout_plain:.4f}"
        rows += [(f"{name}, out of fold", *training, ""), (f"{name}, holdout", *holdout, better)]
    head = ("metric", "decided", "most probable label", "better by")
    return Grid(f"Decision: {summary(evaluation.tuned)}", head, rows)


def checks_table(analysis: CanaryAnalysis) -> Grid:
    """Return a table of the checks of a canary against Production."""
    return Grid(
        f"Canary, version {analysis.canary}, with {analysis.share:.0%} of the requests against "
        f"Production, version {analysis.production}",
        ("figure", "canary", "Production", "worse by", "allowed", "crossed"),
        [
            (
                check.name,
                f"{check.canary:.4g}",
                f"{check.production:.4g}",
                f"{check.worse.low:.4g} to {check.worse.high:.4g}",
                f"{check.limit:g}",
                "yes" if check.is_crossed else "no",
            )
            for check in analysis.checks
        ],
    )


def durations_table(seconds: Mapping[str, float]) -> Grid:
    """Return a table: how long each step took."""
    rows = [(name, f"{value:.2f}") for name, value in seconds.items()]
    return Grid("Durations", ("step", "s"), [*rows, ("all", f"{sum(seconds.values()):.2f}")])


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
