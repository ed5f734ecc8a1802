"""Labels that look wrong: what the last retraining found, with the documents as they are now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perennial import paths
from perennial.commands import command
from perennial.config.problem import Problem
from perennial.documents.judgement import Rules
from perennial.documents.keys import document_id, document_key, field_label_key
from perennial.errors import OutsideError
from perennial.inputs.base import inputs_of
from perennial.registry.client import open_registry
from perennial.registry.label_issues import StoredIssue, read_issues
from perennial.registry.tags import RunTags
from perennial.settings import Settings
from perennial.stores import mongodb
from perennial.stores.documents import find_documents
from tasks.tables.base import TextTable

_CHARACTERS = 80


@dataclass(frozen=True)
class Suspect:
    """A document whose label looks wrong, and was not changed since.

    Attributes
    ----------
    issue : StoredIssue
        What the retraining found.
    shown : str
        How its text, or its record, begins.
    """

    issue: StoredIssue
    shown: str


def suspects_of(problem: Problem, settings: Settings) -> list[Suspect]:
    """Return the documents whose labels looked wrong to the last retraining, the clearest first.

    Those that were corrected, deleted or erased since are left out.

    Raises
    ------
    OutsideError
        If no retraining has looked for them, or if MLflow or MongoDB cannot be used.
    """
    registry = open_registry(settings)
    run_id = registry.find_run(problem.name, RunTags(kind="retrain").as_tags())
    issues = None if run_id is None else read_issues(registry, run_id)
    if issues is None:
        how = command("retrain", problem.name, "--force")
        raise OutsideError(
            f"The last retraining of {problem.name!r} has no list of labels that look wrong: there "
            "was none yet, a label had too few documents, or fits take too long. "
            f"`{how}` makes another one."
        )
    with mongodb.connect(settings, problem.name) as client:
        ids = [document_id(issue.id) for issue in issues]
        found = {document_key(each["_id"]): each for each in find_documents(client, problem, ids)}
    labels = {key: label for label, key in Rules.of(problem).labels}
    return [
        Suspect(issue, _shown(problem, found[issue.id]))
        for issue in issues
        if issue.id in found and _says(problem, labels, found[issue.id], issue.label)
    ]


def _says(
    problem: Problem, labels: Mapping[str, str], document: Mapping[str, Any], label: str
) -> bool:
    """Return whether a document still has a label, or one of the rare ones that became it."""
    now = labels.get(field_label_key(document, problem.source.fields.label) or "")
    merged = problem.rare_labels is not None and problem.rare_labels.into == label
    return now == label or (merged and now is not None)


def _shown(problem: Problem, document: Mapping[str, Any]) -> str:
    inputs = inputs_of(problem)
    found = {name: paths.read(document, name) for name in inputs.names}
    known = {name: value for name, value in found.items() if value is not paths.MISSING}
    if inputs.fields is None:
        text = " ".join(map(str, known.values()))
    else:
        text = ", ".join(f"{name}: {value}" for name, value in known.items())
    text = " ".join(text.split())
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 3]}..."


def suspects_table(problem: Problem, suspects: list[Suspect]) -> TextTable:
    """Return a table of documents whose labels look wrong."""
    return TextTable(
        f"{problem.name}: labels that look wrong, the clearest first",
        ("_id", "label", "looks like", "margin", "document"),
        [
            (
                each.issue.id,
                each.issue.label,
                each.issue.likely_label,
                f"{each.issue.margin:.2f}",
                each.shown,
            )
            for each in suspects
        ],
    )


def suspects_sentences(problem: Problem, suspects: list[Suspect]) -> Iterator[str]:
    """Yield what a person does about them."""
    if not suspects:
        yield f"{problem.name}: no label looks wrong that was not changed since."
        return
    source = problem.source
    yield (
        "A model says so, and may be wrong itself: read before you correct. Change "
        f"{source.fields.label} in {source.database}.{source.collection}; the next retraining "
        "follows."
    )
