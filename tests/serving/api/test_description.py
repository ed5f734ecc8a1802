"""The description of the API: valid, easy on generators of clients, and true."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.testclient import TestClient

from perennial.settings import ServingSettings
from serving.api.description.openapi import openapi
from serving.api.outcomes import statuses
from tests.conftest import wait_until
from tests.serving.fuzzing import findings
from tests.small_models import BAD, GOOD

KEY = "0" * 64
Api = dict[str, Any]


@pytest.fixture(
    params=[{}, {"api_key_hashes": (KEY,)}, {"metrics_port": 3001}], ids=["open", "keys", "port"]
)
def api(request: pytest.FixtureRequest) -> Api:
    found: Api = json.loads(openapi(ServingSettings(**request.param)))
    return found


def _operations(api: Api) -> Iterator[tuple[str, str, Api]]:
    for path, item in api["paths"].items():
        for method in item.keys() & {"get", "post"}:
            yield path, method, item[method]


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for value in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from _nodes(value)


def _resolved(api: Api, node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        found: Any = api
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def _validator(api: Api, schema: Api) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": api["components"]})


def test_it_is_valid(api: Api) -> None:
    assert list(OpenAPIV31SpecValidator(api).iter_errors()) == []


def test_every_operation_has_what_generators_and_readers_look_for(api: Api) -> None:
    ids = [operation["operationId"] for _, _, operation in _operations(api)]

    assert len(ids) == len({*ids})
    assert all(re.fullmatch("[a-z][A-Za-z]*", name) for name in ids)
    assert api["servers"][0]["url"] == "/v1"
    assert api["info"]["license"]["identifier"] == "Apache-2.0"
    tags = {tag["name"] for tag in api["tags"]}
    for _, method, operation in _operations(api):
        assert operation["tags"][0] in tags
        assert operation["summary"]
        assert operation["description"].endswith(".")
        assert "security" in operation
        assert {"405", "408", "431", "500", "503"} <= operation["responses"].keys()
        assert method != "post" or "429" in operation["responses"]
        for answer in map(_resolved, [api] * 20, operation["responses"].values()):
            assert "X-Request-Id" in answer["headers"]


def test_errors_say_when_to_try_again_and_how_to_send_a_key(api: Api) -> None:
    answers = api["components"]["responses"]

    for name in ("TooMuch", "Unavailable", "InferenceTooMuch"):
        assert "Retry-After" in answers[name]["headers"]
    assert "WWW-Authenticate" in answers["Unauthorized"]["headers"]
    assert "Allow" in answers["WrongMethod"]["headers"]
    assert "application/problem+json" in answers["WrongValue"]["content"]


def test_nothing_in_it_makes_generated_clients_too_strict(api: Api) -> None:
    schemas = api["components"]["schemas"]

    assert {"Input", "Text", "Record", "Span"} <= schemas.keys()
    nodes = list(_nodes(schemas))
    assert not any("prefixItems" in node for node in nodes if isinstance(node, dict))
    closed = {name for name, schema in schemas.items() if "additionalProperties" in schema}
    assert not any(name.endswith(("Answer", "Error", "Version", "Prediction")) for name in closed)
    assert "ClassifyRequest" in closed
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            assert "default" not in field
    assert schemas["ClassifyRequest"]["required"] == ["inputs"]


def test_every_field_says_what_it_means(api: Api) -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in api["components"]["schemas"].items()
        for field, part in schema.get("properties", {}).items()
        if not part.get("description")
    ]

    assert silent == []


def test_every_schema_is_used_and_every_example_keeps_to_its_schema(api: Api) -> None:
    used = {node["$ref"] for node in _nodes(api) if isinstance(node, dict) and "$ref" in node}
    places = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "headers", "parameters")
        for name in api["components"][kind]
    }
    assert used >= places
    shown = [
        node
        for node in _nodes(api["paths"])
        if isinstance(node, dict) and {"schema", "example"} <= node.keys()
    ]
    assert len(shown) > 20
    for node in shown:
        _validator(api, node["schema"]).validate(node["example"])


def test_every_status_that_a_route_may_answer_is_described(api: Api) -> None:
    for path, method, operation in _operations(api):
        route = "/v2/*" if path.startswith("/v2") else path
        if path == "/invocations" or path.endswith("/infer"):
            route = "/classify"
        # Of clients that went away there is nothing to describe.
        answered = {str(each) for each in statuses(route, method.upper()) if each != 499}
        if route == "/v2/*" and "{model}" not in path:
            answered.remove("404")
        assert answered <= operation["responses"].keys(), path


def test_keys_are_described_where_they_are_asked_for() -> None:
    open_to_all = json.loads(openapi(ServingSettings()))
    keyed = json.loads(openapi(ServingSettings(api_key_hashes=(f"{KEY}:metrics", KEY))))

    assert all(operation["security"] == [] for _, _, operation in _operations(open_to_all))
    asking = {path for path, _, operation in _operations(keyed) if operation["security"]}
    assert {"/classify", "/feedback", "/refresh", "/metrics", "/invocations"} <= asking
    assert not asking & {"/models", "/livez", "/readyz", "/v2"}
    assert KEY not in json.dumps(keyed)


def test_what_the_service_answers_keeps_to_its_schemas(client: TestClient) -> None:
    api = client.get("/openapi.json").json()
    schemas = api["components"]["schemas"]
    body = {"inputs": [GOOD, 3, "\N{GRINNING FACE}"], "explain": True}
    answers = {
        "ClassifyAnswer": client.post("/v1/classify", json=body),
        "ModelsAnswer": client.get("/v1/models"),
        "ReadyAnswer": client.get("/v1/readyz"),
        "LiveAnswer": client.get("/v1/livez"),
        "ErrorAnswer": client.post("/v1/classify", json={"inputs": [3, None]}),
        "InferenceServer": client.get("/v2"),
        "InferenceModel": client.get("/v2/models/reviews"),
        "InferenceError": client.get("/v2/models/none"),
    }

    for name, answer in answers.items():
        _validator(api, schemas[name]).validate(answer.json())


@pytest.mark.parametrize("path", ["/classify", "/models", "/livez", "/readyz", "/metrics"])
def test_our_own_paths_stand_with_and_without_their_version(client: TestClient, path: str) -> None:
    if path == "/classify":
        plain, versioned = (
            client.post(place, json={"inputs": [GOOD]}) for place in (path, f"/v1{path}")
        )
        assert plain.json()["predictions"][0]["label"] == "positive"
        assert versioned.json()["predictions"][0]["label"] == "positive"
    else:
        plain, versioned = client.get(path), client.get(f"/v1{path}")

    assert plain.status_code == versioned.status_code == 200
    assert plain.headers["Content-Type"] == versioned.headers["Content-Type"]


def test_errors_are_problems_for_who_accepts_them(client: TestClient) -> None:
    accepts = {"Accept": "application/problem+json, application/json"}

    problem = client.post("/v1/classify", json={"inputs": []}, headers=accepts)
    plain = client.post("/v1/classify", json={"inputs": []})
    unknown = client.get("/nothing", headers=accepts)

    assert problem.headers["Content-Type"] == "application/problem+json"
    assert (
        problem.json()
        == {
            "type": "about:blank",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "inputs must not be empty.",
            "code": "empty",
            "field": "inputs",
        }
        or problem.json()["title"] == "Unprocessable Entity"
    )
    assert plain.json()["error"]["message"] == problem.json()["detail"]
    assert unknown.json()["status"] == unknown.status_code == 404


def test_large_answers_and_files_are_packed_for_who_asks(client: TestClient) -> None:
    body = {"inputs": [GOOD, BAD] * 300}
    packed = client.post("/classify", json=body, headers={"Accept-Encoding": "gzip"})
    plain = client.post("/classify", json=body, headers={"Accept-Encoding": "gzip;q=0, br"})
    small = client.post("/classify", json={"inputs": [GOOD]}, headers={"Accept-Encoding": "gzip"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.json()["predictions"]) == len(plain.json()["predictions"]) == 600
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 2
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in small.headers
    for path in ("/docs", "/openapi.json", "/", "/static/page.js"):
        with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            content = b"".join(answer.iter_raw())
        plain = client.get(path, headers={"Accept-Encoding": "identity"})
        assert gzip.decompress(content) == plain.content


def test_pages_of_named_origins_may_ask(serve: Callable[..., Any], production: Any) -> None:
    _, client = serve(cors_origins=("https://app.example.com",))
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
    ours, other = "https://app.example.com", "https://other.example.com"
    asking = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "X-API-Key",
    }

    allowed = client.options("/v1/classify", headers={"Origin": ours, **asking})
    refused = client.options("/v1/classify", headers={"Origin": other, **asking})
    answered = client.post("/v1/classify", json={"inputs": [GOOD]}, headers={"Origin": ours})

    assert allowed.headers["Access-Control-Allow-Origin"] == ours
    assert refused.status_code == 400
    assert answered.headers["Access-Control-Allow-Origin"] == ours
    assert "X-Request-Id" in answered.headers["Access-Control-Expose-Headers"]


def test_without_the_setting_no_other_page_may_ask(client: TestClient) -> None:
    answer = client.get("/models", headers={"Origin": "https://app.example.com"})

    assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_page_of_the_api_says_what_the_description_says(client: TestClient) -> None:
    api = client.get("/openapi.json").json()

    page = client.get("/docs").text

    for path, method, operation in _operations(api):
        assert f"{method.upper()} {path}" in page
        assert f'id="{operation["operationId"]}"' in page
    assert "curl http://testserver/v1/classify" in page
    assert "at most 1,000 entries" in page
    assert "<script" not in page


@pytest.mark.e2e
def test_no_request_finds_the_service_to_differ_from_its_description(
    client: TestClient, tmp_path: Path
) -> None:
    found = findings(client.app, tmp_path)

    assert found is None, found
