"""The split of a problem's file: what may be written, and what a mistake is answered with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.split import RareLabels, Split
from perennial.errors import ProblemError
from tests.conftest import SMALL_PROBLEM

Load = Callable[..., Problem]
BAYES = {"bow-bayes": SMALL_PROBLEM["candidates"]["bow-bayes"]}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that reads the small problem with further lines."""

    def read(lines: str, **changes: Any) -> Problem:
        path = tmp_path / "reviews.yaml"
        content = SMALL_PROBLEM | {"source": {"database": "d", "collection": "c"}} | changes
        with path.open("w") as file:
            YAML(typ="safe").dump(content, file)
            file.write(f"\n{lines}\n")
        return load_problem(path)

    return read


@pytest.mark.parametrize(
    ("lines", "split"),
    [
        ("", Split()),
        ("split: {by: content}", Split()),
        ("split: {by: group, field: parent.id}", Split(by="group", field="parent.id")),
        ("split: {by: time}", Split(by="time")),
        ("split: {by: time, since: 2026-03-01}", datetime(2026, 3, 1, tzinfo=UTC)),
        ("split: {by: time, since: '2026-03-01'}", datetime(2026, 3, 1, tzinfo=UTC)),
        ("split: {by: time, since: 2026-03-01T12:30:00}", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        (
            "split: {by: time, since: 2026-03-01T12:30:00+02:00}",
            datetime(2026, 3, 1, 10, 30, tzinfo=UTC),
        ),
    ],
)
def test_a_split_is_written_in_one_line(lines: str, split: Any, load: Load) -> None:
    problem = load(lines)

    assert problem.split == (
        Split(by="time", since=split) if isinstance(split, datetime) else split
    )
    again = Problem.model_validate_json(problem.model_dump_json())
    assert again == problem
    assert again.digest == problem.digest


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("split: time", "split is 'time'; write split: {by: time}."),
        ("split: {by: hash}", "input should be 'content', 'document', 'group' or 'time'."),
        ("split: {by: document}", "allowed is content, group or time for texts"),
        ("split: {by: group}", "write split: {by: group, field: NAME}."),
        ("split: {field: customer}", "field is for by: group; remove it."),
        ("split: {since: 2026-01-01}", "since is for by: time; remove it."),
        ("split: {by: group, field: $where}", "split.field is '$where'; "),
        ("split: {by: group, field: a..b}", "split.field is 'a..b'; "),
        ("split: {by: time, since: soon}", "split.since is 'soon'; "),
        ("split: {by: time, until: 2026-01-01}", "split.until is not a key of the schema; "),
        ("rare_labels: drop", "write rare_labels: {below: 10, do: drop}."),
        ("rare_labels: 10", "write rare_labels: {below: 10, do: drop}."),
        ("rare_labels: {below: 10}", "rare_labels.do is missing; it is required."),
        ("rare_labels: {below: 1, do: drop}", "rare_labels.below is 1; "),
        ("rare_labels: {below: 5, do: merge}", "{below: N, do: merge, into: other}."),
        ("rare_labels: {below: 5, do: drop, into: other}", "into is for do: merge; remove it."),
        ("rare_labels: {below: 5, do: forget}", "should be 'drop', 'merge' or 'refuse'."),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(lines: str, says: str, load: Load) -> None:
    with pytest.raises(ProblemError) as refused:
        load(lines)

    assert says in str(refused.value)


def test_problems_that_use_neither_retrain_for_neither(load: Load) -> None:
    plain = load("")
    changed = {
        load(lines).digest
        for lines in (
            "split: {by: time}",
            "split: {by: group, field: customer}",
            "rare_labels: {below: 10, do: drop}",
            "rare_labels: {below: 10, do: merge, into: other}",
        )
    }

    assert load("split: {by: content}").digest == plain.digest
    assert len(changed) == 4
    assert plain.digest not in changed


def test_the_classes_of_models_are_the_labels_unless_some_are_left_out(load: Load) -> None:
    labels = {"labels": {"a": 0, "b": 1, "c": 2}, "candidates": BAYES}
    lines = "rare_labels: {below: 10, do: merge, into: other}"
    problem = load(lines, **labels)

    left = problem.with_classes(["other", "a"])

    assert problem.classes == ("a", "b", "c")
    assert problem.possible_classes == ("a", "b", "c", "other")
    assert left.classes == ("a", "other")
    assert [left.class_of(label) for label in ("a", "b", "other")] == ["a", "other", "other"]
    assert load("", **labels).with_classes(["a", "b"]).class_of("c") is None
    assert left.digest == problem.digest
    assert left.for_retraining().classes == left.for_experiment().classes == left.classes


def test_errors_may_cost_something_for_the_label_that_rare_ones_become(load: Load) -> None:
    rare = "rare_labels: {below: 10, do: merge, into: other}"
    costs = {"a": 1, "b": 2, "c": 3, "other": 4}
    labels = {"labels": {"a": 0, "b": 1, "c": 2}, "candidates": BAYES, "metric": "cost"}

    problem = load(rare, decision={"costs": costs}, **labels)

    matrix = problem.with_classes(["a", "other"]).costs
    assert matrix is not None
    assert matrix.tolist() == [[0, 1], [4, 0]]
    with pytest.raises(ProblemError, match="one cost for each of the labels a, b, c, other"):
        load(rare, decision={"costs": {"a": 1, "b": 2, "c": 3}}, **labels)


def test_a_name_for_rare_labels_may_be_a_label_of_the_file() -> None:
    policy = RareLabels(below=5, do="merge", into="b")

    assert list(policy.added_labels(("a", "b"))) == []
    assert list(policy.added_labels(("a",))) == ["b"]
