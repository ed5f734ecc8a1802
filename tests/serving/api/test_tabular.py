"""A model of records, served: what it takes, what it answers, and what becomes of feedback."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from perennial.fields.base import LARGEST
from perennial.registry.artifact import Golden
from perennial.settings import ServingSettings, Settings
from tests.conftest import forget_mlflow, wait_until
from tests.flowers import SETOSA, VIRGINICA, fitted, flowers, write_iris
from tests.searches import tried
from tests.serving.conftest import metric
from tests.serving.fuzzing import findings

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from perennial.config.problem import Problem

CANDIDATES = ("logistic", "tree", "forest", "boosted")
Document = dict[str, Any]


@pytest.fixture(scope="module")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with a version of iris by each candidate, the first in Production."""
    from perennial.registry.client import open_registry

    settings = Settings(data_dir=tmp_path_factory.mktemp("registered"))
    registry = open_registry(settings)
    for name in CANDIDATES:
        model = fitted(name)
        golden = Golden(
            inputs=(SETOSA, VIRGINICA),
            classes=tuple(map(str, model.classes_)),
            probabilities=model.predict_proba([SETOSA, VIRGINICA]).tolist(),
        )
        with registry.run("iris", "retrain") as run_id:
            version = registry.register("iris", run_id, model, golden, tags={"candidate": name})
        if version.version == 1:
            registry.promote(version, expected=None)
    forget_mlflow()
    return settings.data_dir / "mlflow" / "mlflow.db"


@pytest.fixture
def problem(machine: Settings) -> Problem:
    return write_iris(machine.problems_dir, f"test_{uuid4().hex}")


@pytest.fixture
def client(problem: Problem, serve: Callable[..., Any]) -> TestClient:
    """A client of a service that answers about irises; its log is in the problem's database."""
    _, client = serve(log_database=problem.source.database)
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")
    return client


@pytest.fixture
def database(mongodb_server: str, problem: Problem) -> Iterator[Any]:
    from pymongo import MongoClient

    with MongoClient(mongodb_server, tz_aware=True) as mongo:
        yield mongo[problem.source.database]
        mongo.drop_database(problem.source.database)


def ask(client: TestClient, *inputs: object, **more: object) -> Any:
    return client.post("/classify", json={"model": "iris", "inputs": list(inputs), **more})


def test_flowers_are_answered_with_one_of_three_classes(client: TestClient) -> None:
    answer = ask(client, SETOSA, VIRGINICA)

    assert answer.status_code == 200
    first, second = answer.json()["predictions"]
    assert (first["label"], second["label"]) == ("setosa", "virginica")
    assert first["probabilities"].keys() == {"setosa", "versicolor", "virginica"}
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert first["probabilities"]["setosa"] > 0.9


def test_all_flowers_at_once_are_answered_as_the_model_says(client: TestClient) -> None:
    given = [{name: flower[name] for name in SETOSA} for flower in flowers()]

    predictions = ask(client, *given).json()["predictions"]

    assert [each["label"] for each in predictions] == fitted("logistic").predict(given).tolist()


def test_whole_numbers_are_numbers_and_the_order_of_fields_does_not_matter(
    client: TestClient,
) -> None:
    whole = {"sepal_length": 5, "sepal_width": 3, "petal_length": 1, "petal_width": 0}
    turned = {name: float(value) for name, value in reversed(whole.items())}

    first, second = ask(client, whole, turned).json()["predictions"]

    assert first["probabilities"] == second["probabilities"]


@pytest.mark.parametrize(
    ("wrong", "field", "code", "says"),
    [
        ("A blue flower", "inputs[1]", "wrong_type", "must be an object of fields for the model "),
        ({"petal_width": "wide"}, "inputs[1].petal_width", "wrong_type", "is a text, not a number"),
        ({"petal_width": True}, "inputs[1].petal_width", "wrong_type", "is true or false, not a n"),
        ({"petal_width": [1]}, "inputs[1].petal_width", "wrong_type", "is a list, not a number"),
        (
            {"petal_width": 10**400},
            "inputs[1].petal_width",
            "out_of_range",
            "is beyond the numbers",
        ),
        ({"petal_width": 1e308}, "inputs[1].petal_width", "out_of_range", "is beyond the numbers"),
        ({"petal": {"width": 1}}, "inputs[1].petal", "unknown_field", "is an unknown field"),
        (
            {"colour": "blue"},
            "inputs[1].colour",
            "unknown_field",
            "is an unknown field; known fields: se",
        ),
    ],
)
def test_a_wrong_field_is_named_with_the_number_of_its_input(
    wrong: Any, field: str, code: str, says: str, client: TestClient
) -> None:
    second = SETOSA | wrong if isinstance(wrong, dict) else wrong

    answer = ask(client, SETOSA, second, VIRGINICA)

    assert answer.status_code == 200
    predictions, (error,) = answer.json()["predictions"], answer.json()["errors"]
    assert [each and each["label"] for each in predictions] == ["setosa", None, "virginica"]
    assert (error["position"], error["field"], error["code"]) == (1, field, code)
    assert error["message"].startswith(f"{field} {says}")
    alone = ask(client, second)
    assert alone.status_code == 422
    assert alone.json()["error"]["code"] == code
    assert alone.json()["error"]["field"] == field.replace("[1]", "[0]")


