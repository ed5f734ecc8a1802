"""Who may ask, how much at once, and what never gets out."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from perennial.registry.model_version import ModelVersion
from serving.api.app import Service
from tests.conftest import wait_until
from tests.serving.conftest import metric
from tests.small_models import GOOD

JSON = {"Content-Type": "application/json"}
PATHS = ("/classify", "/feedback", "/refresh")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("path", PATHS)
def test_with_keys_set_only_requests_with_one_of_them_are_heard(
    serve: Callable[..., tuple[Service, TestClient]], path: str
) -> None:
    _, client = serve(api_key_hashes=(_digest("old"), _digest("new")))

    assert client.post(path, content=b"", headers=JSON).status_code == 401
    for wrong in (_bearer("odl"), {"X-API-Key": ""}, {"Authorization": "Basic old"}):
        refused = client.post(path, content=b"", headers=JSON | wrong)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    for right in (_bearer("old"), {"authorization": "bearer new"}, {"X-API-Key": "new"}):
        assert client.post(path, content=b"", headers=JSON | right).status_code != 401


def test_the_page_the_models_and_the_probes_need_no_key(
    serve: Callable[..., tuple[Service, TestClient]],
) -> None:
    _, client = serve(api_key_hashes=(_digest("key"),))

    for path in ("/models", "/livez", "/docs", "/openapi.json", "/metrics"):
        assert client.get(path).status_code == 200


def test_a_refresh_needs_its_own_token_when_there_is_one(
    serve: Callable[..., tuple[Service, TestClient]],
) -> None:
    _, client = serve(api_key_hashes=(_digest("key"),), refresh_token_hash=_digest("token"))

    assert client.post("/refresh", headers={"X-API-Key": "key"}).status_code == 401
    assert client.post("/refresh", headers={"X-API-Key": "token"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/classify", "classify"),
        ("POST", "/feedback", "feedback"),
        ("POST", "/refresh", "refresh"),
        ("GET", "/metrics", "metrics"),
    ],
)
def test_a_key_may_do_what_its_scopes_name_and_one_without_scopes_everything(
    serve: Callable[..., tuple[Service, TestClient]], method: str, path: str, scope: str
) -> None:
    scopes = ("classify", "feedback", "refresh", "metrics")
    others = "+".join(each for each in scopes if each != scope)
    entries = (f"{_digest('one')}:{scope}", f"{_digest('others')}:{others}", _digest("all"))
    _, client = serve(api_key_hashes=entries)

    def status(key: str) -> Any:
        return client.request(method, path, content=b"", headers=JSON | _bearer(key))

    assert status("none").status_code == 401
    for key in ("one", "all"):
        assert status(key).status_code not in {401, 403}
    refused = status("others")
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "scope_missing"
    assert f"lacks the scope {scope}." in refused.json()["error"]["message"]


@pytest.mark.usefixtures("production")
def test_a_key_of_another_problem_is_refused_by_every_door_and_sees_no_values(
    serve: Callable[..., tuple[Service, TestClient]],
) -> None:
    scopes = "classify+feedback"
    entries = (f"{_digest('own')}:{scopes}@iris+reviews", f"{_digest('other')}:{scopes}@iris")
    service, client = serve(api_key_hashes=entries)
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")
    prediction = service.log.signing.issue("reviews", 1, 1, logged=True)[0]
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [GOOD]}
    doors: dict[str, Any] = {
        "/classify": {"inputs": [GOOD]},
        "/v1/classify": {"model": "reviews", "inputs": [GOOD]},
        "/invocations": {"inputs": [GOOD]},
        "/v2/models/reviews/infer": {"inputs": [tensor]},
        "/v2/models/reviews/versions/1/infer": {"inputs": [tensor]},
        "/feedback": {"prediction_id": prediction, "label": "positive"},
    }

    for door, body in doors.items():
        refused = client.post(door, json=body, headers=_bearer("other"))
        assert refused.status_code == 403, door
        assert "may not use the model reviews" in refused.text
        assert "iris" not in refused.text
        # The log may not have it yet.
        assert client.post(door, json=body, headers=_bearer("own")).status_code != 403, door


def test_a_key_with_the_scope_may_refresh_beside_the_token_and_one_without_scopes_may_not(
    serve: Callable[..., tuple[Service, TestClient]],
) -> None:
    entries = (f"{_digest('scoped')}:refresh", _digest("all"), f"{_digest('other')}:classify")
    _, client = serve(api_key_hashes=entries, refresh_token_hash=_digest("token"))

    found = {
        key: client.post("/refresh", headers={"X-API-Key": key}).status_code
        for key in ("scoped", "token", "all", "other")
    }

    assert found == {"scoped": 200, "token": 200, "all": 401, "other": 403}
    # The token is no API key.
    assert client.post("/classify", headers=JSON | _bearer("token")).status_code == 401


def test_the_metrics_are_open_until_a_key_is_meant_for_them(
    serve: Callable[..., tuple[Service, TestClient]],
) -> None:
    _, client = serve(api_key_hashes=(f"{_digest('key')}:classify+feedback", _digest("all")))

    assert client.get("/metrics").status_code == 200


def test_without_any_token_nobody_can_refresh(
    serve: Callable[..., tuple[Service, TestClient]],
) -> None:
    _, client = serve()

    refused = client.post("/refresh", headers={"X-API-Key": "anything"})

    assert refused.status_code == 401
    assert "SERVING_REFRESH_TOKEN_HASH" in refused.json()["error"]["message"]


async def _slowly(parts: list[bytes], forever: asyncio.Event) -> Any:
    for part in parts:
        yield part
    await forever.wait()


def _ask(service: Service, requests: Callable[[httpx.AsyncClient], Any]) -> Any:
    async def run() -> Any:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await requests(client)

    return asyncio.run(run())


def test_a_body_that_does_not_come_is_not_waited_for(
    serve: Callable[..., tuple[Service, TestClient]],
) -> None:
    service, _ = serve(body_seconds=0.1)

    async def requests(client: httpx.AsyncClient) -> Any:
        body = _slowly([b'{"inputs"'], asyncio.Event())
        return await client.post("/classify", content=body, headers=JSON)

    answer = _ask(service, requests)

    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "too_slow")


def test_more_requests_than_a_worker_takes_are_told_to_come_again(
    serve: Callable[..., tuple[Service, TestClient]], production: ModelVersion
) -> None:
    service, client = serve(max_concurrency=2)
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")

    async def requests(client: httpx.AsyncClient) -> Any:
        forever = asyncio.Event()
        held = [
            asyncio.create_task(
                client.post("/classify", content=_slowly([b"{"], forever), headers=JSON)
            )
            for _ in range(2)
        ]
        await asyncio.sleep(0)
        while _free(service) > 0:
            await asyncio.sleep(0.001)
        refused = await client.post("/classify", json={"inputs": [GOOD]})
        alive = await client.get("/livez")
        forever.set()
        await asyncio.gather(*held)
        again = await client.post("/classify", json={"inputs": [GOOD]})
        return refused, alive, again

    refused, alive, again = _ask(service, requests)

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert alive.status_code == 200
    assert again.status_code == 200


def _free(service: Service) -> int:
    return service.app._free  # type: ignore[attr-defined]


def test_a_client_that_goes_away_is_counted_and_nothing_else(
    serve: Callable[..., tuple[Service, TestClient]],
) -> None:
    service, client = serve()

    async def run() -> None:
        messages = [
            {"type": "http.request", "body": b"{", "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            pass

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/classify", "headers": headers}
        await service.app(scope, receive, send)

    asyncio.run(run())

    assert metric(client, "app_request_count_total", status="499") == 1


def test_a_failure_of_the_service_is_an_answer_and_its_log_has_no_text(
    serve: Callable[..., tuple[Service, TestClient]],
    production: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service, client = serve()
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
    predictor = service.store.served["reviews"].production.predictor

    def fail(texts: list[str]) -> Any:
        raise ValueError(f"cannot score {texts[0]}")

    monkeypatch.setattr(predictor, "assess", fail)

    with caplog.at_level(logging.INFO):
        answer = client.post("/classify", json={"inputs": ["my secret"]})

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text + answer.text
    assert metric(client, "app_request_count_total", status="500") == 1


def test_no_text_and_no_key_gets_into_the_logs(
    serve: Callable[..., tuple[Service, TestClient]],
    production: ModelVersion,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG, "serving"):
        _, client = serve(api_key_hashes=(_digest("my key"),))
        wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
        for body in ('{"inputs": ["my secret"]}', '{"inputs": ["my secret', '{"my secret": 1}'):
            for key in ("my key", "my kye"):
                client.post("/classify", content=body, headers=JSON | {"X-API-Key": key})

    written = caplog.text + "".join(capfd.readouterr())
    assert "secret" not in written
    assert "my k" not in written
