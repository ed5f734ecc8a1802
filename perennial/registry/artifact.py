"""The file of a model: written without pickles, trusted only when it is verified.

A model is stored by MLflow's scikit-learn flavour in the format of skops, which names the classes
in it instead of running code. Beside it lie golden examples, by which a sound copy is recognised.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from perennial.errors import OutsideError
from perennial.estimators import ESTIMATORS
from perennial.registry.moved_types import rename_moved_types
from perennial.registry.storage.packed_code import write_code

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MODEL_FILE = "model.skops"
GOLDEN_NAME = "golden.json"
GOLDEN_FILE = f"extra_files/{GOLDEN_NAME}"
REQUIREMENTS = ("numpy", "pyarrow", "scikit-learn", "scipy", "skops", "xgboost-cpu")
# The steps of a model beside its estimator.
_STEPS = (
    "perennial.classifiers.stacked.StackedClassifier",
    "perennial.classifiers.threshold_classifier.ThresholdClassifier",
    "perennial.embeddings.counter.EmbeddedCounter",
    "perennial.encoders.categories.CategoryEncoder",
    "perennial.encoders.imputer.FieldImputer",
    "perennial.encoders.target.CategoryTargetEncoder",
    "perennial.encoders.texts.TextEncoder",
    "perennial.encoders.words.WordsEncoder",
    "perennial.inputs.encoder.FieldEncoder",
    "perennial.inputs.encoder.FieldReader",
    "perennial.inputs.encoder.FieldScaler",
    "perennial.text.characters.CharacterCounter",
    "perennial.text.ngrams.NgramCounter",
    "perennial.text.normalizer.TextNormalizer",
    "perennial.text.words_and_characters.WordAndCharacterCounter",
)
# The classes that a model file may name beside those that skops trusts by itself. A file is opened
# only if it is the registered one, so that the arrays in a tree are those that were written.
TRUSTED_TYPES = tuple(
    sorted({*_STEPS, *chain.from_iterable(spec.trusted_types for spec in ESTIMATORS.values())})
)
# Probabilities that differ by no more than this are the same answer. Another machine's arithmetic
# may differ in the last bits, a wrong model differs in the first.
TOLERANCE = 1e-9


class Golden(BaseModel):
    """Inputs and the probabilities that a sound copy of a model gives for them.

    Attributes
    ----------
    inputs : tuple of str, or of dict of str to value
        Raw inputs: texts, or records of fields.
    classes : tuple of str
        The labels, in the order of the columns of `probabilities`.
    probabilities : tuple of tuple of float
        Shape (n_inputs, n_classes).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    inputs: tuple[str | dict[str, bool | float | str | list[str] | None], ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    probabilities: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        widths = {len(row) for row in self.probabilities}
        if len(self.probabilities) != len(self.inputs) or widths != {len(self.classes)}:
            raise ValueError("inputs, classes and probabilities do not have the same sizes")
        return self


def read_golden(path: Path, name: str) -> Golden:
    """Return the golden examples of a file.

    Raises
    ------
    OutsideError
        If they are damaged; the message begins with `name`.
    """
    try:
        return Golden.model_validate_json(path.read_bytes())
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise OutsideError(
            f"{name} is refused, its golden examples are damaged: {what}."
        ) from error


@dataclass(frozen=True)
class ModelFile:
    """A model as it is stored: the content of its file, and its golden examples."""

    content: bytes
    golden: Golden

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


def get_ready() -> None:
    """Do what the first `log_model` of a process waits for: import, see what is installed."""
    import mlflow.sklearn  # noqa: F401
    import skops.io  # noqa: F401
    from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

    warn_dependency_requirement_mismatches(_requirements())


def _requirements() -> list[str]:
    return [f"{name}=={installed_version(name)}" for name in REQUIREMENTS]


def log_model(run_id: str, model: Pipeline, golden: Golden) -> tuple[str, str]:
    """Write the model's files into a run; return their address and the model's id."""
    # Who only reads a model does not wait for MLflow.
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature

    first = golden.inputs[0]
    example = pd.DataFrame([first if isinstance(first, dict) else {"text": first}])
    with TemporaryDirectory() as scratch:
        golden_file = Path(scratch) / GOLDEN_NAME
        golden_file.write_text(golden.model_dump_json())
        code = Path(scratch) / "code"
        code.mkdir()
        with mlflow.start_run(run_id=run_id, log_system_metrics=False):
            info = mlflow.sklearn.log_model(
                model,
                name="model",
                signature=infer_signature(example, model.predict(example)),
                input_example=example,
                pip_requirements=_requirements(),
                skops_trusted_types=list(TRUSTED_TYPES),
                code_paths=write_code(code),
                extra_files=[str(golden_file)],
            )
    return info.model_uri, info.model_id


def open_model(file: ModelFile, sha256: str | None, name: str) -> Pipeline:
    """Return the model in a file that is verified, its golden examples tried.

    Raises
    ------
    OutsideError
        If the file is not the one with that digest, names a class that is not trusted, or gives
        other probabilities than it did when it was made; the message begins with `name`.
    """
    if file.sha256 != sha256:
        raise OutsideError(f"{name} is not the file that was registered: its SHA-256 differs.")
    model = load_model(file.content, name)
    check_golden(model, file.golden, name)
    return model


def load_model(content: bytes, name: str) -> Pipeline:
    """Return the model in a file's content, also of a file that an earlier layout of the code made.

    Raises
    ------
    OutsideError
        If it names a class that is not trusted, or is no such file; the message begins with `name`.
    """
    # It imports scikit-learn, for seconds: who only needs the types does not wait.
    from skops.io import loads
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return loads(rename_moved_types(content), trusted=list(TRUSTED_TYPES))
    except (UntrustedTypesFoundException, BadZipFile, KeyError, ValueError) as error:
        raise OutsideError(f"{name} is refused: {error}") from error


def check_golden(model: Pipeline, golden: Golden, name: str) -> None:
    """Raise `OutsideError` unless a model gives its golden examples their probabilities."""
    found = model.predict_proba(list(golden.inputs))
    expected = np.asarray(golden.probabilities)
    same = tuple(model.classes_) == golden.classes
    error = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
    allowed = max(TOLERANCE, *(getattr(step, "golden_tolerance", 0.0) for _, step in model.steps))
    # Written so that a probability that is no number fails, too.
    if not (same and error <= allowed):
        raise OutsideError(
            f"{name} fails its golden examples: its probabilities differ by {error:.2g} from those "
            "that were registered; it was made with other versions of the libraries or damaged."
        )
