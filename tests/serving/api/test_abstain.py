"""How much of an input a model knows, and the answers without a label that a problem asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.testclient import TestClient

from perennial.config.answering.abstain import Abstain
from perennial.config.problem import Problem
from perennial.registry.model_version import ModelVersion
from perennial.settings import Settings
from tests.conftest import wait_until
from tests.serving.conftest import metric
from tests.small_models import BAD, GOOD

EMOJI, CHINESE = "\N{GRINNING FACE}", "\u8fd9\u90e8\u7535\u5f71"
STRANGE = "Qwrtz bnmpl xyzzy film"


def _predictions(client: TestClient, texts: list[str], **others: Any) -> list[dict[str, Any]]:
    answer = client.post("/classify", json={"inputs": texts, **others})
    found: list[dict[str, Any]] = answer.raise_for_status().json()["predictions"]
    return found


@pytest.fixture
def abstaining(
    production: ModelVersion,
    write_problem: Callable[..., Problem],
    serve: Callable[..., Any],
) -> Callable[..., TestClient]:
    """Return a function that serves the small problem with a part `abstain`."""

    def start(**rule: float) -> TestClient:
        write_problem(abstain=rule)
        _, client = serve()
        wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")
        return client

    return start


def test_an_answer_says_how_much_of_a_text_is_known(client: TestClient) -> None:
    good, strange, emoji, chinese, empty = _predictions(client, [GOOD, STRANGE, EMOJI, CHINESE, ""])

    assert good["known"] > 0.5
    assert strange["known"] == 0.25
    assert emoji["known"] == chinese["known"] == empty["known"] == 0.0
    assert all(each["label"] is not None for each in (good, strange, emoji, chinese, empty))


def test_a_text_of_which_too_little_is_known_gets_no_label(
    abstaining: Callable[..., TestClient],
) -> None:
    client = abstaining(known=0.3)

    good, strange, emoji = _predictions(client, [GOOD, STRANGE, EMOJI], explain=True)

    assert good["label"] == "positive"
    assert "abstained" not in good
    for each in (strange, emoji):
        assert each["label"] is None
        assert each["abstained"] == "known"
        assert sum(each["probabilities"].values()) == pytest.approx(1)
    assert [each["code"] for each in emoji["warnings"]] == ["nothing_known"]
    assert strange["explanation"][0]["feature"] == "film"
    counted = {"problem": "reviews", "reason": "known"}
    assert metric(client, "perennial_abstained_predictions_total", **counted) == 2
    assert metric(client, "model_prediction_count_total", problem="reviews") == 1


def test_a_label_that_is_not_sure_enough_is_not_given(
    abstaining: Callable[..., TestClient],
) -> None:
    client = abstaining(confidence=0.9999)

    (single,) = _predictions(client, [GOOD])
    several = _predictions(client, [GOOD, BAD, GOOD])

    assert single["label"] is None
    assert single["abstained"] == "confidence"
    assert [(each["label"], each["abstained"]) for each in several] == [(None, "confidence")] * 3


def test_the_rule_counts_as_soon_as_it_is_written_and_stays_when_the_file_is_broken(
    production: ModelVersion,
    serve: Callable[..., Any],
    write_problem: Callable[..., Problem],
    machine: Settings,
) -> None:
    write_problem()
    service, client = serve(poll_seconds=600)

    def abstains() -> bool:
        assert service.watcher.refresh(20)
        return _predictions(client, [EMOJI])[0]["label"] is None

    assert not abstains()
    write_problem(abstain={"known": 0.1})
    assert abstains()
    (machine.problems_dir / "reviews.yaml").write_text("labels: [")
    assert abstains()
    write_problem()
    assert not abstains()


def test_a_rule_starts_no_retraining(write_problem: Callable[..., Problem]) -> None:
    before = write_problem()

    after = write_problem(abstain={"confidence": 0.7})

    assert before.digest == after.digest


@pytest.mark.parametrize("rule", [{}, {"known": 0}, {"confidence": 1.5}, {"sure": 0.5}])
def test_a_rule_that_says_nothing_or_nonsense_is_refused(rule: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Abstain.model_validate(rule)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_label_is_given_exactly_where_no_limit_is_crossed(
    known: float, sure: float, least_known: float, least_sure: float
) -> None:
    found = Abstain(known=least_known, confidence=least_sure).judge(known, sure)

    assert (found is None) == (known >= least_known and sure >= least_sure)
    assert found != "confidence" or known >= least_known


def test_a_batch_is_reported_or_refused_as_it_asks(client: TestClient) -> None:
    inputs = [GOOD, 3, BAD, None]
    body = {"inputs": inputs, "on_error": "report"}

    reported = client.post("/classify", json=body)
    refused = client.post("/classify", json=body | {"on_error": "refuse"})
    wrong = client.post("/classify", json=body | {"on_error": "perhaps"})
    clean = client.post("/classify", json={"inputs": [GOOD], "on_error": "refuse"})

    assert reported.status_code == clean.status_code == 200
    assert [each is None for each in reported.json()["predictions"]] == [False, True, False, True]
    assert [each["position"] for each in reported.json()["errors"]] == [1, 3]
    assert refused.status_code == 422
    assert refused.json()["error"]["field"] == "inputs[1]"
    assert [each["position"] for each in refused.json()["errors"]] == [1, 3]
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "on_error")


def test_what_is_refused_as_a_whole_is_not_counted_as_answered(client: TestClient) -> None:
    client.post("/classify", json={"inputs": [GOOD, 3], "on_error": "refuse"})

    assert metric(client, "model_prediction_count_total", problem="reviews") == 0
    assert metric(client, "perennial_refused_inputs_total", problem="reviews") == 1


def test_the_places_of_a_feature_are_bounded(client: TestClient) -> None:
    text = "film " * 15_000

    answer = client.post("/classify", json={"inputs": [text], "explain": True})

    (prediction,) = answer.raise_for_status().json()["predictions"]
    assert max(len(each["spans"]) for each in prediction["explanation"]) == 200
    assert len(answer.content) < 50_000
