"""Which version answers: the one in Production, at once, and never one that is damaged."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow import MlflowClient
from starlette.testclient import TestClient

from perennial.erasure.models import without
from perennial.registry.artifact import read_golden
from perennial.registry.model_version import ModelVersion
from perennial.settings import Settings
from serving.api.app import Service
from serving.models.store import ModelStore
from serving.telemetry.metrics import Metrics
from tests.conftest import forget_mlflow, wait_until
from tests.serving.conftest import metric
from tests.small_models import BAD, GOOD

if TYPE_CHECKING:
    from perennial.registry.client import Registry

Serve = Callable[..., tuple[Service, TestClient]]


def _version(client: TestClient, **headers: str) -> int:
    answer = client.post("/classify", json={"inputs": [GOOD]}, headers=headers)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["predictions"][0]["version"])


def _ready(client: TestClient) -> Any:
    return wait_until(
        lambda: (answer := client.get("/readyz")).status_code == 200 and answer.json(), "ready"
    )


def _has_looked_again(service: Service) -> None:
    """Wait until the watcher has looked at the registry anew."""
    assert service.watcher.refresh(20)


def _break(machine: Settings, version: ModelVersion) -> None:
    """Write something else into the stored model of a version, in this test's copy only."""
    client = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    client.set_model_version_tag("reviews", str(version.version), "perennial.sha256", "0" * 64)


def test_without_a_model_the_service_lives_and_becomes_ready_by_itself(
    serve: Serve, versions: list[ModelVersion], promote: Callable[[ModelVersion], None]
) -> None:
    service, client = serve()
    _has_looked_again(service)

    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    early = client.post("/classify", json={"inputs": [GOOD]})
    assert (early.status_code, early.json()["error"]["code"]) == (503, "no_model")
    assert int(early.headers["Retry-After"]) >= 1

    promote(versions[0])
    _ready(client)
    assert _version(client) == 1


def test_a_promotion_is_followed_and_the_way_back_is_instant(
    serve: Serve, versions: list[ModelVersion], promote: Callable[[ModelVersion], None]
) -> None:
    promote(versions[0])
    service, client = serve()
    _ready(client)
    promote(versions[1])
    wait_until(lambda: _version(client) == 2, "the promotion is followed")
    in_memory = service.store.served["reviews"].previous
    assert in_memory is not None

    promote(versions[0])
    _has_looked_again(service)

    assert _version(client) == 1
    assert service.store.served["reviews"].production.predictor is in_memory.predictor
    assert metric(client, "perennial_model_swaps_total") == 3
    assert metric(client, "perennial_model_info", alias="production", version="1") == 1
    assert metric(client, "perennial_model_info", alias="production", version="2") == 0


def test_a_look_between_the_two_steps_of_a_promotion_forgets_no_way_back(
    serve: Serve,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
    machine: Settings,
) -> None:
    promote(versions[0])
    promote(versions[1])
    service, client = serve()
    _ready(client)
    wait_until(lambda: service.store.served["reviews"].previous, "the way back is in memory")
    before = service.store.served["reviews"]
    registry = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    # What goes is noted as the previous version first; Production moves after that.
    registry.set_registered_model_alias("reviews", "previous", "2")
    _has_looked_again(service)

    assert service.store.served["reviews"].production is before.production
    assert service.store.served["reviews"].previous is before.previous


def test_a_refresh_does_not_wait_for_the_next_poll(
    serve: Serve, versions: list[ModelVersion], promote: Callable[[ModelVersion], None]
) -> None:
    from hashlib import sha256

    promote(versions[0])
    token = sha256(b"token").hexdigest()
    _, client = serve(poll_seconds=3600, refresh_token_hash=token)
    _ready(client)
    promote(versions[1])

    answer = client.post("/refresh", headers={"Authorization": "Bearer token"})

    assert answer.json() == {"models": {"reviews": 2}}
    assert _version(client) == 2


