"""Every problem of a folder: a file that cannot be used hides no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perennial.config import ProblemError, load_problem, load_problems
from perennial.settings import PROJECT

PROBLEMS = PROJECT / "problems"
IRIS = (PROBLEMS / "iris.yaml").read_text()
SENTIMENT = (PROBLEMS / "sentiment.yaml").read_text()


def complaints_about(content: str, folder: Path) -> list[str]:
    path = folder / "mixed.yaml"
    path.write_text(content)
    with pytest.raises(ProblemError) as error:
        load_problem(path, folder=PROBLEMS)
    return [line.removeprefix(f"{path}, line ") for line in str(error.value).splitlines()]


def _is_folder(path: Path) -> None:
    path.mkdir()


def _leads_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "absent")


def _holds(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(_holds(b""), "must be a mapping", id="empty"),
        pytest.param(_holds(b"labels: ["), "is not valid YAML: .* (line 1).", id="unclosed"),
        pytest.param(_holds(b"a: \xff"), "is not valid YAML: ", id="no text"),
        pytest.param(_holds(b"a: 2020-13-45"), "month must be in 1..12.", id="no date"),
        pytest.param(_holds(b"a: " + b"9" * 5000), "is not valid YAML: ", id="long number"),
        pytest.param(_holds(b"[" * 600), "is nested too deeply.", id="nested"),
        pytest.param(_holds(b"description: x\n"), "source is missing; it is required.", id="keys"),
        pytest.param(
            _holds(f"{IRIS}\nschedule: {{retrain: 0 0 31 2 *}}\n".encode()),
            "line 47: schedule.retrain is '0 0 31 2 *'; this time never comes",
            id="never",
        ),
        pytest.param(_is_folder, "cannot be read: Is a directory.", id="folder"),
        pytest.param(_leads_nowhere, "There is no problem 'broken'", id="link to nothing"),
    ],
)
def test_a_broken_file_is_named_in_one_sentence_and_the_others_are_loaded(
    make: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    for name in ("a", "iris"):
        (tmp_path / f"{name}.yaml").write_text(IRIS)
    broken = tmp_path / "broken.yaml"
    make(broken)

    loaded = load_problems(tmp_path)

    assert [problem.name for problem in loaded.problems] == ["a", "iris"]
    assert list(loaded.errors) == ["broken"]
    (warning,) = loaded.warnings()
    assert warning.startswith("The problem broken is left out: ")
    assert str(broken) in warning
    for part in says.split(" .* "):
        assert part in warning
    assert "\n" not in warning


def test_a_warning_counts_the_mistakes_that_it_does_not_name(tmp_path: Path) -> None:
    (tmp_path / "iris.yaml").write_text(IRIS + "holdouts: 1\nseeds: 1\nmetrics: f1\n")

    (warning,) = load_problems(tmp_path).warnings()

    assert warning.endswith(" Its file has 2 more mistakes.")


def test_a_folder_without_problems_has_none(tmp_path: Path) -> None:
    assert load_problems(tmp_path).problems == ()
    assert load_problems(tmp_path / "absent").errors == {}


def test_fields_in_a_problem_of_texts_are_one_mistake(tmp_path: Path) -> None:
    content = SENTIMENT.replace("preparations:", "inputs: {stars: number}\npreparations:")

    (complaint,) = complaints_about(content, tmp_path)

    line = content.splitlines().index("inputs: {stars: number}") + 1
    assert complaint == (
        f"{line}: inputs is not a key of a problem whose candidates have preparations; remove it "
        "for texts; for records, remove the preparations."
    )


def test_fields_in_a_problem_of_texts_are_one_mistake_even_if_they_are_wrong(
    tmp_path: Path,
) -> None:
    content = SENTIMENT.replace("preparations:", "inputs: [stars]\npreparations:")

    (complaint,) = complaints_about(content, tmp_path)

    assert "inputs is not a key of a problem whose candidates have preparations" in complaint


@pytest.mark.parametrize("preparations", ["{plain: {}}", "{plain: {stop_word: x}}", "[plain]"])
def test_preparations_in_a_problem_with_fields_are_one_mistake(
    preparations: str, tmp_path: Path
) -> None:
    content = IRIS.replace("candidates:", f"preparations: {preparations}\ncandidates:")

    (complaint,) = complaints_about(content, tmp_path)

    assert complaint.endswith(
        "preparations is not a key of a problem with inputs; it is for texts."
    )


@pytest.mark.parametrize(
    ("added", "key"),
    [("metric: cost", "metric"), ("gates: {floors: {cost: 1}}", "gates.floors.cost")],
)
def test_a_cost_without_costs_is_refused_in_a_whole_sentence(
    added: str, key: str, tmp_path: Path
) -> None:
    content = IRIS.replace("metric: accuracy", "").partition("gates:")[0] + added

    (complaint,) = complaints_about(content, tmp_path)

    assert f": {key} is " in complaint
    assert complaint.endswith(
        "; no cost is possible without decision.costs, so add it or name another metric."
    )