@pytest.mark.parametrize(
    ("field", "code", "name"),
    [
        ('"petal_width": %s' % ("9" * 5000), "out_of_range", "petal_width"),
        ('"petal_width": -%s' % ("9" * 5000), "out_of_range", "petal_width"),
        ('"petal_width": 1e400', "not_finite", "petal_width"),
        ('"petal_width": "\\ud83d"', "wrong_type", "petal_width"),
        ('"petal_width": 1, "\\ud83d": 1', "unknown_field", "?"),
    ],
    ids=lambda value: value[:24],
)
def test_what_json_can_say_and_python_cannot_holds_up_no_other_record(
    field: str, code: str, name: str, client: TestClient
) -> None:
    rest = {key: value for key, value in SETOSA.items() if key != "petal_width"}
    odd = f"{json.dumps(rest)[:-1]}, {field}}}"
    body = f'{{"model": "iris", "inputs": [{odd}, {json.dumps(SETOSA)}]}}'

    answer = client.post("/classify", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 200
    first, second = answer.json()["predictions"]
    assert first is None
    assert second["label"] == "setosa"
    (error,) = answer.json()["errors"]
    assert (error["code"], error["field"]) == (code, f"inputs[0].{name}")


@pytest.mark.parametrize("written", ["null", "NaN", '""', '"?"', None])
def test_a_missing_value_is_answered_and_said(written: str | None, client: TestClient) -> None:
    rest = {key: value for key, value in SETOSA.items() if key != "petal_width"}
    field = "" if written is None else f', "petal_width": {written}'
    body = (
        f'{{"model": "iris", "inputs": [{json.dumps(SETOSA)}, {json.dumps(rest)[:-1]}{field}}}]}}'
    )

    answer = client.post("/classify", content=body, headers={"Content-Type": "application/json"})

    whole, lacking = answer.json()["predictions"]
    assert "warnings" not in whole
    assert lacking["label"] == "setosa"
    assert lacking["warnings"] == [
        {
            "code": "missing",
            "message": "inputs[1].petal_width is missing.",
            "field": "inputs[1].petal_width",
        }
    ]


def test_a_flower_of_impossible_size_is_answered_with_a_warning_that_is_counted(
    client: TestClient,
) -> None:
    # Somebody measures in millimetres.
    usual, large = ask(client, SETOSA, SETOSA | {"petal_length": 140.0}).json()["predictions"]

    assert "warnings" not in usual
    (warning,) = large["warnings"]
    assert (warning["code"], warning["field"]) == ("unusual_number", "inputs[1].petal_length")
    assert "is 140, far from the numbers of training" in warning["message"]
    assert metric(client, "perennial_input_warnings_total", code="unusual_number") == 1
    assert metric(client, "perennial_input_warnings_total", code="missing") == 0


def test_a_record_without_any_value_is_refused(client: TestClient) -> None:
    answer = ask(client, {"petal_width": None})

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "missing"


@tried(3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(width=64), min_size=1, max_size=4), st.sampled_from(list(SETOSA)))
def test_any_number_is_answered_with_probabilities_or_refused_by_itself(
    client: TestClient, values: list[float], name: str
) -> None:
    given_records = [SETOSA, *(SETOSA | {name: value} for value in values)]
    body = json.dumps({"model": "iris", "inputs": given_records, "explain": True})

    answer = client.post("/classify", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    refused = {error["position"]: error["code"] for error in answer.json().get("errors", [])}
    assert predictions[0]["label"] == "setosa"
    for position, prediction in enumerate(predictions):
        assert (prediction is None) == (position in refused)
        if prediction is not None:
            assert sum(prediction["probabilities"].values()) == pytest.approx(1)
            assert all(map(math.isfinite, prediction["probabilities"].values()))
            moved = [each["contribution"] for each in prediction["explanation"]]
            assert all(map(math.isfinite, moved))
    assert set(refused.values()) <= {"not_finite", "out_of_range"}
    assert all(
        (math.isnan(value) or abs(value) <= LARGEST) == (position not in refused)
        for position, value in enumerate(values, 1)
    )


def test_the_model_says_which_fields_it_takes(client: TestClient) -> None:
    (model,) = client.get("/models").json()["models"]

    assert (model["model"], model["kind"]) == ("iris", "tabular")
    assert model["fields"] == dict.fromkeys(SETOSA, "number")
    assert model["classes"] == ["setosa", "versicolor", "virginica"]
    for name, values in model["values"].items():
        measured = sorted(flower[name] for flower in flowers())
        assert measured[0] <= values["low"] <= values["typical"] <= values["high"] <= measured[-1]
    assert set(model["values"]) == set(SETOSA)


def test_where_keys_are_asked_for_only_they_are_told_what_is_in_the_documents(
    problem: Problem, serve: Callable[..., Any]
) -> None:
    entries = [f"{sha256(key).hexdigest()}:{key.decode()}" for key in (b"classify", b"refresh")]
    _, client = serve(log_database=problem.source.database, api_key_hashes=entries)
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")

    def values(key: str | None) -> Any:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        (model,) = client.get("/models", headers=headers).json()["models"]
        assert model["fields"].keys() == SETOSA.keys()
        return model["values"]

    assert values(None) == values("wrong") == values("refresh") == {}
    assert values("classify").keys() == SETOSA.keys()
    assert "mostly" not in client.get("/docs").text


def test_the_page_of_the_api_shows_a_record_that_is_answered(client: TestClient) -> None:
    page = unescape(client.get("/docs").text)

    shown = next(line for line in page.splitlines() if line.startswith("  -d '"))
    body = json.loads(shown.removeprefix("  -d '").partition("'")[0])
    (prediction,) = client.post("/classify", json=body).raise_for_status().json()["predictions"]

    assert body["inputs"][0].keys() == SETOSA.keys()
    assert prediction["known"] == 1
    assert "<td><code>petal_width</code></td><td>number</td><td>mostly 0." in page


@pytest.mark.parametrize(
    ("name", "strongest"),
    [
        ("logistic", {"petal_length", "petal_width"}),
        ("tree", {"petal_length", "petal_width"}),
        ("forest", {"petal_length", "petal_width"}),
        ("boosted", {"petal_length", "petal_width"}),
    ],
)
def test_what_moved_a_decision_is_told_for_linear_models_and_trees(
    name: str, strongest: set[str], machine: Settings, client: TestClient
) -> None:
    from perennial.registry.client import open_registry

    registry = open_registry(machine)
    number = CANDIDATES.index(name) + 1
    registry.promote(registry.version("iris", number), expected=registry.production("iris"))

    def answered() -> Any:
        (found,) = ask(client, VIRGINICA, explain=True).json()["predictions"]
        return found if found["version"] == number else None

    prediction = wait_until(answered, "the version answers")

    explanation = prediction["explanation"]
    assert prediction["label"] == "virginica"
    assert explanation[0]["feature"] in strongest
    assert explanation[0]["contribution"] > 0
    assert {each["feature"] for each in explanation} == SETOSA.keys()
    assert all(each["spans"] == [] for each in explanation)
    score = sum(each["contribution"] for each in explanation) + prediction["baseline"]
    *_, other, likeliest = sorted(prediction["probabilities"].values())
    in_probability = name in {"tree", "forest"}
    expected = likeliest if in_probability else math.log(likeliest / max(other, 1e-12))
    assert score + prediction["others"] == pytest.approx(expected, abs=1e-6)


def test_a_record_with_feedback_becomes_a_document_that_the_next_retraining_uses(
    client: TestClient, problem: Problem, database: Any, run_task: Callable[..., Any]
) -> None:
    from perennial.stores.snapshots.store import SnapshotStore
    from tasks.data.ingest import ingest

    (prediction,) = ask(client, VIRGINICA).json()["predictions"]

    said = {"prediction_id": prediction["prediction_id"], "label": "versicolor"}
    assert client.post("/feedback", json=said).status_code == 202
    documents: Collection[Document] = database[problem.source.collection]
    document = wait_until(lambda: documents.find_one({"source": "feedback"}), "the document")

    assert {name: document[name] for name in VIRGINICA} == VIRGINICA
    assert document["label"] == "versicolor"
    assert database["predictions"].find_one()["inputs"] == VIRGINICA
    ingested = run_task(ingest, problem)
    assert (ingested.accounts.used, ingested.accounts.in_quarantine) == (1, {})
    from perennial.settings import get_settings

    rows = SnapshotStore("iris", get_settings()).read(ingested.snapshot)
    assert rows["inputs"].to_pylist() == [VIRGINICA]


def test_inputs_are_not_kept_when_texts_are_not(
    problem: Problem, database: Any, serve: Callable[..., Any], settings: ServingSettings
) -> None:
    _, client = serve(log_database=problem.source.database, log_texts=False)
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")

    ask(client, SETOSA)

    entry = wait_until(database["predictions"].find_one, "the log entry")
    assert "inputs" not in entry
    assert entry["label"] == "setosa"


@pytest.mark.e2e
def test_no_request_finds_the_service_of_records_to_differ_from_its_description(
    client: TestClient, tmp_path: Path
) -> None:
    found = findings(client.app, tmp_path)

    assert found is None, found
