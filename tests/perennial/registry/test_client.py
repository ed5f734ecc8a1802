"""The registry: a version is what was registered or it is refused, and aliases never dangle."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from skops.io import dump

from perennial.config.problem import Problem
from perennial.errors import OutsideError, UnavailableError
from perennial.registry.artifact import Golden
from perennial.registry.client import ModelVersion, Registry, StaleComparisonError, open_registry
from perennial.settings import Settings, get_settings
from perennial.stores.snapshots.store import Snapshot
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer
from tests.conftest import free_port, stored_at


@pytest.fixture
def model(problem: Problem, snippets: list[tuple[str, int]]) -> Pipeline:
    """A model as a retraining makes it, fitted on few reviews."""
    texts, labels = zip(*snippets[:100], strict=True)
    candidate = problem.candidates["tfidf-logistic"]
    normalizer, counter = build_normalizer(problem, candidate), build_counter(candidate.features)
    matrix = counter.fit_transform(normalizer.transform(list(texts)))
    names = np.array([problem.classes[label] for label in labels])
    classifier = build_classifier(problem, "tfidf-logistic").fit(matrix, names)
    return assemble(normalizer, counter, classifier)


@pytest.fixture
def texts(snippets: list[tuple[str, int]]) -> list[str]:
    return [text for text, _ in snippets[100:120]] + ["", "Ein Film 🎬", "<b>10/10</b>"]


@pytest.fixture
def golden(model: Pipeline, texts: list[str]) -> Golden:
    return Golden(
        inputs=texts,
        classes=list(model.classes_),
        probabilities=model.predict_proba(texts).tolist(),
    )


@pytest.fixture
def register(registry: Registry, model: Pipeline, golden: Golden) -> Callable[[], ModelVersion]:
    def call() -> ModelVersion:
        with registry.run("reviews", "retrain reviews") as run_id:
            return registry.register("reviews", run_id, model, golden, tags={"candidate": "c"})

    return call


@pytest.fixture
def version(register: Callable[[], ModelVersion]) -> ModelVersion:
    return register()


@pytest.fixture
def versions(client: MlflowClient, version: ModelVersion) -> Callable[[int], ModelVersion]:
    """Further versions of the same stored files: enough where only aliases matter."""

    def make(number: int) -> ModelVersion:
        source = client.get_model_version("reviews", str(version.version)).source
        while True:
            known = {int(v.version) for v in client.search_model_versions("name='reviews'")}
            if number in known:
                return ModelVersion("reviews", number, version.run_id, version.tags)
            client.create_model_version("reviews", source, tags=dict(version.tags))

    return make


def _folder(client: MlflowClient, version: ModelVersion) -> Path:
    location = client.get_logged_model(version.tags["perennial.model_id"]).artifact_location
    return stored_at(get_settings(), location)


def _replace_model(client: MlflowClient, version: ModelVersion, content: bytes) -> ModelVersion:
    """Put another file in place of the model, and its digest onto the version, as an intruder."""
    (_folder(client, version) / "model.skops").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    client.set_model_version_tag("reviews", str(version.version), "perennial.sha256", digest)
    tags = dict(version.tags) | {"perennial.sha256": digest}
    return ModelVersion("reviews", version.version, version.run_id, tags)


def test_a_version_is_loaded_as_it_was_registered(
    registry: Registry, model: Pipeline, version: ModelVersion, texts: list[str]
) -> None:
    loaded = registry.load(version)

    assert np.abs(loaded.predict_proba(texts) - model.predict_proba(texts)).max() <= 1e-12
    assert list(loaded.predict(texts)) == list(model.predict(texts))
    assert version.version == 1
    assert version.tags["perennial.candidate"] == "c"


def test_versions_count_upwards(version: ModelVersion, register: Any) -> None:
    assert register().version == version.version + 1


def test_a_model_loads_as_plain_mlflow_and_takes_raw_texts(
    version: ModelVersion, model: Pipeline, texts: list[str], client: MlflowClient
) -> None:
    uri = f"models:/reviews/{version.version}"

    as_sklearn = mlflow.sklearn.load_model(uri)
    as_pyfunc = mlflow.pyfunc.load_model(uri)

    assert np.abs(as_sklearn.predict_proba(texts) - model.predict_proba(texts)).max() <= 1e-12
    assert list(as_pyfunc.predict(pd.DataFrame({"text": texts}))) == list(model.predict(texts))


def test_a_model_loads_where_perennial_is_not_installed_by_the_code_beside_it(
    version: ModelVersion, model: Pipeline, texts: list[str], machine: Settings, tmp_path: Path
) -> None:
    (folder,) = (machine.data_dir / "mlflow" / "artifacts" / "models").glob("*/artifacts")
    # Each version has two files of code, and not the hundreds that they are. (Python may write
    # its own file beside them as soon as they are imported.)
    assert len([file for file in (folder / "code").rglob("*") if file.is_file()]) == 2
    program = (
        "import json, sys, mlflow.sklearn\n"
        "model = mlflow.sklearn.load_model(sys.argv[1])\n"
        "import perennial.text\n"
        "print(json.dumps([perennial.text.__file__, model.predict_proba(sys.argv[2:]).tolist()]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(folder), *texts[:5]],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    place, answers = json.loads(done.stdout.splitlines()[-1])
    assert "perennial.zip" in place
    assert np.abs(np.array(answers) - model.predict_proba(texts[:5])).max() <= 1e-12


def test_nothing_in_a_stored_model_is_a_pickle(version: ModelVersion, client: MlflowClient) -> None:
    files = [path for path in _folder(client, version).rglob("*") if path.is_file()]

    assert {path.name for path in files} >= {"model.skops", "golden.json", "MLmodel"}
    assert [path for path in files if path.suffix in {".pkl", ".pickle", ".joblib"}] == []
    for path in files:
        assert not path.read_bytes().startswith(b"\x80"), f"{path} looks like a pickle"


def test_a_file_with_another_digest_is_refused(
    registry: Registry, version: ModelVersion, client: MlflowClient
) -> None:
    file = _folder(client, version) / "model.skops"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    with pytest.raises(OutsideError, match=r"Version 1 of 'reviews'.*SHA-256 differs"):
        registry.load(version)


@pytest.mark.parametrize(
    "change",
    [
        lambda golden: golden["probabilities"][3].reverse(),
        lambda golden: golden["classes"].reverse(),
        lambda golden: golden["probabilities"][0].__setitem__(0, math.nan),
        lambda golden: golden["probabilities"].pop(),
        lambda golden: golden.pop("classes"),
        lambda golden: golden.update(inputs=[], probabilities=[]),
    ],
    ids=["other figures", "other classes", "not a number", "one too few", "no classes", "nothing"],
)
def test_a_model_that_fails_its_golden_examples_is_refused(
    change: Callable[[Any], Any], registry: Registry, version: ModelVersion, client: MlflowClient
) -> None:
    file = _folder(client, version) / "extra_files" / "golden.json"
    golden = json.loads(file.read_text())
    change(golden)
    file.write_text(json.dumps(golden))

    with pytest.raises(OutsideError, match=r"golden examples"):
        registry.load(version)


@pytest.mark.parametrize("content", ["", "{nonsense", "[]"])
def test_damaged_golden_examples_are_refused_in_one_sentence(
    content: str, registry: Registry, version: ModelVersion, client: MlflowClient
) -> None:
    (_folder(client, version) / "extra_files" / "golden.json").write_text(content)

    with pytest.raises(OutsideError, match=r"reviews|MLFLOW_TRACKING_URI"):
        registry.load(version)


def test_missing_files_are_told_in_one_sentence(
    registry: Registry, version: ModelVersion, client: MlflowClient
) -> None:
    (_folder(client, version) / "model.skops").unlink()

    with pytest.raises(OutsideError, match=r"MLFLOW_TRACKING_URI"):
        registry.load(version)


def _shout(texts: Any) -> Any:
    return texts


def test_a_model_that_names_a_foreign_class_is_refused(
    registry: Registry, version: ModelVersion, client: MlflowClient, tmp_path: Path
) -> None:
    dump(Pipeline([("foreign", FunctionTransformer(_shout))]), tmp_path / "foreign.skops")

    changed = _replace_model(client, version, (tmp_path / "foreign.skops").read_bytes())

    with pytest.raises(OutsideError, match=r"Version 1 of 'reviews'.*refused.*_shout"):
        registry.load(changed)


class _Intruder:
    """Unpickling it would leave a file behind."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return Path.touch, (self.proof,)


