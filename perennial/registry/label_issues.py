"""The list of labels that look wrong, as it is kept with the run that found them.

It has the ids of documents and no content. An erasure takes ids out of it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields

from perennial.errors import OutsideError
from perennial.registry.runs import Runs

LABEL_ISSUES_FILE = "label_issues.csv"
LABEL_ISSUES_METRIC = "label_issues"


@dataclass(frozen=True)
class StoredIssue:
    """A document whose label looks wrong.

    Attributes
    ----------
    id : str
        The document's id, as snapshots have it.
    label, likely_label : str
        What its label says, and what models say that have not seen it.
    margin : float
        By how much the likely label is more probable than its own.
    """

    id: str
    label: str
    likely_label: str
    margin: float


_COLUMNS = tuple(field.name for field in fields(StoredIssue))


def written(issues: Sequence[StoredIssue]) -> bytes:
    """Return a list as the content of a CSV file."""
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(_COLUMNS)
    rows.writerows(astuple(each) for each in issues)
    return file.getvalue().encode("utf-8", "surrogatepass")


def read_issues(runs: Runs, run_id: str) -> list[StoredIssue] | None:
    """Return the list of a run, the clearest first; None if it has none.

    Raises
    ------
    OutsideError
        If MLflow cannot be used, or the list is damaged.
    """
    content = runs.attached(run_id, LABEL_ISSUES_FILE)
    if content is None:
        return None
    rows = csv.DictReader(io.StringIO(content.decode("utf-8", "surrogatepass"), newline=""))
    try:
        return [
            StoredIssue(row["id"], row["label"], row["likely_label"], float(row["margin"]))
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise OutsideError(
            f"{LABEL_ISSUES_FILE} of the run {run_id} in MLflow (MLFLOW_TRACKING_URI) is damaged; "
            "delete it there, and retrain with --force for a new one."
        ) from error


def forget_documents(runs: Runs, problem: str, is_gone: Callable[[str], bool]) -> int:
    """Take documents out of the lists of all runs of a problem; return out of how many lists.

    Parameters
    ----------
    runs : Runs
        Where the lists are.
    problem : str
        Name of the problem.
    is_gone : callable
        Whether an id is one of a document that goes.

    Raises
    ------
    OutsideError
        If MLflow cannot be used, or a list is damaged.
    """
    changed = 0
    for run_id in runs.runs_with(problem, LABEL_ISSUES_METRIC):
        issues = read_issues(runs, run_id) or []
        kept = [each for each in issues if not is_gone(each.id)]
        if len(kept) < len(issues):
            runs.attach(run_id, {LABEL_ISSUES_FILE: written(kept)})
            changed += 1
    return changed


def still_listed(runs: Runs, problem: str, is_gone: Callable[[str], bool]) -> list[str]:
    """Return the runs of a problem whose lists have documents that should have gone."""
    return [
        run_id
        for run_id in runs.runs_with(problem, LABEL_ISSUES_METRIC)
        if any(is_gone(each.id) for each in read_issues(runs, run_id) or [])
    ]
