"""The API as a client sees it: answers that are right, and errors that say what is wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from httpx import ASGITransport, AsyncClient
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline
from starlette.testclient import TestClient

from perennial import __version__
from perennial.config.problem import Problem
from perennial.registry.model_version import ModelVersion
from serving.api.app import Service
from tests.conftest import wait_until
from tests.searches import tried
from tests.serving.conftest import metric
from tests.small_models import BAD, GOOD

pytestmark = pytest.mark.filterwarnings("ignore:.*httpx.*")


def _error(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "field"}
    assert error["message"].endswith(".")
    return answer.status_code, error["code"], error["field"]


def test_each_input_gets_the_label_and_the_probabilities_of_the_production_model(
    client: TestClient,
    problem: Problem,
    models: list[Pipeline],
    production: ModelVersion,
) -> None:
    expected = models[0].predict_proba([GOOD, BAD])

    answer = client.post("/classify", json={"model": "reviews", "inputs": [GOOD, BAD]})

    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    found = [
        [prediction["probabilities"][name] for name in problem.classes]
        for prediction in predictions
    ]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert [prediction["label"] for prediction in predictions] == ["positive", "negative"]
    assert {prediction["version"] for prediction in predictions} == {production.version}
    assert len({prediction["prediction_id"] for prediction in predictions}) == 2
    assert all("explanation" not in prediction for prediction in predictions)


def test_a_text_of_which_nothing_is_known_is_answered_with_a_warning(client: TestClient) -> None:
    texts = [GOOD, "\N{GRINNING FACE}", "\u8fd9\u90e8\u7535\u5f71"]

    predictions = client.post("/classify", json={"inputs": texts}).json()["predictions"]

    assert "warnings" not in predictions[0]
    for position, prediction in enumerate(predictions[1:], 1):
        (warning,) = prediction["warnings"]
        assert warning == {
            "code": "nothing_known",
            "message": f"inputs[{position}] has nothing in it that the model knows: the answer is "
            "that for an empty text.",
            "field": f"inputs[{position}]",
        }
        assert prediction["probabilities"] == predictions[1]["probabilities"]


def test_the_model_may_be_left_out_when_one_is_served(client: TestClient) -> None:
    assert client.post("/classify", json={"inputs": [GOOD]}).json()["model"] == "reviews"


def test_an_explanation_names_what_moved_the_decision_and_where_it_stands(
    client: TestClient,
) -> None:
    answer = client.post("/classify", json={"inputs": [GOOD], "explain": True})

    explanation = answer.json()["predictions"][0]["explanation"]
    assert explanation
    for item in explanation:
        assert set(item) == {"feature", "contribution", "spans"}
        assert " ".join(GOOD[start:end] for start, end in item["spans"]).startswith(
            item["feature"][:3]
        )
    sizes = [abs(item["contribution"]) for item in explanation]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("text", [GOOD, " ".join([GOOD, BAD] * 20), "\N{GRINNING FACE}"])
def test_an_explanation_adds_up_to_the_log_odds_of_the_label(client: TestClient, text: str) -> None:
    answer = client.post("/classify", json={"inputs": [text], "explain": True})

    (found,) = answer.json()["predictions"]
    sums = [item["contribution"] for item in found["explanation"]]
    least, most = sorted(found["probabilities"].values())
    score = found["baseline"] + sum(sums) + found["others"]
    assert len(sums) <= 20
    assert score == pytest.approx(math.log(most / least), abs=1e-6)


def test_an_explanation_is_no_larger_for_a_text_that_says_one_thing_very_often(
    client: TestClient,
) -> None:
    texts = ["!" * 100_000, "bad " * 25_000]

    answer = client.post("/classify", json={"inputs": texts, "explain": True})

    assert answer.status_code == 200
    assert len(answer.content) < 100_000


def test_a_large_request_is_answered_as_many_small_ones_would_be(
    serve: Callable[..., tuple[Service, TestClient]], production: ModelVersion
) -> None:
    _, client = serve(inline_characters=100)
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
    texts = [GOOD, BAD, "", "x" * 500, GOOD * 20] * 10

    whole = client.post("/classify", json={"inputs": texts, "explain": True})
    single = [client.post("/classify", json={"inputs": [t], "explain": True}) for t in texts[:5]]

    predictions = whole.json()["predictions"]
    assert len(predictions) == len(texts)
    for number, answer in enumerate(single):
        alone = answer.json()["predictions"][0]
        for key in ("label", "version", "explanation"):
            assert predictions[number][key] == alone[key]


def test_small_requests_pass_a_large_one_that_came_before_them(
    serve: Callable[..., tuple[Service, TestClient]], production: ModelVersion
) -> None:
    service, client = serve(inline_characters=100)
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
    answered = []

    async def ask(client: AsyncClient, name: str, texts: list[str]) -> None:
        assert (await client.post("/classify", json={"inputs": texts})).status_code == 200
        answered.append(name)

    async def ask_all() -> None:
        transport = ASGITransport(service.app)
        async with AsyncClient(transport=transport, base_url="http://service") as client:
            large = asyncio.create_task(ask(client, "large", [GOOD] * 1000))
            for _ in range(50):
                await asyncio.sleep(0)
            await asyncio.gather(*(ask(client, "small", [BAD]) for _ in range(5)))
            await large

    asyncio.run(ask_all())

    assert answered == ["small"] * 5 + ["large"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "malformed_json", None)),
        (b"{", (400, "malformed_json", None)),
        (b'{"inputs": ["\\ud800"]}', (422, "not_utf8", "inputs[0]")),
        (b'{"inputs": ["\xff"]}', (400, "malformed_json", None)),
        (b"[" * 100_000, (400, "malformed_json", None)),
        (b"[]", (422, "wrong_value", None)),
        (b"{}", (422, "missing", "inputs")),
        (b'{"inputs": []}', (422, "empty", "inputs")),
        (b'{"inputs": "a text"}', (422, "wrong_value", "inputs")),
        (b'{"inputs": [3]}', (422, "wrong_type", "inputs[0]")),
        (b'{"inputs": [null, {}]}', (422, "wrong_type", "inputs[0]")),
        (b'{"inputs": ["fine"], "model": "\\ud800"}', (422, "wrong_value", "model")),
        (b'{"inputs": [["nested"]]}', (422, "wrong_type", "inputs[0]")),
        (b'{"inputs": [{"width": 1}]}', (422, "wrong_type", "inputs[0]")),
        (b'{"inputs": [{"width": []}]}', (422, "wrong_type", "inputs[0]")),
        (b'{"inputs": [{"width": NaN}]}', (422, "wrong_type", "inputs[0]")),
        (b'{"inputs": ["fine"], "explain": "yes"}', (422, "wrong_value", "explain")),
        (b'{"inputs": ["fine"], "explain": 1e400}', (422, "wrong_value", "explain")),
        (b'{"inputs": ["fine"], "inptus": []}', (422, "unknown_field", "inptus")),
        (b'{"inputs": ["fine"], "model": "Reviews"}', (404, "unknown_model", "model")),
        (b'{"inputs": ["fine"], "model": ""}', (422, "empty", "model")),
        (b'{"inputs": ["fine"], "model": 3}', (422, "wrong_value", "model")),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong_and_where(
    client: TestClient, body: bytes, expected: tuple[int, str, str | None]
) -> None:
    answer = client.post("/classify", content=body, headers={"Content-Type": "application/json"})

    assert _error(answer) == expected


def test_what_is_wrong_with_one_text_holds_up_no_other(client: TestClient) -> None:
    body = b'{"inputs": ["\\ud83d", "fine", 3, null, ["x"], {"text": "x"}, "good film"]}'

    answer = client.post("/classify", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 200
    predictions, errors = answer.json()["predictions"], answer.json()["errors"]
    assert [each is not None for each in predictions] == [False, True, *[False] * 4, True]
    assert [each["position"] for each in errors] == [0, 2, 3, 4, 5]
    assert {each["code"] for each in errors[1:]} == {"wrong_type"}
    assert (errors[0]["code"], errors[0]["field"]) == ("not_utf8", "inputs[0]")
    ids = [each["prediction_id"] for each in predictions if each]
    assert len(set(ids)) == 2
    assert metric(client, "perennial_refused_inputs_total", code="wrong_type") == 4
    assert metric(client, "perennial_refused_inputs_total", code="not_utf8") == 1


def test_a_request_without_one_good_input_is_refused_with_all_that_is_wrong(
    client: TestClient,
) -> None:
    answer = client.post("/classify", json={"inputs": [3, None]})

    assert _error(answer) == (422, "wrong_type", "inputs[0]")
    assert [each["field"] for each in answer.json()["errors"]] == ["inputs[0]", "inputs[1]"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [{%s}]}' % b",".join(b'"k%d":[]' % number for number in range(100_000)),
        b"{%s}" % b",".join(b'"k%d":1' % number for number in range(100_000)),
        b'{"inputs": [%s1]}' % (b"1," * 500_000),
    ],
    ids=["wrong fields", "unknown fields", "wrong inputs"],
)
def test_a_body_full_of_mistakes_is_refused_without_listing_them(
    client: TestClient, body: bytes
) -> None:
    answer = client.post("/classify", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert len(answer.content) < 1000


def test_texts_beyond_the_limits_are_refused_and_texts_at_the_limits_answered(
    serve: Callable[..., tuple[Service, TestClient]], production: ModelVersion
) -> None:
    _, client = serve(max_inputs=3, max_characters=50, max_body_bytes=1000)
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")

    assert client.post("/classify", json={"inputs": ["é" * 50] * 3}).status_code == 200
    too_long = client.post("/classify", json={"inputs": ["é" * 51]})
    too_many = client.post("/classify", json={"inputs": ["fine"] * 4})
    too_large = client.post("/classify", json={"inputs": ["x" * 1000]})

    assert _error(too_long) == (422, "too_long", "inputs[0]")
    assert "51 characters; at most 50" in too_long.json()["error"]["message"]
    assert _error(too_many) == (422, "too_many", "inputs")
    assert _error(too_large) == (413, "too_large", None)


def test_a_body_in_pieces_cannot_be_larger_than_allowed(
    serve: Callable[..., tuple[Service, TestClient]], production: ModelVersion
) -> None:
    _, client = serve(max_body_bytes=1000)
    pieces = (b" " * 100 for _ in range(11))

    answer = client.post("/classify", content=pieces, headers={"Content-Type": "application/json"})

    assert _error(answer) == (413, "too_large", None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; profile=x; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip, gzip"},
    ],
)
def test_what_is_not_declared_as_json_is_not_read(
    client: TestClient, headers: dict[str, str]
) -> None:
    answer = client.post("/classify", content=b'{"inputs": ["a"]}', headers=headers)

    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("headers", "prepare"),
    [
        ({"Content-Type": "application/json; charset=utf8"}, bytes),
        ({"Content-Type": 'Application/JSON; profile=x; charset="UTF-8"'}, bytes),
        ({"Content-Type": "application/json", "Content-Encoding": "Identity"}, bytes),
        ({"Content-Type": "application/json", "Content-Encoding": ""}, bytes),
        ({"Content-Type": "application/json"}, b"\xef\xbb\xbf".__add__),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, gzip.compress),
        ({"Content-Type": "application/json", "Content-Encoding": "X-GZIP"}, gzip.compress),
    ],
    ids=["utf8", "parameters", "identity", "no coding", "byte order mark", "gzip", "x-gzip"],
)
def test_what_is_json_in_other_words_is_answered(
    client: TestClient, headers: dict[str, str], prepare: Callable[[bytes], bytes]
) -> None:
    answer = client.post("/classify", content=prepare(b'{"inputs": ["a"]}'), headers=headers)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"inputs": ["a"]}', (400, "malformed_gzip", None)),
        (gzip.compress(b'{"inputs": ["a"]}')[:-4], (400, "malformed_gzip", None)),
        (gzip.compress(b'{"inputs": ["a"]}') * 2, (400, "malformed_gzip", None)),
        (gzip.compress(b" " * 30_000_000), (413, "too_large", None)),
    ],
    ids=["not packed", "cut off", "two", "a bomb"],
)
def test_what_gzip_does_not_hold_is_refused(
    client: TestClient, body: bytes, error: tuple[int, str, None]
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    assert _error(client.post("/classify", content=body, headers=headers)) == error


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/livez"), ("POST", "/classify"), ("GET", "/x")]
)
def test_every_answer_names_its_request(client: TestClient, method: str, path: str) -> None:
    given = client.request(method, path, headers={"X-Request-Id": "ticket-7:a"})
    made = [
        client.request(method, path, headers={"X-Request-Id": wrong}).headers["X-Request-Id"]
        for wrong in ("", "two words", "x" * 129)
    ]

    assert given.headers["X-Request-Id"] == "ticket-7:a"
    assert len({*made}) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


def test_unknown_paths_and_wrong_methods_are_json_errors(client: TestClient) -> None:
    assert _error(client.get("/nothing/here")) == (404, "not_found", None)
    assert _error(client.get("/static/../settings.py")) == (404, "not_found", None)
    wrong = client.get("/classify")
    assert _error(wrong) == (405, "wrong_method", None)
    assert wrong.headers["Allow"] == "POST"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_NEARLY_RIGHT = st.fixed_dictionaries(
    {"inputs": st.lists(st.text() | _JSON, max_size=4)},
    optional={"model": st.just("reviews") | _JSON, "explain": st.booleans() | _JSON},
)


@tried(5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=(_JSON | _NEARLY_RIGHT).map(lambda value: json.dumps(value).encode()) | st.binary())
@pytest.mark.parametrize("path", ["/classify", "/feedback"])
def test_no_body_makes_the_service_fail(client: TestClient, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code < 500
    if answer.status_code != 200:
        assert re.fullmatch(r"[a-z_]+", answer.json()["error"]["code"])


def test_models_says_which_versions_are_served_and_how_good_they_are(
    client: TestClient, versions: list[ModelVersion], promote: Callable[..., None]
) -> None:
    second = versions[1]
    promote(second)

    def numbers() -> list[int]:
        (model,) = client.get("/models").json()["models"]
        return [version["version"] for version in model["versions"]]

    wait_until(lambda: numbers() == [second.version, second.version - 1], "swapped")

    (model,) = client.get("/models").json()["models"]

    assert (model["model"], model["kind"]) == ("reviews", "text")
    assert model["classes"] == ["negative", "positive"]
    production, previous = model["versions"]
    assert (production["alias"], previous["alias"]) == ("production", "previous")
    assert production["metrics"] == {"accuracy": 0.8}
    assert production["since"].startswith("20")
    assert production["since"] >= previous["since"][:10]


def test_the_metrics_count_what_was_answered(client: TestClient, production: ModelVersion) -> None:
    for _ in range(3):
        client.post("/classify", json={"inputs": [GOOD, BAD]})
    client.post("/classify", json={"inputs": [3]})
    client.get("/some/unknown/path")
    client.request("BREW", "/another/one")

    version = str(production.version)
    request = {"route": "/classify", "method": "POST"}
    assert metric(client, "app_request_count_total", **request, status="200") == 3
    assert metric(client, "app_request_count_total", **request, status="422") == 1
    assert metric(client, "app_request_count_total", route="other", method="GET") == 1
    assert metric(client, "app_request_count_total", route="other", method="other") == 1
    assert metric(client, "app_request_latency_seconds_count", route="/classify") == 4
    answered = {"problem": "reviews", "outcome": "answered"}
    assert metric(client, "perennial_problem_requests_total", **answered) == 3
    for name in ("negative", "positive"):
        labels = {"problem": "reviews", "version": version, "class": name}
        assert metric(client, "model_prediction_count_total", **labels) == 3
    assert metric(client, "perennial_input_characters_count", problem="reviews") == 6
    characters = 3 * (len(GOOD) + len(BAD))
    assert metric(client, "perennial_input_characters_sum", problem="reviews") == characters
    assert metric(client, "perennial_model_info", alias="production", version=version) == 1


def test_every_answer_has_the_security_headers(client: TestClient) -> None:
    for answer in (
        client.post("/classify", json={"inputs": [GOOD]}),
        client.post("/classify", json={}),
        client.get("/docs"),
        client.get("/nothing"),
        client.get("/metrics"),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_the_description_has_the_limits_and_examples_that_are_answered(
    client: TestClient,
) -> None:
    api = client.get("/openapi.json").json()
    assert api["info"]["version"] == __version__
    schema = api["components"]["schemas"]["ClassifyRequest"]["properties"]["inputs"]
    assert schema["maxItems"] == 1000

    sent = api["paths"]["/classify"]["post"]["requestBody"]["content"]["application/json"]
    answer = client.post("/classify", json=sent["example"] | {"model": "reviews"})

    assert answer.status_code == 200
    shown = api["paths"]["/classify"]["post"]["responses"]["200"]["content"]["application/json"]
    assert set(shown["example"]) == set(answer.json())
    assert set(shown["example"]["predictions"][0]) == set(answer.json()["predictions"][0])
    assert "POST /classify" in client.get("/docs").text
