"""Who sends much keeps nobody else waiting: a client is a key, or an address without keys."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count, pairwise
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.testclient import TestClient

from serving.api.app import Service
from serving.api.turns import Turns
from tests.conftest import wait_until
from tests.small_models import GOOD

Serving = Callable[..., tuple[Service, TestClient]]

pytestmark = pytest.mark.usefixtures("production")

REQUESTS = 8
BODY = {"inputs": [GOOD] * 200, "explain": True}


def _order(service: Service, senders: list[tuple[str, str | None]]) -> list[str]:
    """Send a large request for each address and key at once; return the senders as answered."""
    answered: list[str] = []

    async def ask(address: str, key: str | None) -> None:
        transport = ASGITransport(service.app, client=(address, 1))
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with AsyncClient(transport=transport, base_url="http://service") as client:
            answer = await client.post("/classify", json=BODY, headers=headers)
        assert answer.status_code == 200
        answered.append(key or address)

    async def ask_all() -> None:
        await asyncio.gather(*(ask(*sender) for sender in senders))

    asyncio.run(ask_all())
    return answered


def _ready(serve: Serving, **settings: Any) -> Service:
    service, client = serve(inline_characters=200, answer_seconds=60, **settings)
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")
    return service


def test_one_request_of_a_key_is_not_behind_all_those_of_another(serve: Serving) -> None:
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in ("busy", "other")]
    service = _ready(serve, api_key_hashes=hashes)

    # They come from one address, as behind a proxy.
    answered = _order(service, [*[("10.0.0.1", "busy")] * REQUESTS, ("10.0.0.1", "other")])

    assert answered.index("other") < REQUESTS / 2


def test_without_keys_a_client_is_an_address(serve: Serving) -> None:
    service = _ready(serve)

    answered = _order(service, [*[("10.0.0.1", None)] * REQUESTS, ("10.0.0.2", None)])

    assert answered.index("10.0.0.2") < REQUESTS / 2


def test_without_keys_nobody_is_several_clients_by_keys_of_his_own_making(serve: Serving) -> None:
    service = _ready(serve)

    made_up = [("10.0.0.1", f"key {number}") for number in range(REQUESTS)]
    answered = _order(service, [*made_up, ("10.0.0.2", None)])

    assert answered.index("10.0.0.2") < REQUESTS / 2


def test_one_huge_explanation_is_many_turns_and_lets_another_client_pass_after_each(
    serve: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []

    class Noted(Turns):
        """Turns that are written down, and all cost the same."""

        def __init__(self) -> None:
            super().__init__(count().__next__)

        @asynccontextmanager
        async def take(self, client: str) -> AsyncIterator[None]:
            async with super().take(client):
                turns.append(client)
                yield

    monkeypatch.setattr("serving.api.scoring.Turns", Noted)
    service = _ready(serve)

    async def ask(address: str, texts: list[str], times: int) -> None:
        transport = ASGITransport(service.app, client=(address, 1))
        async with AsyncClient(transport=transport, base_url="http://service") as client:
            for _ in range(times):
                body = {"inputs": texts, "explain": True}
                answer = await client.post("/classify", json=body)
                assert answer.status_code == 200

    async def ask_both() -> None:
        huge = " ".join([GOOD] * 1_800)
        await asyncio.gather(ask("huge", [huge], 1), ask("other", [GOOD] * 3, 5))

    asyncio.run(ask_both())
    # 21,600 words, and as many pairs of them.
    assert turns.count("huge") > 30
    others = [place for place, client in enumerate(turns) if client == "other"]
    # One turn is in hand when a request comes, and the one after it may be granted already.
    assert all(second - first <= 3 for first, second in pairwise([-1, *others]))
