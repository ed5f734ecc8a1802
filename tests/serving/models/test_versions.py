"""Which version answers: the one in Production, at once, and never one that is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from mlflow import MlflowClient

from perennial.registry.model_version import ModelVersion
from perennial.settings import Settings
from serving.models.store import ModelStore
from serving.telemetry.metrics import Metrics
from tests.conftest import forget_mlflow, wait_until
from tests.serving.conftest import metric
from tests.serving.models.asking import Serve, has_looked_again, ready, version_of
from tests.small_models import BAD, GOOD

if TYPE_CHECKING:
    from perennial.registry.client import Registry


def _break(machine: Settings, version: ModelVersion) -> None:
    """Write something else into the stored model of a version, in this test's copy only."""
    client = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    client.set_model_version_tag("reviews", str(version.version), "perennial.sha256", "0" * 64)


def test_without_a_model_the_service_lives_and_becomes_ready_by_itself(
    serve: Serve, versions: list[ModelVersion], promote: Callable[[ModelVersion], None]
) -> None:
    service, client = serve()
    has_looked_again(service)

    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    early = client.post("/classify", json={"inputs": [GOOD]})
    assert (early.status_code, early.json()["error"]["code"]) == (503, "no_model")
    assert int(early.headers["Retry-After"]) >= 1

    promote(versions[0])
    ready(client)
    assert version_of(client) == 1


def test_a_promotion_is_followed_and_the_way_back_is_instant(
    serve: Serve, versions: list[ModelVersion], promote: Callable[[ModelVersion], None]
) -> None:
    promote(versions[0])
    service, client = serve()
    ready(client)
    promote(versions[1])
    wait_until(lambda: version_of(client) == 2, "the promotion is followed")
    in_memory = service.store.served["reviews"].previous
    assert in_memory is not None

    promote(versions[0])
    has_looked_again(service)

    assert version_of(client) == 1
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
    ready(client)
    wait_until(lambda: service.store.served["reviews"].previous, "the way back is in memory")
    before = service.store.served["reviews"]
    registry = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    # What goes is noted as the previous version first; Production moves after that.
    registry.set_registered_model_alias("reviews", "previous", "2")
    has_looked_again(service)

    assert service.store.served["reviews"].production is before.production
    assert service.store.served["reviews"].previous is before.previous


def test_a_refresh_does_not_wait_for_the_next_poll(
    serve: Serve, versions: list[ModelVersion], promote: Callable[[ModelVersion], None]
) -> None:
    from hashlib import sha256

    promote(versions[0])
    token = sha256(b"token").hexdigest()
    _, client = serve(poll_seconds=3600, refresh_token_hash=token)
    ready(client)
    promote(versions[1])

    answer = client.post("/refresh", headers={"Authorization": "Bearer token"})

    assert answer.json() == {"models": {"reviews": 2}}
    assert version_of(client) == 2


def test_a_version_that_is_not_what_was_registered_is_refused_and_the_present_one_stays(
    serve: Serve,
    machine: Settings,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    promote(versions[0])
    service, client = serve()
    ready(client)
    _break(machine, versions[1])
    promote(versions[1])
    wait_until(lambda: metric(client, "perennial_model_swap_failures_total") > 0, "refused")
    has_looked_again(service)

    assert version_of(client) == 1
    assert metric(client, "perennial_model_swap_failures_total", problem="reviews") == 1
    refused = {"problem": "reviews", "alias": "production"}
    assert metric(client, "perennial_model_refused", **refused) == 1
    assert caplog.text.count("SHA-256 differs") == 1

    promote(versions[2])
    wait_until(lambda: version_of(client) == 3, "the next version is followed")
    wait_until(lambda: metric(client, "perennial_model_refused", **refused) == 0, "none is refused")


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
    ready(client)
    promote(versions[1])
    wait_until(lambda: metric(client, "perennial_model_swap_failures_total") > 0, "refused")

    assert version_of(client) == 1


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
    ready(asked)
    has_looked_again(service)

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
    ready(client)
    registry = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    registry.delete_registered_model_alias("reviews", "production")
    has_looked_again(service)

    assert version_of(client) == 1


def test_a_retired_problem_is_answered_no_more_until_it_is_brought_back(
    serve: Serve, machine: Settings, production: ModelVersion, registry: Registry
) -> None:
    service, client = serve()
    ready(client)

    registry.retire("reviews", datetime.now(UTC))
    has_looked_again(service)

    assert client.post("/classify", json={"inputs": [GOOD]}).status_code == 503
    assert metric(client, "perennial_model_info", alias="production", version="1") == 0
    # Nor does a service answer that starts anew and finds it on its disk.
    again, other = serve()
    has_looked_again(again)
    assert other.post("/classify", json={"inputs": [GOOD]}).status_code == 503

    registry.bring_back("reviews")
    has_looked_again(service)
    assert version_of(client) == 1


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
        ready(client)

    assert fetched == [1]


def test_the_canary_answers_its_share_and_the_same_key_gets_the_same_version(
    serve: Serve, production: ModelVersion, versions: list[ModelVersion], registry: Registry
) -> None:
    registry.start_canary(versions[1], share=0.3)
    service, client = serve()
    ready(client)
    wait_until(lambda: service.store.served["reviews"].canary, "the canary is loaded")
    keys = [f"customer-{number}" for number in range(400)]

    first = [version_of(client, **{"X-Request-Key": key}) for key in keys]
    second = [version_of(client, **{"X-Request-Key": key}) for key in keys[:100]]
    without_key = {version_of(client) for _ in range(60)}

    assert first[:100] == second
    assert 0.23 < first.count(2) / len(first) < 0.37
    assert without_key == {1, 2}
    assert metric(client, "perennial_canary_traffic_ratio", mode="answer") == 0.3
    canary = client.get("/models").json()["models"][0]["versions"][-1]
    assert (canary["alias"], canary["version"], canary["share"]) == ("canary", 2, 0.3)

    registry.start_canary(versions[1], share=0.6)
    wait_until(lambda: service.store.served["reviews"].canary.version.share == 0.6, "more")
    third = [version_of(client, **{"X-Request-Key": key}) for key in keys[:100]]
    assert all(later == 2 for before, later in zip(second, third, strict=True) if before == 2)

    registry.stop_canary("reviews")
    wait_until(lambda: service.store.served["reviews"].canary is None, "the canary is gone")
    assert {version_of(client, **{"X-Request-Key": key}) for key in keys[:50]} == {1}


def test_a_shadow_is_seen_by_the_metrics_only(
    serve: Serve, production: ModelVersion, versions: list[ModelVersion], registry: Registry
) -> None:
    registry.start_canary(versions[1], share=1.0, shadow=True)
    service, client = serve()
    ready(client)
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
    ready(client)

    assert {version_of(client) for _ in range(20)} == {1}


def test_a_model_that_is_not_here_may_still_come_until_the_registry_was_asked(
    serve: Serve, production: ModelVersion, machine: Settings
) -> None:
    ready(serve()[1])
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
    ready(client)
    (served,) = service.store.served.values()
    service.store.served = {"another": replace(served, problem="another"), "reviews": served}
    another, other = serve(default_model="gone")
    has_looked_again(another)

    answer = client.post("/classify", json={"inputs": [GOOD]})
    refused = other.post("/classify", json={"inputs": [GOOD]})

    assert answer.json()["model"] == "reviews"
    assert refused.status_code == 404
    assert "SERVING_DEFAULT_MODEL, gone, is not served" in refused.json()["error"]["message"]
