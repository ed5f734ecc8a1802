"""The doors beside our own: the open inference protocol, and MLflow's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from perennial.registry.model_version import ModelVersion
from tests.conftest import wait_until
from tests.serving.conftest import metric
from tests.small_models import BAD, GOOD

INFER = "/v2/models/reviews/infer"


def _tensor(data: list[Any], shape: list[int] | None = None, name: str = "text") -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": shape or [len(data)], "data": data}


def _output(answer: Any, name: str) -> Any:
    (found,) = [each for each in answer.json()["outputs"] if each["name"] == name]
    return found


def test_tensors_of_texts_are_answered_as_their_texts_are(client: TestClient) -> None:
    ours = client.post("/classify", json={"inputs": [GOOD, BAD]}).json()["predictions"]
    body = {"id": "42", "inputs": [_tensor([GOOD, BAD])]}

    answer = client.post(INFER, json=body)

    assert answer.status_code == 200
    assert answer.json()["id"] == "42"
    assert answer.json()["model_name"] == "reviews"
    assert answer.json()["model_version"] == "1"
    assert _output(answer, "label")["data"] == [each["label"] for each in ours]
    probabilities = _output(answer, "probabilities")
    assert probabilities["shape"] == [2, 2]
    assert probabilities["parameters"]["classes"] == ["negative", "positive"]
    expected = [share for each in ours for share in each["probabilities"].values()]
    assert probabilities["data"] == pytest.approx(expected)
    assert _output(answer, "known")["data"] == pytest.approx(
        [each["known"] for each in ours], abs=1e-4
    )


@pytest.mark.parametrize(
    "tensor", [_tensor([[GOOD], [BAD]], [2, 1]), _tensor([GOOD, BAD], [2, 1]), _tensor([GOOD, BAD])]
)
def test_a_column_of_texts_may_have_one_more_dimension(
    client: TestClient, tensor: dict[str, Any]
) -> None:
    answer = client.post(INFER, json={"inputs": [tensor], "outputs": [{"name": "label"}]})

    (only,) = answer.json()["outputs"]
    assert only == {
        "name": "label",
        "datatype": "BYTES",
        "shape": [2],
        "data": ["positive", "negative"],
    }


def test_models_are_described_and_asked_for_by_version(client: TestClient) -> None:
    server, model = client.get("/v2").json(), client.get("/v2/models/reviews").json()

    assert server["name"] == "perennial"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/reviews/ready").json() == {"name": "reviews", "ready": True}
    assert model["versions"] == ["1"]
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert client.get("/v2/models/reviews/versions/1").json() == model
    body = {"inputs": [_tensor([GOOD])]}
    assert client.post("/v2/models/reviews/versions/1/infer", json=body).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v2/models/none/infer", {"inputs": [_tensor([GOOD])]}, 404, "known models: reviews"),
        ("/v2/models/reviews/versions/9/infer", {"inputs": [_tensor([GOOD])]}, 404, "reviews: 1"),
        ("/v2/models/reviews/versions/x/infer", {"inputs": [_tensor([GOOD])]}, 404, "reviews: 1"),
        (INFER, {"inputs": []}, 422, "inputs must not be empty"),
        (INFER, {"inputs": [_tensor([])]}, 422, "must not be empty"),
        (INFER, {"inputs": [_tensor([GOOD], [2])]}, 422, "inputs[0].shape must be [n]"),
        (INFER, {"inputs": [_tensor([GOOD]), _tensor([BAD])]}, 422, "one name"),
        (INFER, {"inputs": [_tensor([GOOD, 3])]}, 422, "inputs[1] must be a text"),
        (INFER, {"inputs": [_tensor([GOOD])], "outputs": [{"name": "x"}]}, 422, "outputs[0].name"),
        (INFER, {"inputs": [_tensor(["x"] * 1001)]}, 422, "more than the 1,000"),
    ],
)
def test_wrong_tensors_are_refused_in_the_form_of_the_protocol(
    client: TestClient, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post(path, json=body)

    assert answer.status_code == status
    assert answer.json().keys() == {"error"}
    assert said in answer.json()["error"]


def test_what_the_doors_answer_counts_as_predictions(client: TestClient) -> None:
    client.post(INFER, json={"inputs": [_tensor([GOOD, BAD])]})
    client.post("/invocations", json={"instances": [GOOD]})

    assert metric(client, "app_request_count_total", route="/classify", status="200") == 2
    assert metric(client, "model_prediction_count_total", problem="reviews") == 3


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["text"], "index": [0, 1], "data": [[GOOD], [BAD]]}},
        {"dataframe_split": {"columns": ["id", "text"], "data": [[1, GOOD], [2, BAD]]}},
        {"dataframe_records": [{"review": GOOD}, {"review": BAD}]},
        {"instances": [GOOD, BAD]},
        {"instances": [{"text": GOOD}, {"text": BAD}]},
        {"inputs": [GOOD, BAD]},
        {"inputs": [[GOOD], [BAD]]},
        {"inputs": {"text": [GOOD, BAD]}},
        {"instances": [GOOD, BAD], "params": {"model": "reviews"}},
    ],
)
def test_every_form_of_mlflow_is_answered(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/invocations", json=body)

    assert answer.status_code == 200
    assert answer.json() == {"predictions": ["positive", "negative"]}


def test_mlflow_gets_probabilities_if_it_asks(client: TestClient) -> None:
    ours = client.post("/classify", json={"inputs": [GOOD]}).json()["predictions"][0]
    body = {"instances": [GOOD], "params": {"predict_method": "predict_proba"}}

    answer = client.post("/invocations", json=body)

    (row,) = answer.json()["predictions"]
    assert row == pytest.approx(list(ours["probabilities"].values()))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"instances": [GOOD], "inputs": [GOOD]}, None),
        ({"instances": []}, "inputs"),
        ({"instances": [{"a": GOOD, "b": BAD}]}, "instances[0]"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "dataframe_split.data[0]"),
        ({"inputs": {"a": [1], "b": []}}, "inputs"),
        ({"instances": [GOOD], "params": {"method": "x"}}, "params.method"),
        ({"instances": [3]}, "inputs[0]"),
    ],
)
def test_a_form_that_is_none_is_refused(
    client: TestClient, body: dict[str, Any], field: str | None
) -> None:
    answer = client.post("/invocations", json=body)

    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field


def test_a_problem_without_a_label_has_an_empty_one_in_tensors_and_null_for_mlflow(
    production: ModelVersion, write_problem: Callable[..., Any], serve: Callable[..., Any]
) -> None:
    write_problem(abstain={"known": 0.1})
    _, client = serve()
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
    texts = [GOOD, "\N{GRINNING FACE}"]

    inferred = client.post(INFER, json={"inputs": [_tensor(texts)]})
    invoked = client.post("/invocations", json={"instances": texts})

    assert _output(inferred, "label")["data"] == ["positive", ""]
    assert invoked.json()["predictions"] == ["positive", None]


def test_without_a_model_the_doors_are_not_ready(serve: Callable[..., Any]) -> None:
    _, client = serve()

    assert client.get("/ping").status_code == 503
    assert client.get("/v2/health/ready").status_code == 503
    assert client.get("/v2/health/ready").json() == {"ready": False}
    assert client.post(INFER, json={"inputs": [_tensor([GOOD])]}).status_code == 503


def test_with_keys_the_doors_ask_for_one(
    production: ModelVersion, serve: Callable[..., Any]
) -> None:
    _, client = serve(api_key_hashes=("0" * 64,))

    for path in (INFER, "/invocations"):
        refused = client.post(path, json={"instances": [GOOD]})
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
