"""Lists of labels that look wrong keep ids exactly, and lose those of erased documents."""

from __future__ import annotations

import pytest

from perennial.errors import OutsideError
from perennial.registry.client import Registry
from perennial.registry.label_issues import (
    LABEL_ISSUES_FILE,
    LABEL_ISSUES_METRIC,
    StoredIssue,
    forget_documents,
    read_issues,
    still_listed,
    written,
)

ISSUES = [
    StoredIssue("review-1", "good", "bad", 0.9),
    StoredIssue('{"$oid": "65f0c0ffee65f0c0ffee65f0"}', "good", "bad", 0.5),
    StoredIssue('odd, "id"\nof two lines \ud800', "bad", "good", 0.25),
]


def _run(registry: Registry, issues: list[StoredIssue]) -> str:
    with registry.run("reviews", "retrain reviews") as run_id:
        registry.log(run_id, metrics={LABEL_ISSUES_METRIC: len(issues)})
        registry.attach(run_id, {LABEL_ISSUES_FILE: written(issues)})
    return run_id


def test_what_is_kept_is_read_as_it_was(registry: Registry) -> None:
    run_id = _run(registry, ISSUES)

    assert read_issues(registry, run_id) == ISSUES


def test_a_run_without_a_list_has_none(registry: Registry) -> None:
    with registry.run("reviews", "another") as run_id:
        pass

    assert read_issues(registry, run_id) is None


def test_documents_leave_the_lists_of_all_runs_and_the_others_stay(registry: Registry) -> None:
    runs = [_run(registry, ISSUES), _run(registry, ISSUES[1:]), _run(registry, ISSUES[:1])]
    gone = {ISSUES[0].id, ISSUES[2].id}
    assert set(still_listed(registry, "reviews", gone.__contains__)) == set(runs)

    assert forget_documents(registry, "reviews", gone.__contains__) == 3

    assert [read_issues(registry, run_id) for run_id in runs] == [[ISSUES[1]], [ISSUES[1]], []]
    assert still_listed(registry, "reviews", gone.__contains__) == []
    assert forget_documents(registry, "reviews", gone.__contains__) == 0


def test_a_damaged_list_names_the_run_and_what_to_do(registry: Registry) -> None:
    run_id = _run(registry, ISSUES)
    registry.attach(run_id, {LABEL_ISSUES_FILE: b"id,label\nreview-1,good\n"})

    with pytest.raises(OutsideError, match=rf"of the run {run_id} .* is damaged; delete it"):
        read_issues(registry, run_id)
