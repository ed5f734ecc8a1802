"""Models that were registered before the code moved load, and answer as they did."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from skops.io import dumps, get_untrusted_types

from perennial.errors import OutsideError
from perennial.inference.predictor import build_predictor
from perennial.registry.artifact import (
    GOLDEN_FILE,
    MODEL_FILE,
    TRUSTED_TYPES,
    Golden,
    ModelFile,
    open_model,
)
from perennial.registry.moved_types import MovedType, TypeName, rename_moved_types
from tests.flowers import fitted

_BEFORE = Path(__file__).parents[2] / "data" / "before_the_library"
_PROBLEMS: dict[str, Any] = json.loads((_BEFORE / "expected.json").read_text())["problems"]
VERSIONS = [
    pytest.param(problem, version, id=f"{problem}-{version}")
    for problem, found in _PROBLEMS.items()
    for version in found["versions"]
]


@dataclass(frozen=True)
class OldVersion:
    """A registered version of the code before the move, and what it was expected to answer."""

    file: ModelFile
    sha256: str
    inputs: list[Any]
    labels: list[str]
    probabilities: list[list[float]]


@pytest.fixture(scope="session")
def old_files() -> dict[str, bytes]:
    """What MLflow kept of the old models, by the address within its folder of models."""
    before = ".data/mlflow/artifacts/models/"
    with tarfile.open(_BEFORE / "data.tar.xz") as archive:
        members = [each for each in archive if each.isfile() and before in each.name]
        return {
            member.name.partition(before)[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in members
            if member.name.endswith((MODEL_FILE, GOLDEN_FILE))
        }


@pytest.fixture
def old_version(old_files: dict[str, bytes], problem_name: str, version: str) -> OldVersion:
    expected = _PROBLEMS[problem_name]["versions"][version]
    folder = f"{expected['tags']['perennial.model_id']}/artifacts"
    golden = Golden.model_validate_json(old_files[f"{folder}/{GOLDEN_FILE}"])
    return OldVersion(
        ModelFile(old_files[f"{folder}/{MODEL_FILE}"], golden),
        expected["tags"]["perennial.sha256"],
        _PROBLEMS[problem_name]["inputs"],
        expected["labels"],
        expected["probabilities"],
    )


def with_schema(content: bytes, old: str, new: str) -> bytes:
    """Return a model file that names something else."""
    changed = BytesIO()
    with ZipFile(BytesIO(content)) as file, ZipFile(changed, "w") as copy:
        for member in file.infolist():
            found = file.read(member)
            if member.filename == "schema.json":
                assert old.encode() in found
                found = found.replace(old.encode(), new.encode())
            copy.writestr(member, found)
    return changed.getvalue()


@pytest.mark.parametrize(("problem_name", "version"), VERSIONS)
def test_a_version_registered_before_the_move_answers_as_it_did(old_version: OldVersion) -> None:
    model = open_model(old_version.file, old_version.sha256, "the old model")

    predictor = build_predictor(model, old_version.file.golden.inputs)
    found = predictor.probabilities(old_version.inputs)
    np.testing.assert_allclose(found, old_version.probabilities, rtol=0, atol=1e-9)
    assert [predictor.classes[each] for each in predictor.decide(found)] == old_version.labels
    assert model.predict(old_version.inputs).tolist() == old_version.labels


@pytest.mark.parametrize(("problem_name", "version"), VERSIONS)
def test_an_old_file_names_trusted_types_only_and_today_s_alone_are_trusted(
    old_version: OldVersion,
) -> None:
    old = get_untrusted_types(data=old_version.file.content)
    today = get_untrusted_types(data=rename_moved_types(old_version.file.content))

    assert any(name.startswith("modeling.") for name in old)
    assert len(today) == len(old)
    assert set(today) <= set(TRUSTED_TYPES)
    assert not any(name.startswith("modeling.") for name in TRUSTED_TYPES)


@pytest.mark.parametrize(("problem_name", "version"), [("snippets", "1")])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"modeling.nb_svm"', '"modeling.production"'),
        ('"NbSvm"', '"NbSvmOfOthers"'),
        ('"modeling.nb_svm"', '"subprocess"'),
    ],
    ids=["another module", "another class", "a module of others"],
)
def test_a_name_that_never_moved_is_refused_in_an_old_file_too(
    old: str, new: str, old_version: OldVersion
) -> None:
    file = ModelFile(with_schema(old_version.file.content, old, new), old_version.file.golden)

    with pytest.raises(OutsideError, match=r"^the old model is refused: Untrusted types found"):
        open_model(file, file.sha256, "the old model")


@pytest.mark.parametrize(("problem_name", "version"), [("snippets", "1")])
def test_an_old_file_is_renamed_only_after_its_digest_was_verified(
    old_version: OldVersion,
) -> None:
    renamed = rename_moved_types(old_version.file.content)

    with pytest.raises(OutsideError, match="is not the file that was registered"):
        open_model(ModelFile(renamed, old_version.file.golden), old_version.sha256, "it")


@pytest.mark.parametrize(("problem_name", "version"), [("snippets", "1")])
def test_an_attribute_that_was_renamed_gets_its_name_of_today(old_version: OldVersion) -> None:
    old = TypeName("modeling.nb_svm", "NbSvm")
    moved = {old: MovedType(TypeName("house", "Nb"), {"ratio_": "log_count_ratio_"})}

    content = rename_moved_types(old_version.file.content, moved)

    with ZipFile(BytesIO(content)) as file:
        schema = file.read("schema.json").decode()
    assert '"log_count_ratio_"' in schema
    assert '"ratio_"' not in schema
    assert '"__class__": "Nb", "__module__": "house"' in schema


def test_a_file_of_today_stays_as_it_is() -> None:
    content = dumps(fitted("tree"))

    assert rename_moved_types(content) is content


def test_what_is_no_model_file_is_refused() -> None:
    golden = Golden(inputs=("a",), classes=("a", "b"), probabilities=((0.5, 0.5),))
    empty = BytesIO()
    ZipFile(empty, "w").close()
    for content in (b"no archive", empty.getvalue()):
        file = ModelFile(content, golden)
        with pytest.raises(OutsideError, match=r"^the model is refused: "):
            open_model(file, file.sha256, "the model")
