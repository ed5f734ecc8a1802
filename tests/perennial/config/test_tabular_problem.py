"""A problem with inputs: what its file may say, and how a mistake is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.candidates import TabularCandidate
from perennial.config.sections.split import Validation
from perennial.documents.documents import in_validation
from perennial.errors import ProblemError
from perennial.inputs.base import TextInputs, inputs_of
from perennial.inputs.records import TabularInputs
from perennial.training.pipelines import build_classifier, parameters_of
from perennial.training.validation import validation_parts

PROBLEMS = Path(__file__).resolve().parents[3] / "problems"
FLOWERS = """\
source:
  database: garden
  collection: flowers
inputs:
  width: number
  colour: category
labels: {a: a, b: b}
validation: {folds: 4}
candidates:
  linear:
    features: {scale: standard}
    estimator: logistic_regression
  tree:
    estimator: decision_tree
"""


def written(folder: Path, content: str) -> Path:
    path = folder / "flowers.yaml"
    path.write_text(content)
    return path


def test_a_problem_with_inputs_is_read(tmp_path: Path) -> None:
    problem = load_problem(written(tmp_path, FLOWERS))

    assert inputs_of(problem).fields == {"width": "number", "colour": "category"}
    assert problem.validation == Validation(folds=4)
    assert all(isinstance(each, TabularCandidate) for each in problem.candidates.values())
    assert isinstance(inputs_of(problem), TabularInputs)
    assert [name for name, _ in build_classifier(problem, "linear").steps] == [
        "impute",
        "scale",
        "classify",
    ]
    assert [name for name, _ in build_classifier(problem, "tree").steps] == ["impute", "classify"]
    assert parameters_of(problem, "linear")["features.scale"] == "standard"


def test_a_problem_that_was_written_down_whole_is_read_again(tmp_path: Path) -> None:
    problem = load_problem(written(tmp_path, FLOWERS))

    again = Problem.model_validate_json(problem.model_dump_json())

    assert again == problem
    assert again.digest == problem.digest


def test_a_field_that_is_required_is_another_problem_and_one_that_is_not_is_none(
    tmp_path: Path,
) -> None:
    plain = load_problem(written(tmp_path, FLOWERS))
    spelled = FLOWERS.replace("width: number", "width: {kind: number, required: false}")
    strict = FLOWERS.replace("width: number", "width: {kind: number, required: true}")

    same, other = (load_problem(written(tmp_path, text)) for text in (spelled, strict))

    assert same.digest == plain.digest
    assert other.digest != plain.digest
    assert inputs_of(other).required == ("width",)
    assert Problem.model_validate_json(other.model_dump_json()) == other


def test_features_that_are_not_used_change_no_problem(tmp_path: Path) -> None:
    plain = load_problem(written(tmp_path, FLOWERS))
    changed = FLOWERS.replace("{scale: standard}", "{scale: standard, categories: target}")

    dumped = plain.model_dump(mode="json")["candidates"]

    assert [each["features"] for each in dumped.values()] == [
        {"scale": "standard"},
        {"scale": "none"},
    ]
    assert load_problem(written(tmp_path, changed)).digest != plain.digest


def test_a_problem_without_inputs_is_about_texts() -> None:
    problem = load_problem(PROBLEMS / "sentiment.yaml")

    assert problem.inputs is None
    assert isinstance(inputs_of(problem), TextInputs)
    assert "prepare.stop_words" in parameters_of(problem, "bow-bayes")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        pytest.param(
            "width: number",
            "width: numeric",
            5,
            "inputs.width is 'numeric'; input should be 'number', 'category', "
            "'boolean', 'text', 'date' or 'words'.",
            id="a kind nobody knows",
        ),
        pytest.param(
            "width: number",
            "width: {kind: number, optional: true}",
            5,
            "inputs.width.optional is not a key of the schema; allowed here are kind, required, "
            "decimal.",
            id="an unknown key of a field",
        ),
        pytest.param(
            "  width: number\n  colour: category\n",
            "  {}\n",
            4,
            "inputs is {}; dictionary should have at least 1 item after validation, not 0.",
            id="no field",
        ),
        pytest.param(
            "colour: category",
            "petal..colour: category",
            6,
            "inputs.petal..colour is 'petal..colour'; string should match pattern ",
            id="a path with a part that is empty",
        ),
        pytest.param(
            "colour: category",
            "width.colour: category",
            6,
            "inputs.width.colour is a field; it leads into width, another field of inputs.",
            id="a path into another field",
        ),
        pytest.param(
            "colour: category",
            "label.colour: category",
            6,
            "inputs.label.colour is 'label.colour'; allowed is a field that holds nothing else.",
            id="a path into the label",
        ),
        pytest.param(
            "colour: category",
            "label: category",
            6,
            "inputs.label is 'label'; allowed is a field that holds nothing else.",
            id="a field that holds the label",
        ),
        pytest.param(
            "scale: standard",
            "scale: minmax",
            11,
            "candidates.linear.features.scale is 'minmax'; input should be 'standard' or 'none'.",
            id="a scale nobody knows",
        ),
        pytest.param(
            "{scale: standard}",
            "{weighting: tfidf}",
            11,
            "candidates.linear.features.weighting is not a key of the schema; allowed here are "
            "scale, categories, min_documents, max_categories, texts.",
            id="features of texts",
        ),
        pytest.param(
            "    features: {scale: standard}\n",
            "    preparation: plain\n",
            11,
            "candidates.linear.preparation is not a key of the schema; allowed here are features, "
            "estimator, parameters.",
            id="a preparation of texts",
        ),
        pytest.param(
            "candidates:",
            "preparations: {plain: {}}\ncandidates:",
            9,
            "preparations is not a key of a problem with inputs; it is for texts.",
            id="preparations",
        ),
        pytest.param(
            "candidates:",
            "limits: {min_words: 2}\ncandidates:",
            9,
            "limits is not a key of a problem with inputs; it is for texts.",
            id="limits of texts",
        ),
        pytest.param(
            "  collection: flowers",
            "  collection: flowers\n  fields: {text: body}",
            4,
            "source.fields.text is not a key of a problem with inputs; it is for texts.",
            id="the field of a text",
        ),
        pytest.param(
            "inputs:\n  width: number\n  colour: category\n",
            "",
            7,
            "candidates.linear.preparation is missing; it is required.",
            id="inputs left out",
        ),
        pytest.param(
            "{folds: 4}",
            "{folds: 1}",
            8,
            "validation.folds is 1; input should be greater than or equal to 2.",
            id="a single fold",
        ),
        pytest.param(
            "{folds: 4}",
            "1.5",
            8,
            "validation is 1.5; input should be less than 1.",
            id="a share above one",
        ),
        pytest.param(
            "{folds: 4}",
            "{folds: 4, share: 0.1}",
            8,
            "validation is {'folds': 4, 'share': 0.1}; give either a share or ",
            id="a share and folds",
        ),
        pytest.param(
            "{folds: 4}",
            "{parts: 4}",
            8,
            "validation.parts is not a key of the schema; allowed here are share, folds.",
            id="an unknown key of the validation",
        ),
    ],
)
def test_a_mistake_is_named_with_line_key_value_and_what_is_allowed(
    old: str, new: str, line: int, says: str, tmp_path: Path
) -> None:
    assert FLOWERS.count(old) == 1
    path = written(tmp_path, FLOWERS.replace(old, new))

    with pytest.raises(ProblemError) as error:
        load_problem(path)

    assert f"{path}, line {line}: {says}" in str(error.value)


def test_a_problem_of_texts_needs_a_preparation(tmp_path: Path) -> None:
    content = (PROBLEMS / "sentiment.yaml").read_text().replace("  cases: cases/sentiment.yaml", "")
    before, _, after = content.partition("preparations:")
    path = written(tmp_path, before + "candidates:" + after.partition("\ncandidates:")[2])

    with pytest.raises(ProblemError, match="preparations is missing; texts need one or more"):
        load_problem(path)


hashes = st.lists(st.binary(min_size=16, max_size=16), unique=True, max_size=50)


@given(hashes, st.integers(2, 9))
def test_every_document_is_in_one_fold_that_its_content_decides(
    contents: list[bytes], folds: int
) -> None:
    validation = Validation(folds=folds)

    parts = validation_parts(validation, pa.array(contents, pa.binary()))

    assert len(parts) == folds
    assert (np.sum(parts, axis=0) == 1).all()
    for place, content in enumerate(contents):
        alone = validation_parts(validation, pa.array([content], pa.binary()))
        assert [bool(part[0]) for part in alone] == [bool(part[place]) for part in parts]


@given(hashes, st.floats(0.01, 0.99))
def test_a_share_is_one_part(contents: list[bytes], share: float) -> None:
    column = pa.array(contents, pa.binary())

    (part,) = validation_parts(Validation(share=share), column)

    np.testing.assert_array_equal(part, in_validation(column, share))
