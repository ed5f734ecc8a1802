"""The file of a model: written without pickles, trusted only when it is verified.

A model is stored by MLflow's scikit-learn flavour in the format of skops, which names the classes
in it instead of running code. Beside it lie golden examples, by which a sound copy is recognised.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from skops.io import loads
from skops.io.exceptions import UntrustedTypesFoundException

from settings import PROJECT, OutsideError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MODEL_FILE = "model.skops"
GOLDEN_FILE = "extra_files/golden.json"
REQUIREMENTS = ("numpy", "pyarrow", "scikit-learn", "scipy", "skops")
# The only classes of ours that a model file may name; skops refuses all others.
TRUSTED_TYPES = ("modeling.features.NgramCounter", "modeling.text.TextNormalizer")
# Another machine's arithmetic may differ in the last bits, a wrong model differs in the first.
_GOLDEN_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Golden:
    """Inputs and the probabilities that a sound copy of a model gives for them.

    Attributes
    ----------
    inputs : sequence of str
        Raw texts.
    classes : sequence of str
        The labels, in the order of the columns of `probabilities`.
    probabilities : sequence of sequence of float
        Shape (n_inputs, n_classes).
    """

    inputs: Sequence[str]
    classes: Sequence[str]
    probabilities: Sequence[Sequence[float]]


def log_model(run_id: str, model: Pipeline, golden: Golden) -> tuple[str, str]:
    """Write the model's files into a run; return their address and the model's id."""
    example = pd.DataFrame({"text": list(golden.inputs)[:1]})
    with TemporaryDirectory() as scratch:
        golden_file = Path(scratch) / Path(GOLDEN_FILE).name
        golden_file.write_text(json.dumps(vars(golden)))
        with mlflow.start_run(run_id=run_id, log_system_metrics=False):
            info = mlflow.sklearn.log_model(
                model,
                name="model",
                signature=infer_signature(example, model.predict(example)),
                input_example=example,
                pip_requirements=[f"{name}=={installed_version(name)}" for name in REQUIREMENTS],
                skops_trusted_types=list(TRUSTED_TYPES),
                code_paths=[str(PROJECT / "modeling")],
                extra_files=[str(golden_file)],
            )
    return info.model_uri, info.model_id


def load_model(content: bytes, name: str) -> Pipeline:
    """Return the model in a file's content.

    Raises
    ------
    OutsideError
        If it names a class that is not trusted, or is no such file; the message begins with `name`.
    """
    try:
        return loads(content, trusted=list(TRUSTED_TYPES))
    except (UntrustedTypesFoundException, BadZipFile, ValueError) as error:
        raise OutsideError(f"{name} is refused: {error}") from error


def check_golden(model: Pipeline, golden: Golden, name: str) -> None:
    """Raise `OutsideError` unless a model gives its golden examples their probabilities."""
    found = model.predict_proba(list(golden.inputs))
    error = float(np.abs(found - np.asarray(golden.probabilities)).max())
    if list(model.classes_) != list(golden.classes) or error > _GOLDEN_TOLERANCE:
        raise OutsideError(
            f"{name} fails its golden examples: its probabilities differ by {error:.2g} from those "
            "that were registered; it was made with other versions of the libraries or damaged."
        )
