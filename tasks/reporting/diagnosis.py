"""Tables about what holds a challenger back, each for Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from perennial.commands import command, counted
from perennial.config.problem import Problem
from perennial.gates.base import format_gain
from perennial.metrics.evaluation.by_label import LabelResult
from perennial.promotion.comparison import MetricPair
from perennial.promotion.verdict import Verdict
from perennial.training.ablation import FieldAblation
from perennial.training.field_importance import FieldImportance
from perennial.training.learning_curve import LearningCurve
from tasks.tables.base import TextTable
from tasks.training.diagnose import (
    ABLATION_FILE,
    BY_LABEL_FILE,
    FIELDS_FILE,
    MOST_ISSUES,
    Diagnosis,
    LabelIssues,
    forecast,
)

# A person reads so many lines; the file with the run has all of them.
_LABELS, _PAIRS, _FIELDS = 20, 5, 20


def diagnosis_tables(problem: Problem, found: Diagnosis) -> Iterator[TextTable]:
    """Yield what holds the challenger back: labels, fields, their number, and wrong ones."""
    yield by_label_table(found.by_label)
    if found.fields:
        yield fields_table(problem, found.fields)
    if found.ablation:
        yield ablation_table(problem, found.ablation)
    if found.curve is not None:
        yield curve_table(found.curve)
    if found.issues is not None:
        yield issues_table(problem, found.issues)


def by_label_table(results: tuple[LabelResult, ...]) -> TextTable:
    """Return a table of what the challenger shows on each label; of many, on the weakest."""
    title, shown = "Challenger on the holdout, by label", list(results)
    if len(results) > _LABELS:
        shown = sorted(results, key=lambda each: each.f1)[:_LABELS]
        title += f": the {_LABELS} weakest of {len(results)}, all are in {BY_LABEL_FILE} of its run"
    return TextTable(
        title,
        ("label", "precision", "recall", "F1", "documents", "most confused with"),
        [
            (
                each.label,
                f"{each.precision:.4f}",
                f"{each.recall:.4f}",
                f"{each.f1:.4f}",
                f"{each.support:,}",
                "" if each.confused_with is None else f"{each.confused_with} ({each.confused:,})",
            )
            for each in shown
        ],
    )


def fields_table(problem: Problem, fields: tuple[FieldImportance, ...]) -> TextTable:
    """Return a table of what each field is worth; of many, the most important ones."""
    title = "What each field is worth to the challenger: the loss when its values are shuffled"
    if len(fields) > _FIELDS:
        title += f"; all {len(fields)} are in {FIELDS_FILE} of its run"
    return TextTable(
        title,
        ("field", f"loss of {problem.metric}", "standard deviation"),
        [(e.field, f"{e.loss:+.4f}", f"{e.deviation:.4f}") for e in fields[:_FIELDS]],
    )


def ablation_table(problem: Problem, ablation: tuple[FieldAblation, ...]) -> TextTable:
    """Return a table of what each field brings; of many, those that bring most."""
    title = "What each field brings: the candidate with all fields beside a fit without it"
    if len(ablation) > _FIELDS:
        title += f"; all {len(ablation)} are in {ABLATION_FILE} of its run"
    gain = f"gain in {problem.metric}, {problem.gates.confidence:.0%} interval over all fields"
    return TextTable(
        title,
        ("field", gain, "conclusion"),
        [(e.field, format_gain(e.gain), e.conclusion) for e in ablation[:_FIELDS]],
    )


def curve_table(curve: LearningCurve) -> TextTable:
    """Return a table: the same candidate with fewer training documents, and a forecast."""
    rows = [(f"{each.documents:,}", f"{each.value:.4f}") for each in curve.points]
    head = ("training documents", f"{curve.metric} on the holdout")
    return TextTable("Learning curve", head, [*rows, (f"{forecast(curve)}.", "")])


def issues_table(problem: Problem, issues: LabelIssues) -> TextTable:
    """Return a table: how many labels look wrong, without a word about single documents."""
    title = (
        f"Labels that look wrong: {issues.count:,} of "
        f"{counted(issues.documents, 'training document')}"
    )
    rows = [(said, likely, f"{count:,}") for (said, likely), count in issues.pairs.items()]
    shown = rows[:_PAIRS]
    if len(rows) > _PAIRS:
        shown.append(("all other pairs", "", f"{sum(list(issues.pairs.values())[_PAIRS:]):,}"))
    if issues.count:
        how = command("check", problem.name, "--labels")
        first = f"the first {MOST_ISSUES}" if issues.count > MOST_ISSUES else "all"
        shown.append((f"`{how}` lists {first}", "", ""))
    return TextTable(title, ("label", "looks like", "documents"), shown)


def compared_table(verdict: Verdict) -> TextTable | None:
    """Return a table of challenger and Production on the same documents; None without both."""
    if not verdict.compared:
        return None
    return TextTable(
        f"Version {verdict.challenger} beside Production, version {verdict.production}, on "
        f"{counted(verdict.compared_on, 'holdout document')} that neither has learned from",
        ("metric", "challenger", "Production", "difference"),
        [_compared_row(each) for each in verdict.compared],
    )


def _compared_row(pair: MetricPair) -> tuple[str, ...]:
    difference = f"{pair.challenger - pair.production:+.4f}"
    return pair.metric, f"{pair.challenger:.4f}", f"{pair.production:.4f}", difference