def test_a_version_that_is_not_what_was_registered_is_refused_and_the_present_one_stays(
    serve: Serve,
    machine: Settings,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    promote(versions[0])
    service, client = serve()
    _ready(client)
    _break(machine, versions[1])
    promote(versions[1])
    wait_until(lambda: metric(client, "perennial_model_swap_failures_total") > 0, "refused")
    _has_looked_again(service)

    assert _version(client) == 1
    assert metric(client, "perennial_model_swap_failures_total", problem="reviews") == 1
    assert caplog.text.count("SHA-256 differs") == 1

    promote(versions[2])
    wait_until(lambda: _version(client) == 3, "the next version is followed")


def test_a_version_that_fails_its_golden_examples_is_refused(
    serve: Serve,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from perennial.registry.client import Registry

    fetch = Registry.fetch

    def with_other_examples(self: Registry, version: ModelVersion) -> Any:
        from dataclasses import replace

        file = fetch(self, version)
        swapped = file.golden.probabilities[::-1]
        wrong = file.golden.model_copy(update={"probabilities": swapped})
        return replace(file, golden=wrong) if version.version == 2 else file

    monkeypatch.setattr(Registry, "fetch", with_other_examples)
    promote(versions[0])
    _, client = serve()
    _ready(client)
    promote(versions[1])
    wait_until(lambda: metric(client, "perennial_model_swap_failures_total") > 0, "refused")

    assert _version(client) == 1


def test_while_the_registry_is_away_the_last_good_version_starts_from_the_cache(
    serve: Serve, machine: Settings, production: ModelVersion
) -> None:
    first, client = serve()
    assert _ready(client)["models"][0]["origin"] == "registry"
    _has_looked_again(first)
    first.end()
    _take_registry_away(machine)

    _, client = serve()
    _ready(client)
    state = wait_until(
        lambda: (s := client.get("/readyz").json())["registry"] == "away" and s, "away"
    )

    assert state["models"] == [{"model": "reviews", "version": 1, "origin": "cache"}]
    assert _version(client) == 1
    assert metric(client, "perennial_registry_up") == 0


def test_a_machine_without_a_file_left_is_said_in_one_sentence_and_answers_go_on(
    serve: Serve,
    production: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service, client = serve()
    _ready(client)

    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files", "/somewhere")

    with monkeypatch.context() as scarce:
        scarce.setattr(service.store, "update", fail)
        _has_looked_again(service)
        _has_looked_again(service)
        assert _version(client) == 1
        assert metric(client, "perennial_registry_up") == 0
    _has_looked_again(service)

    assert metric(client, "perennial_registry_up") == 1
    (said,) = (each for each in caplog.messages if "Too many open files" in each)
    assert said.startswith("The registry cannot be asked from this machine: Too many open files.")
    assert "Traceback" not in caplog.text


def test_a_damaged_cache_is_never_served_and_is_fetched_anew(
    serve: Serve, machine: Settings, production: ModelVersion
) -> None:
    first, client = serve()
    _ready(client)
    _has_looked_again(first)
    first.end()
    (stored,) = (machine.data_dir / "serving" / "models").glob("*/*/model.skops")
    sound = stored.read_bytes()
    stored.write_bytes(sound[:-1])

    second, client = serve()
    assert _ready(client)["models"][0]["origin"] == "registry"
    _has_looked_again(second)

    assert stored.read_bytes() == sound


def test_a_damaged_cache_without_the_registry_is_no_model(
    serve: Serve, machine: Settings, production: ModelVersion
) -> None:
    first, client = serve()
    _ready(client)
    _has_looked_again(first)
    first.end()
    for file in (machine.data_dir / "serving" / "models").glob("*/*/model.skops"):
        file.write_bytes(b"damaged")
    _take_registry_away(machine)

    _, client = serve()
    wait_until(lambda: client.get("/readyz").json()["registry"] == "away", "away")

    assert client.get("/readyz").status_code == 503


def _take_registry_away(machine: Settings) -> None:
    forget_mlflow()
    folder = machine.data_dir / "mlflow"
    shutil.rmtree(folder)
    # A file in its place: MLflow can neither open nor create its database.
    folder.write_text("")


def _damage_golden(folder: Path) -> None:
    golden = folder / "golden.json"
    content = json.loads(golden.read_text())
    content["probabilities"] = [row[::-1] for row in content["probabilities"]]
    golden.write_text(json.dumps(content))


def _put_a_file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def _link_it_elsewhere(folder: Path) -> None:
    moved = folder.with_name("elsewhere")
    folder.rename(moved)
    (moved / "model.skops").unlink()
    folder.symlink_to(moved)


@pytest.mark.parametrize(
    "damage",
    [
        _damage_golden,
        lambda folder: (folder / "golden.json").write_text("{"),
        lambda folder: (folder / "model.skops").unlink(),
        _put_a_file_in_its_place,
        _link_it_elsewhere,
        lambda folder: (folder.parent / "aliases.json").write_text("[]"),
    ],
    ids=["other golden", "no json", "no model", "a file", "a link", "other state"],
)
def test_whatever_is_damaged_on_disk_is_fetched_anew_before_a_version_is_refused(
    serve: Serve, machine: Settings, production: ModelVersion, damage: Callable[[Path], Any]
) -> None:
    first, client = serve()
    _ready(client)
    _has_looked_again(first)
    first.end()
    (folder,) = (machine.data_dir / "serving" / "models" / "reviews").glob("1-*")
    damage(folder)

    second, client = serve()
    _ready(client)
    _has_looked_again(second)

    assert _version(client) == 1
    assert metric(client, "perennial_model_cache_up") == 1
    assert json.loads((folder / "golden.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["golden.json", "model.skops"]


def test_without_a_disk_models_are_served_from_memory_and_it_is_said(
    serve: Serve, machine: Settings, production: ModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    folder = machine.data_dir / "serving" / "models"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")

    service, client = serve()
    _ready(client)
    _has_looked_again(service)

    assert _version(client) == 1
    assert metric(client, "perennial_registry_up") == 1
    assert metric(client, "perennial_model_cache_up") == 0
    said = [each for each in caplog.messages if "cannot be kept on disk" in each]
    assert len(said) == 1
    folder.unlink()
    _has_looked_again(service)
    assert metric(client, "perennial_model_cache_up") == 1
    assert len(list(folder.glob("reviews/1-*/model.skops"))) == 1


def test_an_alias_that_names_no_version_stops_neither_production_nor_the_next_problem(
    serve: Serve,
    registry: Registry,
    machine: Settings,
    production: ModelVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = machine.data_dir / "mlflow" / "mlflow.db"
    # The first of the problems in the order of the alphabet.
    MlflowClient(f"sqlite:///{database}").create_registered_model("adverts")
    with closing(sqlite3.connect(database)) as opened, opened:
        # As what removes versions behind MLflow's back leaves them.
        opened.executemany(
            "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, ?, ?)",
            [("adverts", "production", 7), ("reviews", "canary", 9)],
        )

    service, asked = serve()
    _ready(asked)
    _has_looked_again(service)

    assert asked.post("/classify", json={"model": "reviews", "inputs": [GOOD]}).status_code == 200
    assert metric(asked, "perennial_registry_up") == 1
    for name, alias in (("adverts", "production 7"), ("reviews", "canary 9")):
        said = [each for each in caplog.messages if each.startswith(f"'{name}' is answered as")]
        assert len(said) == 1
        assert alias in said[0]


def test_an_alias_that_vanishes_does_not_stop_the_service(
    serve: Serve, machine: Settings, production: ModelVersion
) -> None:
    service, client = serve()
    _ready(client)
    registry = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    registry.delete_registered_model_alias("reviews", "production")
    _has_looked_again(service)

    assert _version(client) == 1


def test_a_retired_problem_is_answered_no_more_until_it_is_brought_back(
    serve: Serve, machine: Settings, production: ModelVersion, registry: Registry
) -> None:
    service, client = serve()
    _ready(client)

    registry.retire("reviews", datetime.now(UTC))
    _has_looked_again(service)

    assert client.post("/classify", json={"inputs": [GOOD]}).status_code == 503
    assert metric(client, "perennial_model_info", alias="production", version="1") == 0
    # Nor does a service answer that starts anew and finds it on its disk.
    again, other = serve()
    _has_looked_again(again)
    assert other.post("/classify", json={"inputs": [GOOD]}).status_code == 503

    registry.bring_back("reviews")
    _has_looked_again(service)
    assert _version(client) == 1


def test_workers_of_one_machine_fetch_a_version_once(
    serve: Serve, production: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perennial.registry.client import Registry

    fetched: list[int] = []
    fetch = Registry.fetch

    def counted(self: Registry, version: ModelVersion) -> Any:
        fetched.append(version.version)
        return fetch(self, version)

    monkeypatch.setattr(Registry, "fetch", counted)

    for _, client in [serve() for _ in range(3)]:
        _ready(client)

    assert fetched == [1]


def test_the_canary_answers_its_share_and_the_same_key_gets_the_same_version(
    serve: Serve, production: ModelVersion, versions: list[ModelVersion], registry: Registry
) -> None:
    registry.start_canary(versions[1], share=0.3)
    service, client = serve()
    _ready(client)
    wait_until(lambda: service.store.served["reviews"].canary, "the canary is loaded")
    keys = [f"customer-{number}" for number in range(400)]

    first = [_version(client, **{"X-Request-Key": key}) for key in keys]
    second = [_version(client, **{"X-Request-Key": key}) for key in keys[:100]]
    without_key = {_version(client) for _ in range(60)}

    assert first[:100] == second
    assert 0.23 < first.count(2) / len(first) < 0.37
    assert without_key == {1, 2}
    assert metric(client, "perennial_canary_traffic_ratio", mode="answer") == 0.3
    canary = client.get("/models").json()["models"][0]["versions"][-1]
    assert (canary["alias"], canary["version"], canary["share"]) == ("canary", 2, 0.3)

    registry.start_canary(versions[1], share=0.6)
    wait_until(lambda: service.store.served["reviews"].canary.version.share == 0.6, "more")
    third = [_version(client, **{"X-Request-Key": key}) for key in keys[:100]]
    assert all(later == 2 for before, later in zip(second, third, strict=True) if before == 2)

    registry.stop_canary("reviews")
    wait_until(lambda: service.store.served["reviews"].canary is None, "the canary is gone")
    assert {_version(client, **{"X-Request-Key": key}) for key in keys[:50]} == {1}


def test_a_shadow_is_seen_by_the_metrics_only(
    serve: Serve, production: ModelVersion, versions: list[ModelVersion], registry: Registry
) -> None:
    registry.start_canary(versions[1], share=1.0, shadow=True)
    service, client = serve()
    _ready(client)
    wait_until(lambda: service.store.served["reviews"].canary, "the shadow is loaded")

    with client:
        answers = [client.post("/classify", json={"inputs": [GOOD, BAD]}) for _ in range(5)]
        seen = wait_until(
            lambda: metric(client, "perennial_shadow_predictions_total", version="2") == 10, "seen"
        )

    assert seen
    assert {p["version"] for a in answers for p in a.json()["predictions"]} == {1}
    assert metric(client, "model_prediction_count_total", version="2") == 0


@pytest.mark.parametrize("share", ["a lot", "", "nan", "-1"])
def test_a_canary_with_a_senseless_share_answers_nothing(
    serve: Serve,
    machine: Settings,
    production: ModelVersion,
    versions: list[ModelVersion],
    registry: Registry,
    share: str,
) -> None:
    registry.start_canary(versions[1], share=1.0)
    client = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    client.set_model_version_tag("reviews", "2", "perennial.canary.share", share)
    _, client = serve()
    _ready(client)

    assert {_version(client) for _ in range(20)} == {1}


def test_old_versions_leave_the_disk(
    serve: Serve,
    machine: Settings,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.models.cache._KEPT_ON_DISK", 0)
    service, _ = serve()
    for version in versions:
        promote(version)
        wait_until(lambda: service.store.served.get("reviews"), "served")
        _has_looked_again(service)
        _has_looked_again(service)

    folders = (machine.data_dir / "serving" / "models" / "reviews").glob("*-*/")
    assert sorted(folder.name.split("-")[0] for folder in folders) == ["2", "3"]


def test_after_an_erasure_golden_examples_are_fetched_anew_and_other_versions_are_forgotten(
    serve: Serve,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
    registry: Registry,
    machine: Settings,
) -> None:
    for version in versions:
        promote(version)
        service, client = serve()
        _ready(client)
        _has_looked_again(service)
    folder = machine.data_dir / "serving" / "models" / "reviews"
    file = registry.fetch(versions[2])
    assert file.golden.inputs[0] in next(folder.glob("3-*/golden.json")).read_text()
    assert list(folder.glob("1-*"))

    left = without(file.golden, lambda value: value == file.golden.inputs[0])
    assert left is not None
    registry.replace_golden(str(versions[2].model_id), left)
    assert registry.fetch(versions[2]).golden == left
    registry.note_erasure("reviews", datetime.now(UTC))
    wait_until((folder / "erasure").exists, "the erasure is noted on the disk")

    assert _version(client) == 3
    assert read_golden(next(folder.glob("3-*/golden.json")), "it") == left
    assert sorted(path.name[:2] for path in folder.iterdir() if path.is_dir()) == ["2-", "3-"]
    registry.load(versions[2])


def test_a_model_that_is_not_here_may_still_come_until_the_registry_was_asked(
    serve: Serve, production: ModelVersion, machine: Settings
) -> None:
    _ready(serve()[1])
    forget_mlflow()

    store = ModelStore(machine.data_dir / "serving" / "models", Metrics())
    nothing = [store.knows(name) for name in (None, "reviews")]
    store.restore()
    restored = [store.knows(name) for name in (None, "reviews", "other")]
    store.note_look()

    assert nothing == [False, False]
    assert restored == [True, True, False]
    assert store.knows("other")


def test_the_default_model_answers_what_names_none_however_many_there_are(
    serve: Serve, production: ModelVersion
) -> None:
    service, client = serve(default_model="reviews")
    _ready(client)
    (served,) = service.store.served.values()
    service.store.served = {"another": replace(served, problem="another"), "reviews": served}
    another, other = serve(default_model="gone")
    _has_looked_again(another)

    answer = client.post("/classify", json={"inputs": [GOOD]})
    refused = other.post("/classify", json={"inputs": [GOOD]})

    assert answer.json()["model"] == "reviews"
    assert refused.status_code == 404
    assert "SERVING_DEFAULT_MODEL, gone, is not served" in refused.json()["error"]["message"]
