"""Tables about a retraining, each for Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.metrics import METRICS, MetricName
from perennial.splits.summary import SplitSummary
from perennial.text.analyzer import AnalyzerChoice
from tasks.data.expectations import Arrivals
from tasks.data.ingest import IngestResult
from tasks.tables.base import TextTable
from tasks.training.evaluate import Evaluation
from tasks.training.train import CandidateResult
from tasks.training.tune_threshold import summary


def documents_table(
    problem: Problem, ingested: IngestResult, feedback: int | None, left_out: int
) -> TextTable:
    """Return a table: what has changed, what became of all, and how much of it is feedback."""
    accounts = ingested.accounts
    rows = [
        ("new", f"{accounts.new:,}"),
        ("corrected", f"{accounts.corrected:,}"),
        ("edited", f"{accounts.edited:,}"),
        ("deleted", f"{accounts.deleted:,}"),
        ("released from quarantine", f"{accounts.released:,}"),
        ("in the collection", f"{accounts.live:,}"),
        ("duplicates", f"{accounts.duplicates:,}"),
        ("in quarantine", f"{sum(accounts.in_quarantine.values()):,}"),
        *((f"  {reason}", f"{count:,}") for reason, count in accounts.in_quarantine.items()),
        ("used", f"{accounts.used:,}"),
    ]
    if feedback is not None:
        rows.append((f"  from feedback, {problem.feedback.meaning}", f"{feedback:,}"))
    if left_out:
        share = f"  left out, more than {problem.feedback.max_share:.0%} of the training documents"
        rows.append((share, f"{left_out:,}"))
    snapshot = ingested.snapshot
    return TextTable(
        f"Documents, snapshot {snapshot.version} ({snapshot.digest[:12]})",
        ("documents", "count"),
        rows,
    )


def split_table(split: SplitSummary, analyzer: AnalyzerChoice | None = None) -> TextTable:
    """Return a table: how the documents were divided, and what a person should know about it."""
    title = split.title[0].upper() + split.title[1:]
    counts = [("training documents", split.training), ("holdout", split.holdout), *split.counts]
    rows = [(what, f"{count:,}") for what, count in counts]
    remarks = split.remarks
    if analyzer is not None:
        remarks.append(f"Features are {analyzer.meaning}: {analyzer.reason}.")
    return TextTable(title, ("documents", "count"), [*rows, *((each, "") for each in remarks)])


def arrivals_table(arrivals: Arrivals) -> TextTable:
    """Return a table: which fields of new documents are not as Production's snapshot was."""
    rows = [
        (
            each.field,
            "no value" if each.what == "missing" else f"not {each.usual}",
            f"{each.documents:,} of {each.of:,} ({each.share:.1%})",
            f"{each.expected:.1%}",
            each.example,
        )
        for each in arrivals.surprises
    ]
    return TextTable(
        f"{counted(arrivals.documents, 'new document')} beside those that version "
        f"{arrivals.version} has learned from",
        ("field", "unexpected", "new documents", "expected", "most often"),
        rows or [(f"all {arrivals.fields}", "nothing", "", "", "")],
    )


def candidates_table(problem: Problem, results: Sequence[CandidateResult]) -> TextTable:
    """Return a table: what each candidate showed on the validation documents, the best first."""
    results = [result for result in results if not result.failure]
    if not all(result.metrics for result in results):
        fits = [(result.name, f"{result.seconds:.2f}") for result in results]
        return TextTable(
            "The only candidate, fitted on all training documents", ("name", "fit s"), fits
        )
    shown: tuple[MetricName, ...] = ("accuracy", "f1", "roc_auc", "log_loss")
    if problem.metric not in shown:
        shown = (problem.metric, *shown)
    ordered = sorted(
        results,
        key=lambda result: result.metrics[problem.metric],
        reverse=METRICS[problem.metric].more_is_better,
    )
    return TextTable(
        f"Candidates on the validation documents, chosen by {problem.metric}",
        ("candidate", *shown, "fit s"),
        [
            (r.name, *(f"{r.metrics[metric]:.4f}" for metric in shown), f"{r.seconds:.2f}")
            for r in ordered
        ],
    )


def failures_table(results: Sequence[CandidateResult]) -> TextTable | None:
    """Return a table: why candidates could not be fitted; None if all could."""
    rows = [(result.name, result.failure) for result in results if result.failure]
    if not rows:
        return None
    return TextTable("Candidates that cannot be fitted", ("candidate", "reason"), rows)


def holdout_table(evaluation: Evaluation) -> TextTable:
    """Return a table: what the challenger shows on the holdout, with intervals."""
    return TextTable(
        f"Challenger on the holdout, {counted(len(evaluation.predictions), 'document')}",
        ("metric", "value", "interval"),
        [
            (name, f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}")
            for name, found in evaluation.metrics.items()
        ],
    )


def decision_table(evaluation: Evaluation) -> TextTable | None:
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
    return TextTable(f"Decision: {summary(evaluation.tuned)}", head, rows)


def durations_table(
    seconds: Mapping[str, float], processor_seconds: Mapping[str, float]
) -> TextTable:
    """Return a table: how long each step took, and for how long processors worked meanwhile."""
    both = [(name, value, processor_seconds[name]) for name, value in seconds.items()]
    both.append(("all", sum(seconds.values()), sum(processor_seconds.values())))
    rows = [(name, *(f"{each:.2f}" for each in numbers)) for name, *numbers in both]
    return TextTable("Durations", ("step", "s", "CPU, s"), rows)
