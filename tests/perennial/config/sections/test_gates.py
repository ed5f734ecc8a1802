"""The part `gates:` of a problem's file keeps its keys, its order and its digest."""

from __future__ import annotations

import tarfile
from typing import Any

import pytest

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.settings import PROJECT

OLD = PROJECT / "tests" / "data" / "before_the_library"
FIRST_KEYS = (
    *("floors", "confidence", "not_worse", "slices", "cases", "latency", "size"),
    *("promotion", "answer_within"),
)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("flowers", "267da8b522facf7f"),
        ("reviews", "578ff50528e8bff9"),
        ("snippets", "31fe1d9ab1e4df65"),
        ("sorts", "29b057b973000aec"),
    ],
)
def test_a_problem_that_nobody_has_changed_keeps_its_digest(name: str, digest: str) -> None:
    assert load_problem(OLD / "problems" / f"{name}.yaml").digest == digest


def test_the_problems_that_old_versions_recorded_can_be_read() -> None:
    with tarfile.open(OLD / "data.tar.xz") as archive:
        recorded = [
            Problem.model_validate_json(file.read())
            for member in archive
            if member.name.endswith("/artifacts/problem.json")
            and (file := archive.extractfile(member)) is not None
        ]

    assert {problem.name for problem in recorded} == {"flowers", "reviews", "snippets", "sorts"}


NOTHING = (
    '{"floors":{},"confidence":0.95,"not_worse":null,"slices":null,"cases":null,'
    '"latency":null,"size":null,"promotion":"auto","answer_within":"P1D"}'
)
MOST = (
    '{"floors":{},"confidence":0.95,"not_worse":{"margin":0.01},"slices":{"margin":0.1,'
    '"min_documents":100,"source":false,"fields":["country"],"text_length":null},'
    '"cases":null,"latency":{"milliseconds":5.0},"size":{"megabytes":3.0},'
    '"promotion":"approve","answer_within":"P3D"}'
)


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ({}, NOTHING),
        (
            {
                "latency": {"milliseconds": 5},
                "size": {"megabytes": 3},
                "not_worse": {"margin": 0.01},
                "promotion": "approve",
                "answer_within": "P3D",
                "slices": {"margin": 0.1, "fields": ["country"]},
            },
            MOST,
        ),
    ],
    ids=["nothing", "most"],
)
def test_gates_are_written_as_they_always_were(asked: dict[str, Any], written: str) -> None:
    gates = Gates.model_validate(asked)

    assert gates.model_dump_json() == written
    assert Gates.model_validate_json(written) == gates


def test_the_first_keys_keep_their_order_and_later_ones_are_written_only_where_asked() -> None:
    keys = tuple(Gates.model_fields)

    assert tuple(key for key in keys if key in FIRST_KEYS) == FIRST_KEYS
    assert tuple(Gates().model_dump()) == FIRST_KEYS
