"""What no model may learn from is refused in every problem's file, by name and line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perennial.config import ProblemError, load_problem, load_problems
from perennial.settings import PROJECT, get_settings

PROBLEMS = PROJECT / "problems"
Forbid = Callable[[str], None]


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Iterator[Forbid]:
    def set_fields(fields: str) -> None:
        monkeypatch.setenv("FORBIDDEN_FIELDS", fields)
        get_settings.cache_clear()

    yield set_fields
    get_settings.cache_clear()


@pytest.mark.parametrize("fields", ["petal_width", "gender, PETAL_W*", "*width"])
def test_a_forbidden_field_is_named_with_its_line_and_the_pattern(
    fields: str, forbid: Forbid
) -> None:
    forbid(fields)

    with pytest.raises(ProblemError, match=r"line \d+: inputs\.(petal|sepal)_width is the field"):
        load_problem(PROBLEMS / "iris.yaml")


def test_the_last_part_of_a_path_is_forbidden_too(tmp_path: Path, forbid: Forbid) -> None:
    file = tmp_path / "iris.yaml"
    content = (PROBLEMS / "iris.yaml").read_text().replace("petal_width", "customer.religion")
    file.write_text(content)
    load_problem(file, folder=PROBLEMS)

    forbid("religion")

    with pytest.raises(ProblemError, match=r"inputs\.customer\.religion is the field"):
        load_problem(file, folder=PROBLEMS)


def test_a_text_is_forbidden_by_its_field(forbid: Forbid) -> None:
    forbid("text")

    with pytest.raises(ProblemError, match="the field 'text', which FORBIDDEN_FIELDS forbids by"):
        load_problem(PROBLEMS / "sentiment.yaml")


def test_other_problems_are_loaded_and_labels_are_no_inputs(forbid: Forbid) -> None:
    forbid("petal_*,label")

    found = load_problems(PROBLEMS)

    assert list(found.errors) == ["iris"]
    assert "sentiment" in {problem.name for problem in found.problems}
