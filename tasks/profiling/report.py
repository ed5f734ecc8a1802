"""Reports on unknown data: what was found, in one screen."""

from __future__ import annotations

from collections.abc import Iterator

from perennial.commands import counted
from perennial.files.rows import listed
from perennial.profile.columns import Described
from perennial.profile.comments import about_text
from perennial.profile.draft import Draft
from perennial.profile.findings import Findings
from tasks.tables.base import TextTable

_COLUMNS, _LABELS = 20, 12
_EXAMPLE = 40


def columns_table(draft: Draft) -> TextTable:
    """Return a table of the columns: what each is taken for, and how many values it has."""
    findings = draft.findings
    rows = [
        (
            each.name,
            _use(each, findings),
            f"{each.column.missing:,}",
            f"{each.distinct:,}" if each.column.counts is not None else f"{each.distinct:,}+",
            _example(each),
        )
        for each in list(findings.columns.values())[:_COLUMNS]
    ]
    more = len(findings.columns) - _COLUMNS
    if more > 0:
        rows.append((f"and {more:,} more", "", "", "", ""))
    title = f"{draft.problem.name}: {counted(findings.table.rows, 'row')}"
    return TextTable(title, ("column", "used as", "missing", "values", "example"), rows)


def facts(draft: Draft) -> Iterator[tuple[str, str]]:
    """Yield what else was found: a word and a sentence for each."""
    findings, problem = draft.findings, draft.problem
    counts = [f"{label.name} ({label.rows:,})" for label in draft.labels]
    shown = sorted(counts, key=lambda c: -_count(c))[:_LABELS] if len(counts) > _LABELS else counts
    more = len(counts) - len(shown)
    yield "labels", ", ".join(shown) + (f" and {more:,} more" if more else "")
    if findings.unlabelled:
        yield "unlabelled", f"{counted(findings.unlabelled, 'row')} without a label, for quarantine"
    if draft.rare:
        yield "rare", f"{listed(list(draft.rare))}: left out until there are more of them"
    if findings.text is not None:
        yield "texts", about_text(findings.text)
    if findings.span is not None:
        first, last = findings.span
        yield "dates", f"{findings.created_at}, {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    if findings.group is not None:
        yield "group", f"{findings.group}: its rows are on one side of the split"
    for leak in findings.leaks:
        said = f"{leak.field} alone says the label of {leak.share:.1%}"
        end = "left out" if leak.is_certain else "is it known before the label is?"
        yield "leak", f"{said}; {end}"
    if findings.repeats.are_many:
        same = f"{findings.repeats.share:.1%} of the inputs repeat an earlier one"
        other = f", {findings.repeats.conflicting:.1%} have several labels"
        yield "repeated", same + (other if findings.repeats.conflict else "")
    decision = "" if problem.decision is None else ", for which the threshold is tuned"
    yield "judged by", f"{problem.metric}{decision}"
    yield "candidates", ", ".join(problem.candidates)


def _count(shown: str) -> int:
    return int(shown.rpartition("(")[2].rstrip(")").replace(",", ""))


def facts_table(draft: Draft) -> TextTable:
    """Return `facts` as a table."""
    return TextTable("What was found", ("what", "found"), list(facts(draft)))


def _use(each: Described, findings: Findings) -> str:
    name = each.name
    if name == findings.label.name:
        return f"label, {findings.why_label}"
    if findings.text is not None and name == findings.text.column:
        return "text"
    if name == findings.created_at:
        return "date of the document"
    if name == findings.group:
        return "group"
    if name in findings.left_out:
        return f"left out: {findings.left_out[name]}"
    return each.role.value


def _example(each: Described) -> str:
    value = next(iter(each.column.present), "")
    text = " ".join(str(value).split())
    return text if len(text) <= _EXAMPLE else f"{text[: _EXAMPLE - 3]}..."
