"""Bad requests: a list of what clients get wrong, mutations of it, and what schemathesis makes."""

from __future__ import annotations

import http.client
import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.openapi import from_url

JSON = "application/json"
MEGABYTE = 1_000_000
PATHS = ("/classify", "/feedback", "/refresh")
SERVER_ERROR = 500
_TIMEOUT_SECONDS = 30
# Bodies of megabytes are few among thousands of small ones.
_LARGE_EVERY = 250
_TRUNCATED_EVERY = 50


def send_bad(url: str, many: int) -> Counter[int]:
    """Send so many bad requests, half of them made by schemathesis; return the statuses.

    A connection that ends without an answer counts as 0.
    """
    generated = from_schema(url, many // 2)
    return generated + from_list(url, many - generated.total())


def from_schema(url: str, many: int) -> Counter[int]:
    """Send requests that schemathesis makes to break the rules of the OpenAPI description."""
    found: Counter[int] = Counter()
    schema = from_url(f"{url}/openapi.json")
    operations = [schema[path]["POST"] for path in ("/classify", "/feedback")]
    for operation in operations:

        @seed(0)
        @settings(
            max_examples=many // len(operations),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        def send(case: schemathesis.Case[Any]) -> None:
            found[case.call(base_url=url, timeout=_TIMEOUT_SECONDS).status_code] += 1

        send()
    return found


def from_list(url: str, many: int) -> Counter[int]:
    """Send what clients get wrong, over and over with changes."""
    address = urlsplit(url)
    host, port = str(address.hostname), int(address.port or 0)
    chance = random.Random(0)
    small, large = list(_small()), list(_large())
    found: Counter[int] = Counter()
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    for number in range(many):
        if number % _TRUNCATED_EVERY == 0:
            found[_send_truncated(host, port)] += 1
            continue
        is_large = number % _LARGE_EVERY == 1
        body = chance.choice(large) if is_large else _mutated(chance, chance.choice(small))
        kind = JSON if chance.random() < 0.9 else chance.choice(_KINDS)
        try:
            connection.request("POST", chance.choice(PATHS), body, {"Content-Type": kind})
            answer = connection.getresponse()
            answer.read()
            found[answer.status] += 1
        except (http.client.HTTPException, OSError):
            # A refused body may end the connection before all of it is sent: that is an answer,
            # unless the next request finds nobody.
            connection.close()
            found[0] += 1
    connection.close()
    return found


_KINDS = ("", "text/plain", "application/json; charset=utf-16", "\xff", "x" * 500)


def _small() -> Iterator[bytes]:
    inputs: list[object] = [None, 1, "text", {}, [], [None], [1], [[]], [{"a": {}}]]
    models: list[object] = [1, [], {}, "../..", "a" * 9999, "\0"]
    explain: list[object] = ["yes", 2, [], None, {}]
    values: list[object] = [
        *(None, True, 1, -1.5, 10**400, "text", [], {}, [[]], [None], [1], [{}], [["text"]]),
        *({"inputs": value} for value in inputs),
        *({"inputs": ["text"], "model": value} for value in models),
        *({"inputs": ["text"], "explain": value} for value in explain),
        {"inputs": ["text"], "unknown": 1},
        {"inputs": ["text"] * 1001},
        {"inputs": [""] * 1000},
        {"inputs": ["\0", "\u202e", "\ud83d", "a\u0300" * 999, "\u0130" * 999]},
        {"prediction_id": "x" * 9999, "label": "\0"},
        {"prediction_id": 1, "label": []},
        {"prediction_id": "sentiment.1." + "0" * 32, "label": "neither"},
    ]
    yield from (json.dumps(value).encode() for value in values)
    yield from (b"", b"{", b"[", b"\xff\xfe", b"\x00" * 99, b'{"inputs": ["\\ud800"]}', b"NaN")
    yield b'{"inputs": ["text"], "inputs": 1}'
    yield b'{"inputs": [1e999999, -0, 123456789012345678901234567890]}'
    yield b'{"inputs": [' * 2_000
    yield b"[" * 50_000
    yield b'{"a":' * 50_000


def _large() -> Iterator[bytes]:
    yield json.dumps({"inputs": ["a" * 10 * MEGABYTE]}).encode()
    yield json.dumps({"inputs": ["word " * 19_000] * 100}).encode()
    yield b'{"inputs": [' + b'"",' * (3 * MEGABYTE) + b'""]}'
    yield b"[" * (5 * MEGABYTE)


def _mutated(chance: random.Random, body: bytes) -> bytes:
    """Change, drop or repeat a few bytes."""
    changed = bytearray(body)
    for _ in range(chance.randrange(3)):
        if not changed:
            break
        place = chance.randrange(len(changed))
        match chance.randrange(3):
            case 0:
                changed[place] = chance.randrange(256)
            case 1:
                del changed[place : place + chance.randrange(1, 9)]
            case _:
                changed[place:place] = changed[place : place + chance.randrange(1, 9)]
    return bytes(changed)


def _send_truncated(host: str, port: int) -> int:
    """Promise more than is sent, and hang up; the service has nobody to answer."""
    with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as client:
        client.sendall(
            b"POST /classify HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
            b'Content-Length: 999\r\n\r\n{"inputs": ["tex'
        )
    return 0
