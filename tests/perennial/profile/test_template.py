"""The file of a new problem: it is what was drafted, and it can be read, whatever the data is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.hashing import digest
from perennial.profile.template import write_problem
from perennial.splits.split import SplitRule, split_documents
from tests.perennial.profile.tables import choices, draft, labels, numbers, texts
from tests.searches import tried

N = 120
few_examples = tried()
NAMES = st.text(min_size=1, max_size=12).map(str.strip).filter(bool) | st.sampled_from(
    [
        "yes",
        "null",
        "1.0",
        "a: b",
        "# x",
        "a.b",
        "Nr.",
        "$x",
        "source",
        "created_at",
        "- x",
        "{a}",
        "_id",
    ]
)
WORDS = st.text(min_size=1, max_size=12).map(str.strip).filter(bool) | st.sampled_from(
    [
        "yes",
        "no",
        "on",
        "null",
        "~",
        "1",
        "01",
        "1.5",
        "a: b",
        "# x",
        "[a",
        "it's",
        '"',
        "2026-01-31",
    ]
)


def read_back(written: str) -> Problem:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "new.yaml"
        file.write_text(written, encoding="utf-8")
        return load_problem(file)


@given(
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    stored=st.lists(WORDS, min_size=2, max_size=5, unique=True),
    label=NAMES,
    is_text=st.booleans(),
)
@few_examples
def test_what_is_written_is_what_was_drafted(
    names: list[str], stored: list[str], label: str, is_text: bool
) -> None:
    columns: dict[str, Any] = {name: numbers(N, n) for n, name in enumerate(names)}
    if is_text:
        columns = {names[0]: texts(N)}
    columns.pop(label, None)
    try:
        made = draft(columns | {label: choices(stored, N)}, label=label)
    except OutsideError:
        return

    assert read_back(write_problem(made)) == made.problem


def test_every_key_is_one_that_the_schema_has_and_every_finding_is_beside_its_key() -> None:
    made = draft(
        {
            "size": [*numbers(N - 2), "", "?"],
            "city": choices(["Ulm", "Bern"], N),
            "row": range(N),
            "label": labels(N, rare=6),
        }
    )

    written = write_problem(made)

    lines = {line.split(":")[0].strip(): line for line in written.splitlines() if ":" in line}
    assert lines["size"].endswith("# missing in 2 rows")
    assert lines["city"].endswith("# 2 values")
    assert "# left out: row (an id)" in written
    assert lines["yes"].endswith("# 6 documents, 5.0%")
    assert lines["metric"].startswith("metric: f1")
    assert "decision: {maximise: f1}" in written
    assert "Made from 120 rows" in written.splitlines()[0]


def test_the_rare_one_of_two_labels_is_the_positive_one() -> None:
    made = draft({"x": numbers(N), "label": ["no" if n % 15 == 0 else "yes" for n in range(N)]})

    assert tuple(made.problem.labels) == ("yes", "no")


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (["0", "1"], {"0": 0, "1": 1}),
        (["yes", "no"], {"no": "no", "yes": "yes"}),
        (["01", "02"], {"01": "01", "02": "02"}),
        ([True, False], {"false": False, "true": True}),
        ([1.0, 2.0], {"1": 1, "2": 2}),
        (["positive", "negative"], {"negative": "negative", "positive": "positive"}),
    ],
)
def test_labels_are_stored_as_they_are_read(values: list[Any], stored: dict[str, Any]) -> None:
    made = draft({"x": numbers(N), "label": values * (N // 2)})

    assert dict(made.problem.labels) == stored
    assert [type(v) for v in made.problem.labels.values()] == [type(v) for v in stored.values()]


def test_one_label_in_several_spellings_is_one() -> None:
    made = draft({"x": numbers(N), "label": ["Spam", "ham", "spam", "SPAM"] * (N // 4)})

    assert set(made.problem.labels) == {"SPAM", "ham"}
    assert set(made.problem.merge_labels["SPAM"]) == {"Spam", "spam"}


def test_labels_with_few_documents_do_not_end_a_retraining() -> None:
    made = draft({"x": numbers(N), "label": ["a"] * 60 + ["b"] * 57 + ["c"] * 3})

    policy = made.problem.rare_labels
    assert policy is not None
    assert (policy.below, policy.do) == (10, "drop")
    assert made.rare == ("c",)


@pytest.mark.parametrize("rarest", [12, 20, 40, 80])
def test_a_first_version_asks_for_no_more_of_a_rare_label_than_its_holdout_has(rarest: int) -> None:
    counts = [rarest, 200, 200]
    names = [name for name, count in zip("abc", counts, strict=True) for _ in range(count)]
    problem = draft({"text": texts(len(names)), "label": names}).problem
    first = problem.gates.first_version
    assert first is not None
    ids = [str(number) for number in range(len(names))]

    for draw in range(200):
        documents = pa.table(
            {
                "id": ids,
                "created_at": pa.nulls(len(ids), pa.timestamp("us", "UTC")),
                "label": names,
                "content": [digest(f"{draw} {number}".encode()) for number in ids],
            }
        )
        sides = split_documents(documents, SplitRule.of(problem))
        held = Counter(documents["label"].filter(pa.array(sides.holdout)).to_pylist())
        assert min(held[name] for name in "abc") >= first.of_each_label


def test_types_of_mongodb_stay() -> None:
    made = draft(
        {"size": choices([1, 2, 3], N), "old": choices([0, 1], N), "label": choices([0, 1], N, 1)},
        is_typed=True,
        label="label",
    )

    assert made.problem.inputs is not None
    kinds = {name: field.kind for name, field in made.problem.inputs.items()}
    assert kinds == {"size": "number", "old": "number"}
    assert dict(made.problem.labels) == {"0": 0, "1": 1}
