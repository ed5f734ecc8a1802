"""Reproducing: a version can be made again anywhere, and what keeps it from that is named."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from prefect.settings import PREFECT_API_URL

from flows.reproduce import reproduce
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import ModelVersion, Registry
from perennial.settings import PROJECT, Settings
from tasks.training.recipe import (
    HOLDOUT_FILE,
    PROBLEM_FILE,
    SURROUNDINGS_FILE,
    Surroundings,
    read_recipe,
)
from tests.conftest import stored_at

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def made_elsewhere(problem: Problem, collection: Any, documents: Any, registry: Registry) -> Any:
    """Version 1, which another process has made."""
    collection.insert_many(documents(400))
    done = subprocess.run(
        [sys.executable, "-m", "flows", "retrain", "reviews"],
        cwd=PROJECT,
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value() or ""},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return registry.version("reviews", 1)


@pytest.fixture
def made_here(problem: Problem, collection: Any, documents: Any, registry: Registry) -> Any:
    """Version 1, made in this process."""
    collection.insert_many(documents(400))
    retrain("reviews")
    return registry.version("reviews", 1)


def rewrite(registry: Registry, version: ModelVersion, **changes: Any) -> None:
    """Let the records say that the version was made in other surroundings."""
    recipe = read_recipe(registry, version)
    registry.attach(
        version.run_id,
        {
            SURROUNDINGS_FILE: recipe.surroundings.model_copy(update=changes)
            .model_dump_json()
            .encode()
        },
    )


def shift(registry: Registry, version: ModelVersion, by: float) -> None:
    """Let the records say that the version gave other probabilities."""
    recipe, arrays = read_recipe(registry, version), io.BytesIO()
    np.savez(arrays, predicted=recipe.predicted, probabilities=recipe.probabilities + by)
    registry.attach(version.run_id, {HOLDOUT_FILE: arrays.getvalue()})


@pytest.mark.e2e
@pytest.mark.e2e
def test_a_version_made_in_another_process_gives_the_same_predictions_again(
    made_elsewhere: ModelVersion,
    registry: Registry,
    client: MlflowClient,
    collection: Any,
    documents: Any,
    write_problem: Callable[..., Problem],
) -> None:
    # The world goes on: other documents, and another problem.
    collection.insert_many(documents(200, first=400))
    write_problem(seed=7, gates={"floors": {"accuracy": 0.99}})
    retrain("reviews")

    sentence = reproduce("reviews", 1)

    assert sentence.startswith("Version 1 of 'reviews' is reproduced: the same labels for ")
    experiment = client.get_experiment_by_name("reviews")
    runs = client.search_runs(
        [experiment.experiment_id], "tags.`perennial.kind` = 'reproduce' and status = 'FINISHED'"
    )
    assert [run.data.metrics["error"] <= 1e-9 for run in runs] == [True]
    production = registry.production("reviews")
    assert production is not None
    assert production.version == 1


def test_what_keeps_a_version_from_being_made_again_is_named(
    made_here: ModelVersion,
    registry: Registry,
    client: MlflowClient,
    machine: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = Surroundings.here(read_recipe(registry, made_here).surroundings.candidate)
    rewrite(
        registry,
        made_here,
        libraries=here.libraries | {"scikit-learn": "0.1"},
        code=here.code | {"perennial/text/normalizer.py": "0" * 64, "perennial/gone.py": "1" * 64},
    )

    # Other surroundings alone do no harm, and are shown.
    assert "is reproduced" in reproduce("reviews", 1)
    assert "perennial/gone.py" in capsys.readouterr().out

    # Code that was laid out in other packages has no files to compare, which is said once.
    old = {"modeling/text.py": "2" * 64, "modeling/nb_svm.py": "3" * 64, "tasks/train.py": "4" * 64}
    rewrite(registry, made_here, code=old)
    layout = "it was made with another layout of the code (modeling and tasks then, perennial and "
    assert layout in reproduce("reviews", 1)
    assert "modeling/text.py" not in capsys.readouterr().out
    rewrite(
        registry,
        made_here,
        libraries=here.libraries | {"scikit-learn": "0.1"},
        code=here.code | {"perennial/text/normalizer.py": "0" * 64, "perennial/gone.py": "1" * 64},
    )

    shift(registry, made_here, 1e-6)
    with pytest.raises(OutsideError, match=r"^Version 1 of 'reviews' is not reproduced") as refused:
        reproduce("reviews", 1)
    said = str(refused.value)
    assert "probabilities differ by up to 1e-06" in said
    assert f"libraries: scikit-learn was 0.1 and is {here.libraries['scikit-learn']}" in said
    assert "code: perennial/gone.py was 111111111111 and is -" in said
    assert "code: perennial/text/normalizer.py was 000000000000" in said

    rows = sorted((machine.data_dir / "snapshots" / "reviews" / "history").rglob("*.parquet"))
    rows = [path for path in rows if path.parent.name == "kind=revision"]
    other = machine.data_dir / "other.parquet"
    shutil.copy(rows[0], other)
    tamper(other)
    shutil.copy(other, rows[0])
    with pytest.raises(OutsideError, match="nothing could be fitted") as damaged:
        reproduce("reviews", 1)
    assert "data: snapshot 0 was " in str(damaged.value)

    location = client.get_run(made_here.run_id).info.artifact_uri
    (stored_at(machine, location) / HOLDOUT_FILE).unlink()
    with pytest.raises(OutsideError, match=r"^Version 1 of 'reviews' has no holdout\.npz"):
        reproduce("reviews", 1)
    with pytest.raises(OutsideError, match=r"^There is no version 2"):
        reproduce("reviews", 2)


def test_a_version_that_was_made_before_feedback_was_kept_apart_is_divided_as_it_was(
    write_problem: Callable[..., Problem], collection: Any, documents: Any, registry: Registry
) -> None:
    write_problem(feedback={"use": "holdout"})
    collection.insert_many(documents(300))
    collection.insert_many(
        document | {"_id": f"feedback:{document['_id']}"} for document in documents(100, first=300)
    )
    retrain("reviews")
    version = registry.version("reviews", 1)
    recorded = json.loads(read_recipe(registry, version).problem)
    del recorded["feedback"]
    registry.attach(version.run_id, {PROBLEM_FILE: json.dumps(recorded).encode()})

    assert "is reproduced" in reproduce("reviews", 1)


def tamper(file: Path) -> None:
    """Exchange the texts of two documents, as somebody might who has access to the storage."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(file, partitioning=None)
    texts = table["text"].to_pylist()
    texts[0], texts[1] = texts[1], texts[0]
    column = pa.array(texts, table.schema.field("text").type)
    pq.write_table(table.set_column(table.schema.get_field_index("text"), "text", column), file)
