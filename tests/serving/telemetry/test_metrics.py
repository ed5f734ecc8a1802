"""Counters: what is known beforehand stands at zero, so that no first event is missed."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from perennial.prometheus import SERVICE
from perennial.registry.model_version import ModelVersion
from perennial.settings import Settings
from serving.api.app import Service
from serving.telemetry.metrics import Metrics
from tests.conftest import wait_until
from tests.small_models import BAD, GOOD

_Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _counted(client: Any) -> _Series:
    """Every series that only grows, and its value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if family.type in {"counter", "histogram"} and not sample.name.endswith("_created")
    }


def _value(series: _Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


def test_the_service_exports_the_metrics_of_the_table_and_no_others() -> None:
    found = {
        family.name: (family.type, family.documentation) for family in Metrics().registry.collect()
    }

    assert found == {name: (family.type, family.help) for name, family in SERVICE.items()}


@pytest.mark.parametrize(
    ("route", "method", "statuses"),
    [
        ("/classify", "POST", (200, 400, 401, 403, 404, 408, 413, 415, 422, 429, 499, 500, 503)),
        ("/classify", "GET", (405,)),
        (
            "/feedback",
            "POST",
            (202, 400, 401, 403, 404, 408, 410, 413, 415, 422, 429, 499, 500, 503),
        ),
        ("/refresh", "POST", (200, 401, 403, 429, 500)),
        ("/metrics", "GET", (200, 401, 403, 500)),
        ("/readyz", "GET", (200, 500, 503)),
        ("/livez", "HEAD", (200, 500)),
        ("/static/*", "GET", (200, 304, 404, 500)),
        ("/metrics", "DELETE", (405,)),
        ("other", "other", (404,)),
    ],
)
def test_requests_are_counted_from_zero_before_there_is_any(
    serve: Callable[..., tuple[Service, TestClient]],
    route: str,
    method: str,
    statuses: tuple[int, ...],
) -> None:
    _, client = serve()

    series = _counted(client)

    for status in statuses:
        labels = {"route": route, "method": method, "status": str(status)}
        assert _value(series, "app_request_count_total", **labels) == 0
    assert _value(series, "app_request_latency_seconds_count", route=route) == 0


def test_losses_of_the_log_are_counted_from_zero(
    serve: Callable[..., tuple[Service, TestClient]],
) -> None:
    _, client = serve()

    series = _counted(client)

    for kind, reason in (
        ("prediction", "queue_full"),
        ("prediction", "over_rate"),
        ("prediction", "not_storable"),
        ("prediction", "refused"),
        ("prediction", "shutdown"),
        ("feedback", "queue_full"),
        ("feedback", "unknown_prediction"),
        ("feedback", "refused"),
        ("feedback", "no_problem_file"),
        ("feedback", "unknown_label"),
        ("feedback", "text_not_kept"),
        ("failure", "queue_full"),
        ("failure", "refused"),
        ("failure", "shutdown"),
    ):
        assert _value(series, "perennial_log_dropped_entries_total", kind=kind, reason=reason) == 0


def test_swaps_of_a_problem_are_counted_from_zero_before_it_has_a_model(
    machine: Settings, serve: Callable[..., tuple[Service, TestClient]]
) -> None:
    (machine.problems_dir / "coming.yaml").touch()
    _, client = serve()

    series = _counted(client)

    assert _value(series, "perennial_model_swaps_total", problem="coming") == 0
    assert _value(series, "perennial_model_swap_failures_total", problem="coming") == 0
    for outcome in ("answered", "failed"):
        labels = {"problem": "coming", "outcome": outcome}
        assert _value(series, "perennial_problem_requests_total", **labels) == 0


def test_predictions_and_feedback_of_each_version_are_counted_from_zero_when_it_is_loaded(
    client: TestClient,
    production: ModelVersion,
    promote: Callable[[ModelVersion], None],
    versions: list[ModelVersion],
) -> None:
    promote(versions[1])

    def announced() -> bool:
        classes = ({"class": name} for name in ("negative", "positive"))
        of = {"problem": "reviews", "version": str(versions[1].version)}
        series = _counted(client)
        return all(
            _value(series, "model_prediction_count_total", **of, **each) == 0 for each in classes
        ) and all(
            _value(series, "perennial_feedback_total", **of, agreement=each) == 0
            for each in ("agree", "disagree")
        )

    wait_until(announced, "the new version is counted from zero")
    assert _value(_counted(client), "perennial_input_characters_count", problem="reviews") == 0


def test_a_shadow_is_counted_from_zero(
    client: TestClient, registry: Any, versions: list[ModelVersion]
) -> None:
    registry.start_canary(versions[1], share=1.0, shadow=True)

    def announced() -> bool:
        of = {"problem": "reviews", "version": str(versions[1].version)}
        return all(
            _value(_counted(client), "perennial_shadow_predictions_total", **of, agreement=each)
            == 0
            for each in ("agree", "disagree", "failed")
        )

    wait_until(announced, "the shadow is counted from zero")


def test_no_request_brings_a_series_that_was_not_there_before(client: TestClient) -> None:
    before = _counted(client).keys()

    paths = ["/classify", "/feedback", "/refresh", "/models", "/livez", "/readyz", "/openapi.json"]
    paths += ["/docs", "/", "/static/page.js", "/static/none", "/metrics", "/none", "/classify/"]
    for path in paths:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
            client.request(method, path)
    etag = client.get("/docs").headers["ETag"]
    not_modified = client.get("/docs", headers={"If-None-Match": etag})
    assert not_modified.status_code == HTTPStatus.NOT_MODIFIED
    json = {"Content-Type": "application/json"}
    for body in (b"", b"{", b'{"inputs": 3}', b'{"model": "none", "inputs": ["a"]}', b"1" * 11_000):
        for path in ("/classify", "/feedback"):
            client.post(path, content=body, headers=json)
    (first, _) = client.post("/classify", json={"inputs": [GOOD, BAD]}).json()["predictions"]
    told = {"prediction_id": first["prediction_id"], "label": first["label"]}
    assert client.post("/feedback", json=told).status_code == HTTPStatus.ACCEPTED

    assert _counted(client).keys() == before


def test_a_machine_without_a_folder_of_problems_is_served(
    machine: Settings, tmp_path: Path, serve: Callable[..., tuple[Service, TestClient]]
) -> None:
    _, client = serve(machine.model_copy(update={"problems_dir": tmp_path / "none"}))

    assert client.get("/livez").status_code == HTTPStatus.OK
