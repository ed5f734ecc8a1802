"""Comments of a problem's file: what was found in the data, beside the keys that follow from it."""

from __future__ import annotations

from collections.abc import Iterator

from perennial.commands import counted
from perennial.fields import KINDS
from perennial.files.rows import listed
from perennial.files.storable import field_name
from perennial.profile.columns import Described, Role
from perennial.profile.draft import Draft
from perennial.profile.findings import TextFindings

_SIDES = {
    "group": "documents of one group are on one side",
    "document": "equal records are many, and different cases",
}
# Keys of the file that lead to a value.
Place = tuple[str, ...]


def comments_at(draft: Draft) -> dict[Place, str]:
    """Return place -> the comment behind it."""
    findings, problem = draft.findings, draft.problem
    rows = findings.table.rows
    labelled = max(sum(label.rows for label in draft.labels), 1)
    found: dict[Place, str] = {
        ("source", "fields", "label"): f"taken for the label {findings.why_label}",
        ("holdout",): f"about {rows * problem.holdout:,.0f} documents judge",
        ("metric",): "one of two labels is rare, so accuracy says little"
        if draft.is_imbalanced
        else "of the holdout: which candidate is the best",
        ("decision",): "the threshold is tuned for it; or what errors cost: {costs: {...}}",
        ("gates", "first_version"): "and it is better than any answer that is always the same",
        ("gates", "confidence"): "the interval of the gain over Production lies above 0",
        ("limits",): f"{findings.text.short:.1%} have fewer than 3 words" if findings.text else "",
        ("rare_labels",): f"rare: {listed(list(draft.rare))}",
        ("validation",): "of the training documents; chooses the best candidate",
    }
    if problem.split.by in _SIDES:
        found["split",] = _SIDES[problem.split.by]
    if problem.split.near_copies == "ignore" and findings.text is not None:
        found["split",] = (
            f"{findings.text.near_copies:.0%} are near-copies, made of a few templates"
        )
    for label in draft.labels:
        share = label.rows / labelled
        found["labels", label.name] = f"{counted(label.rows, 'document')}, {share:.1%}"
    for each in findings.fields:
        found["inputs", field_name(each.name)] = "; ".join(_about_field(each))
    return {place: comment for place, comment in found.items() if comment}


def lines_before(draft: Draft) -> dict[str, list[str]]:
    """Return key of the file -> lines of comment before it."""
    findings = draft.findings
    found = {"labels": ["label: its value in the documents; the last one is the positive class"]}
    found["labels"] += _about_labels(draft)
    kinds = list(_about_inputs(draft))
    found["inputs" if findings.text is None else "preparations"] = kinds
    found["holdout"] = list(_about_split(draft))
    found["candidates"] = ["features x estimator; a retraining fits all and keeps the best"]
    found["gates"] = ["what a version must show before it becomes Production"]
    return found


def about_text(text: TextFindings) -> str:
    """Return what texts are like, in one sentence without its full stop."""
    script = " and ".join(text.scripts) or "no letters"
    language = f", most like {text.language}" if text.language else ""
    return f"texts in {script}{language}, {text.words:,.0f} words in the middle"


def _about_field(each: Described) -> Iterator[str]:
    if each.role in (Role.CATEGORY, Role.BOOLEAN):
        yield f"{each.distinct:,} values"
    if each.column.missing:
        yield f"missing in {counted(each.column.missing, 'row')}"
    if each.note:
        yield each.note


def _about_labels(draft: Draft) -> list[str]:
    empty = draft.findings.unlabelled
    if not empty:
        return []
    return [f"{counted(empty, 'row has', 'rows have')} no label: in quarantine"]


def _about_inputs(draft: Draft) -> Iterator[str]:
    findings = draft.findings
    if findings.text is not None:
        yield f"{about_text(findings.text)}; how they become tokens"
    else:
        yield f"field: {', '.join(KINDS)}"
    for leak in findings.leaks:
        if not leak.is_certain:
            yield (
                f"{leak.field} says the label nearly alone ({leak.share:.1%} of each label): is it "
                "known before the label is?"
            )
    for name, why in list(findings.left_out.items())[:20]:
        yield f"left out: {name} ({why})"
    more = len(findings.left_out) - 20
    if more > 0:
        yield f"left out: {more:,} more columns"


def _about_split(draft: Draft) -> Iterator[str]:
    findings = draft.findings
    if findings.repeats.are_many:
        yield f"{findings.repeats.share:.1%} of the inputs repeat an earlier one"
    if findings.repeats.conflict:
        yield f"{findings.repeats.conflicting:.1%} of the rows have an input with several labels"
    if findings.created_at is not None and draft.problem.split.by == "content":
        yield "write split: {by: time} to be judged on the newest documents instead"
