"""The draft of a problem: what its file should say of some data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.config.problem import Problem
from perennial.files.storable import field_name
from perennial.gates.first_version import FirstVersion
from perennial.profile.candidates import PREPARATION, candidates_for, steps_for
from perennial.profile.columns import KIND_OF, Described
from perennial.profile.findings import Findings
from perennial.profile.labels import label_counts

_POSITIVE = re.compile(
    r"^(1|true|t|yes|y|positive|pos|good|spam|fraud|ja|oui|s[ií])$", re.IGNORECASE
)
_RARE = 10
_MANY_EQUAL = 0.5
# So many near-copies are none: the texts are made of a few templates.
_FROM_TEMPLATES = 0.4
_IMBALANCED = 0.2
_FEW, _SOME = 1_000, 5_000
_SHORT_TEXTS = 0.01
# How often chance may leave a label with too few documents of the holdout.
_SELDOM = 0.001
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)


@dataclass(frozen=True, eq=False)
class Label:
    """A label as a problem's file has it.

    Attributes
    ----------
    name : str
        Its name.
    stored : str, int or bool
        Its value in the documents.
    rows : int
        How many documents have it, in all ways of writing it.
    merged : tuple
        Further values that mean it: other capital letters, say.
    """

    name: str
    stored: str | int | bool
    rows: int
    merged: tuple[str | int | bool, ...] = ()


@dataclass(frozen=True, eq=False)
class Draft:
    """What a problem's file should say.

    Attributes
    ----------
    problem : Problem
        The problem.
    findings : Findings
        What the data is for.
    labels : tuple of Label
        The labels in the order of the file.
    rare : tuple of str
        Labels with few documents.
    """

    problem: Problem
    findings: Findings
    labels: tuple[Label, ...]
    rare: tuple[str, ...]

    @property
    def is_imbalanced(self) -> bool:
        """Whether one of two labels is much rarer than the other."""
        return is_imbalanced(self.labels)


def draft_problem(
    name: str, findings: Findings, *, database: str, collection: str, file: str | None = None
) -> Draft:
    """Return the problem that suits some data.

    Parameters
    ----------
    name : str
        Name of the problem.
    findings : Findings
        What the data is for.
    database, collection : str
        Where its documents are, or will be.
    file : str or None
        The file in which they are now.
    """
    labels = labels_of(findings)
    rare = tuple(label.name for label in labels if label.rows < _RARE)
    common = len(labels) - len(rare)
    content: dict[str, Any] = {
        "name": name,
        "description": _description(findings, file or f"{database}.{collection}"),
        "source": {"database": database, "collection": collection, "fields": _fields(findings)},
        "labels": {label.name: label.stored for label in labels},
    }
    merged = {label.name: label.merged for label in labels if label.merged}
    if merged:
        content["merge_labels"] = merged
    content |= _inputs(findings)
    if rare and common >= 2:
        content["rare_labels"] = {"below": _RARE, "do": "drop"}
    split = _split(findings)
    if split:
        content["split"] = split
    content |= _shares(findings) | _goal(labels)
    content["candidates"] = candidates_for(findings)
    content["gates"] = {
        "confidence": 0.95,
        "first_version": _first_version(labels, rare, content["holdout"]),
    }
    return Draft(Problem.model_validate(content), findings, labels, rare)


def is_imbalanced(labels: tuple[Label, ...]) -> bool:
    """Return whether one of two labels is much rarer than the other."""
    total = sum(label.rows for label in labels)
    return len(labels) == 2 and min(label.rows for label in labels) < _IMBALANCED * total


def labels_of(findings: Findings) -> tuple[Label, ...]:
    """Return the labels of some data, the positive one of two last."""
    counts: Mapping[Any, int] = label_counts(findings.label) or {}
    is_typed = findings.table.is_typed
    groups: dict[str, list[tuple[Any, int]]] = {}
    for value, rows in sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))):
        key = str(value).strip().casefold()
        groups.setdefault(key, []).append((value, rows))
    stored_as_numbers = not is_typed and all(_is_whole(value) for value in counts)
    found = []
    for group in groups.values():
        values = [_stored(value, whole=stored_as_numbers) for value, _ in group]
        first, *others = dict.fromkeys(values)
        rows = sum(rows for _, rows in group)
        found.append(Label(_label_name(first), first, rows, tuple(others)))
    return _in_order(found)


def _is_whole(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return float(value).is_integer()
    return bool(_WHOLE.fullmatch(str(value)))


def _stored(value: Any, *, whole: bool) -> str | int | bool:
    if whole:
        return int(float(value))
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value)


def _label_name(stored: str | int | bool) -> str:
    return str(stored).lower() if isinstance(stored, bool) else str(stored)


def _in_order(labels: list[Label]) -> tuple[Label, ...]:
    if len(labels) == 2 and not is_imbalanced(tuple(labels)):
        labels = sorted(labels, key=lambda label: (bool(_POSITIVE.match(label.name)), label.name))
        return tuple(labels)
    if len(labels) == 2:
        return tuple(sorted(labels, key=lambda label: -label.rows))
    if all(isinstance(label.stored, int) for label in labels):
        return tuple(sorted(labels, key=lambda label: int(label.stored)))
    return tuple(sorted(labels, key=lambda label: label.name))


def _description(findings: Findings, where: str) -> str:
    what = "texts" if findings.task == "text" else "records"
    return f"{findings.label.name} of {what} in {where}"


def _fields(findings: Findings) -> dict[str, str]:
    fields = {"label": field_name(findings.label.name)}
    if findings.text is not None:
        fields["text"] = field_name(findings.text.column)
    names = {field_name(each.name) for each in findings.fields} | set(fields.values())
    if findings.created_at is not None:
        fields["created_at"] = field_name(findings.created_at)
    elif "created_at" in names or "created_at" in findings.columns:
        fields["created_at"] = "loaded_at"
    if "source" in names:
        fields["source"] = "origin"
    return fields


def _inputs(findings: Findings) -> dict[str, Any]:
    if findings.text is not None:
        found: dict[str, Any] = {"preparations": {PREPARATION: dict(steps_for(findings.text))}}
        if findings.text.short > _SHORT_TEXTS or findings.text.is_unspaced:
            found["limits"] = {"min_words": 1}
        return found
    return {"inputs": {field_name(each.name): _field(each) for each in findings.fields}}


def _field(each: Described) -> str | dict[str, str]:
    kind = KIND_OF[each.role]
    return kind if each.decimal == "." else {"kind": kind, "decimal": each.decimal}


def _split(findings: Findings) -> dict[str, Any]:
    split: dict[str, Any] = {}
    if findings.group is not None:
        split |= {"by": "group", "field": field_name(findings.group)}
    elif findings.task == "record" and findings.repeats.share >= _MANY_EQUAL:
        split["by"] = "document"
    if findings.text is not None and findings.text.near_copies >= _FROM_TEMPLATES:
        split["near_copies"] = "ignore"
    return split


def _shares(findings: Findings) -> dict[str, Any]:
    rows = findings.table.rows
    return {
        "holdout": 0.3 if rows < _FEW else 0.2,
        "validation": {"folds": 5} if rows < _SOME else {"share": 0.1},
    }


def _goal(labels: tuple[Label, ...]) -> dict[str, Any]:
    if is_imbalanced(labels):
        return {"metric": "f1", "decision": {"maximise": "f1"}}
    return {"metric": "accuracy"}


def _first_version(
    labels: tuple[Label, ...], rare: tuple[str, ...], holdout: float
) -> dict[str, int]:
    """Return how many documents judge a first version: as many as usual, or as there surely are.

    Chance decides which documents are the holdout, so that a label may have far fewer there than
    its share; a split that may move one gives each label one.
    """
    from scipy.stats import binom

    usual = FirstVersion()
    counts = [label.rows for label in labels if label.name not in rare] or [0]
    least = binom.ppf(_SELDOM / len(counts), min(counts), holdout)
    total = int(sum(counts) * holdout / 2)
    return {
        "documents": max(1, min(usual.documents, total)),
        "of_each_label": max(1, min(usual.of_each_label, int(least))),
    }