def test_a_pickle_in_the_place_of_the_model_is_refused_and_not_run(
    registry: Registry, version: ModelVersion, client: MlflowClient, tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    changed = _replace_model(client, version, pickle.dumps(_Intruder(proof)))

    with pytest.raises(OutsideError, match=r"Version 1 of 'reviews'"):
        registry.load(changed)
    assert not proof.exists()


def test_a_version_that_somebody_else_registered_is_refused(
    registry: Registry, version: ModelVersion, client: MlflowClient
) -> None:
    source = client.get_model_version("reviews", "1").source
    client.create_model_version("reviews", source)
    client.set_registered_model_alias("reviews", "production", "2")
    foreign = registry.production("reviews")
    assert foreign is not None

    said = r"Version 2 of 'reviews'.*not registered by `perennial retrain`"
    with pytest.raises(OutsideError, match=said):
        registry.load(foreign)


def test_a_model_whose_golden_examples_are_wrong_never_becomes_a_version(
    registry: Registry, model: Pipeline, golden: Golden, client: MlflowClient
) -> None:
    wrong = golden.model_copy(update={"probabilities": ((0.5, 0.5),) * len(golden.inputs)})

    with registry.run("reviews", "r") as run_id, pytest.raises(OutsideError, match=r"golden"):
        registry.register("reviews", run_id, model, wrong, tags={})

    assert list(client.search_model_versions("name='reviews'")) == []


def test_without_a_version_no_alias_names_one(registry: Registry, version: ModelVersion) -> None:
    assert registry.production("reviews") is None
    assert registry.production("unheard-of") is None


def test_a_promotion_moves_production_and_keeps_the_one_before_as_previous(
    registry: Registry, versions: Callable[[int], ModelVersion]
) -> None:
    registry.promote(versions(1), expected=None)
    after_first = registry.production("reviews"), registry.alias("reviews", "previous")
    registry.promote(versions(2), expected=versions(1))
    registry.promote(versions(3), expected=versions(2))

    assert (after_first[0] and after_first[0].version, after_first[1]) == (1, None)
    production, previous = registry.production("reviews"), registry.alias("reviews", "previous")
    assert production is not None
    assert previous is not None
    assert (production.version, previous.version) == (3, 2)


@pytest.mark.parametrize("expected", [None, 2])
def test_a_promotion_after_a_comparison_with_another_version_moves_nothing(
    expected: int | None, registry: Registry, versions: Callable[[int], ModelVersion]
) -> None:
    registry.promote(versions(1), expected=None)

    with pytest.raises(StaleComparisonError):
        registry.promote(versions(3), expected=versions(expected) if expected else None)

    production = registry.production("reviews")
    assert production is not None
    assert production.version == 1
    assert registry.alias("reviews", "previous") is None


@pytest.mark.parametrize("alias_that_fails", ["previous", "production"])
def test_a_promotion_that_ends_half_way_leaves_production_on_a_version_that_loads(
    alias_that_fails: str,
    registry: Registry,
    versions: Callable[[int], ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.promote(versions(1), expected=None)
    set_alias = MlflowClient.set_registered_model_alias

    def end(self: MlflowClient, name: str, alias: str, version: str) -> None:
        if alias == alias_that_fails:
            raise KeyboardInterrupt
        set_alias(self, name, alias, version)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", end)
    with pytest.raises(KeyboardInterrupt):
        registry.promote(versions(2), expected=versions(1))
    monkeypatch.undo()

    production = registry.production("reviews")
    assert production is not None
    assert production.version == 1
    assert registry.load(production) is not None


def test_a_run_is_marked_by_how_it_ended(registry: Registry, client: MlflowClient) -> None:
    with pytest.raises(ZeroDivisionError), registry.run("reviews", "r") as failed:
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), registry.run("reviews", "r") as cancelled:
        raise KeyboardInterrupt
    with registry.run("reviews", "r") as finished:
        pass

    assert client.get_run(failed).info.status == "FAILED"
    assert client.get_run(cancelled).info.status == "KILLED"
    assert client.get_run(finished).info.status == "FINISHED"


def test_a_failure_is_told_even_when_mlflow_has_gone_away_with_it(
    registry: Registry, machine: Settings
) -> None:
    def fail() -> None:
        with registry.run("reviews", "r"):
            (machine.data_dir / "mlflow" / "mlflow.db").write_bytes(b"no database " * 1000)
            raise OutsideError("the cause")

    with pytest.raises(OutsideError, match=r"the cause"):
        fail()


def test_only_a_finished_run_with_all_tags_counts_as_finished(registry: Registry) -> None:
    tags = {"kind": "retrain", "snapshot_digest": "a"}
    before = registry.has_finished("reviews", tags)
    with pytest.raises(ZeroDivisionError), registry.run("reviews", "r", tags=tags):
        raise ZeroDivisionError
    failed = registry.has_finished("reviews", tags)
    with registry.run("reviews", "r", tags=tags):
        running = registry.has_finished("reviews", tags)

    assert (before, failed, running) == (False, False, False)
    assert registry.has_finished("reviews", tags)
    assert not registry.has_finished("reviews", tags | {"snapshot_digest": "b"})


def test_the_artifacts_are_in_the_data_folder(version: ModelVersion, client: MlflowClient) -> None:
    assert (_folder(client, version) / "MLmodel").is_file()
    assert download_artifacts(f"models:/reviews/{version.version}/MLmodel")


def test_candidates_that_finish_together_all_record_their_snapshot(
    registry: Registry, client: MlflowClient
) -> None:
    snapshots = [Snapshot("reviews", n, f"digest-{n}", 1, "/nowhere") for n in range(10)]
    with ExitStack() as runs, ThreadPoolExecutor(4) as threads:
        run_ids = [runs.enter_context(registry.run("reviews", f"r{n}")) for n in range(4)]
        together = threading.Barrier(4)

        def record(run_id: str) -> None:
            for snapshot in snapshots:
                together.wait(timeout=60)
                registry.log_snapshot(run_id, snapshot)

        failures = [future.exception() for future in [threads.submit(record, r) for r in run_ids]]

    assert [failure for failure in failures if isinstance(failure, OutsideError)] == []
    for run_id in run_ids:
        assert len(client.get_run(run_id).inputs.dataset_inputs) == len(snapshots)


def test_an_mlflow_that_does_not_answer_is_named_within_the_retries(
    machine: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    get_settings.cache_clear()

    with pytest.raises(UnavailableError, match=r"MLFLOW_TRACKING_URI") as failure:
        open_registry(get_settings())

    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("uri", ["nonsense://host", "sqlite:////proc/no/such/folder/mlflow.db"])
def test_an_address_that_is_none_is_named(
    uri: str, machine: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    get_settings.cache_clear()

    with pytest.raises(OutsideError, match=r"MLFLOW_TRACKING_URI"):
        open_registry(get_settings())


def test_the_address_of_the_embedded_mlflow_does_not_become_a_setting(
    registry: Registry, machine: Settings
) -> None:
    # A process that this one starts would take it for a server, and keep its files elsewhere.
    get_settings.cache_clear()

    assert get_settings() == machine


def test_half_of_the_dagshub_settings_is_not_enough(
    machine: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSHUB_REPO_NAME", "reviews")
    get_settings.cache_clear()

    with pytest.raises(OutsideError, match=r"DAGSHUB_REPO_OWNER and DAGSHUB_TOKEN"):
        open_registry(get_settings())
