"""The inputs that are stored with models: golden examples, and the example that MLflow shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from perennial.registry.artifact import GOLDEN_FILE, MODEL_FILE, Golden, read_golden
from perennial.registry.model_version import ModelVersion
from perennial.registry.runs import Runs, experiment, explained

# What MLflow makes of the example that `log_model` gives it.
_EXAMPLE, _SERVING_EXAMPLE = "input_example.json", "serving_input_example.json"


class Examples(Runs):
    """The inputs that are stored with models, so that they can be replaced."""

    def stored_models(self, problem: str) -> tuple[str, ...]:
        """Return the ids of all models that retrainings of a problem stored, registered or not."""
        return tuple(model.model_id for model in self._stored(problem))

    def _stored(self, problem: str) -> Iterator[LoggedModel]:
        token: str | None = None
        with explained():
            wanted = [experiment(self._client, problem, self._artifacts)]
            while True:
                page = self._client.search_logged_models(wanted, page_token=token)
                yield from page
                token = page.token
                if not token:
                    return

    def is_stored(self, version: ModelVersion) -> bool:
        """Return whether the files of a version's model are where they were put."""
        if version.model_id is None:
            # Somebody else has registered it, and whoever loads it says so.
            return True
        with explained():
            try:
                files = self._files(version.model_id).list_artifacts()
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return False
                raise
        return MODEL_FILE in {file.path for file in files}

    def golden(self, model_id: str) -> Golden | None:
        """Return the golden examples of a stored model; None if it was never stored completely.

        Raises
        ------
        OutsideError
            If MLflow fails, or if they are damaged.
        """
        folder, _, _ = GOLDEN_FILE.rpartition("/")
        with explained(), TemporaryDirectory() as scratch:
            files = self._files(model_id)
            if GOLDEN_FILE not in {file.path for file in files.list_artifacts(folder)}:
                return None
            file = files.download_artifacts(GOLDEN_FILE, scratch)
            return read_golden(Path(file), f"The stored model {model_id} (MLFLOW_TRACKING_URI)")

    def replace_golden(self, model_id: str, golden: Golden) -> None:
        """Put other golden examples, and another example for MLflow, in the place of those there.

        Raises
        ------
        OutsideError
            If MLflow fails.
        """
        first = golden.inputs[0]
        example = _frame(first if isinstance(first, dict) else {"text": first})
        with explained(), TemporaryDirectory() as scratch:
            files = {
                GOLDEN_FILE: golden.model_dump_json(),
                _EXAMPLE: json.dumps(example),
                _SERVING_EXAMPLE: json.dumps({"dataframe_split": example}, indent=2),
            }
            for name, content in files.items():
                file = Path(scratch) / name
                file.parent.mkdir(exist_ok=True)
                file.write_text(content)
            self._files(model_id).log_artifacts(scratch)

    def _files(self, model_id: str) -> ArtifactRepository:
        # MLflow's client remembers the place of a model whose database has moved since.
        place = self._client.get_logged_model(model_id).artifact_location
        return get_artifact_repository(place, tracking_uri=self._client.tracking_uri)


def _frame(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as pandas writes a table of one row."""
    return {"columns": list(record), "data": [list(record.values())]}
