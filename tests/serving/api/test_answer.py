"""An answer is what JSON of its parts would be, whatever labels are called."""

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, create_model

from perennial.inference.contribution import Contribution, Explanation
from perennial.registry.model_version import ModelVersion
from perennial.settings import ServingSettings
from serving.api import answer as answer_module
from serving.api import schemas
from serving.api.answer import Answer, join
from serving.api.description.openapi import openapi
from serving.api.errors import InputError
from serving.api.schemas import ClassifyAnswer, Prediction
from serving.api.schemas import Contribution as Documented
from serving.api.templates import AnswerSchema

LABELS = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
    | st.sampled_from(["%", "%s", '"']),
    min_size=2,
    max_size=4,
    unique=True,
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    classes = tuple(draw(LABELS))
    rows = draw(
        st.lists(
            st.lists(st.floats(0, 1), min_size=len(classes), max_size=len(classes)),
            min_size=1,
            max_size=4,
        )
    )
    explained = draw(st.booleans())
    each = Explanation([Contribution("100%", 0.25, ((0, 4),))], -0.5, 0.125)
    found = [each for _ in rows] if explained else None
    version = ModelVersion(draw(st.sampled_from(["reviews", "a%b"])), 7, "run", {})
    scores = np.array(rows)
    known = [draw(st.floats(0, 1)) for _ in rows]
    return Answer(version, classes, scores.argmax(axis=1).tolist(), scores, known, found)


@given(answers())
def test_the_body_holds_every_value_of_the_answer(answer: Answer) -> None:
    ids = [f"id-{number}" for number in range(len(answer.decided))]
    predictions = []
    for number, (prediction_id, row) in enumerate(zip(ids, answer.probabilities, strict=True)):
        prediction = {
            "prediction_id": prediction_id,
            "label": answer.labels[number],
            "probabilities": dict(zip(answer.classes, row.tolist(), strict=True)),
            "version": 7,
            "known": round(answer.known[number], 4),
        }
        if answer.explanations is not None:
            prediction["explanation"] = [
                {"feature": "100%", "contribution": 0.25, "spans": [[0, 4]]}
            ]
            prediction |= {"baseline": -0.5, "others": 0.125}
        predictions.append(prediction)
    expected = {"model": answer.version.problem, "predictions": predictions}
    assert json.loads(answer.body(ids)) == expected


@given(answers(), st.lists(st.integers(0, 7), max_size=3, unique=True))
def test_each_prediction_of_a_partial_answer_is_in_the_place_of_its_input(
    answer: Answer, places: list[int]
) -> None:
    ids = [f"id-{number}" for number in range(len(answer.decided))]
    positions = [place for place in sorted(places) if place < len(ids) + len(places)]
    # Those that are refused lie within the inputs, all others are answered.
    positions = [place for number, place in enumerate(positions) if place <= len(ids) + number]
    errors = [InputError(place, "null", f'inputs[{place}] 100% "odd"', "x") for place in positions]

    body = answer.body(ids, errors)

    found = json.loads(body)
    assert [place for place, each in enumerate(found["predictions"]) if each is None] == positions
    answered = [each for each in found["predictions"] if each is not None]
    assert answered == json.loads(answer.body(ids))["predictions"]
    assert [each["position"] for each in found.get("errors", [])] == positions
    documented = ClassifyAnswer.model_validate_json(body)
    assert orjson.dumps(documented.model_dump(exclude_unset=True)) == body


@given(answers())
def test_portions_joined_are_the_answer_of_the_whole(answer: Answer) -> None:
    explained = answer.explanations
    portions = [
        Answer(
            answer.version,
            answer.classes,
            [position],
            answer.probabilities[[number]],
            [answer.known[number]],
            None if explained is None else [explained[number]],
        )
        for number, position in enumerate(answer.decided)
    ]
    ids = [str(number) for number in range(len(portions))]
    assert join(portions).body(ids) == answer.body(ids)


@given(answers())
def test_the_body_is_byte_for_byte_what_its_schema_writes(answer: Answer) -> None:
    ids = [f"id-{number}" for number in range(len(answer.decided))]

    body = answer.body(ids)

    documented = ClassifyAnswer.model_validate_json(body)
    assert orjson.dumps(documented.model_dump(exclude_unset=True)) == body


def _changed(schema: type[BaseModel], **changes: Any) -> Any:
    """Return a copy of a schema with fields of other types, and without those that are None."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in schema.model_fields.items()
    }
    fields |= {name: (kind, ...) for name, kind in changes.items()}
    kept = {name: field for name, field in fields.items() if field[0] is not None}
    return create_model(schema.__name__, __config__=schema.model_config, **kept)


def _reversed(schema: type[BaseModel], **changes: Any) -> Any:
    """Return a copy of a schema with its fields in the opposite order."""
    kinds = {name: field.annotation for name, field in schema.model_fields.items()} | changes
    fields: dict[str, Any] = {
        name: (kinds[name], schema.model_fields[name]) for name in reversed(kinds)
    }
    return create_model(schema.__name__, __config__=schema.model_config, **fields)


def _of_predictions(**changes: Any) -> Any:
    return _changed(ClassifyAnswer, predictions=list[_changed(Prediction, **changes) | None])  # type: ignore[misc]


def _of_contributions(contribution: Any) -> Any:
    explained = _changed(Prediction, explanation=None)
    fields: Any = {"explanation": (list[contribution] | None, None)}
    prediction = create_model(Prediction.__name__, __base__=explained, **fields)
    return _changed(ClassifyAnswer, predictions=list[prediction | None])  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        (_changed(ClassifyAnswer, added=str), "added"),
        (_of_predictions(added=str), "added"),
        (_of_contributions(_changed(Documented, added=str)), "added"),
        (_changed(ClassifyAnswer, model=None), "model"),
        (_of_predictions(version=None), "version"),
        (_of_predictions(explanation=None), "explanation"),
        (_of_contributions(_changed(Documented, spans=None)), "spans"),
        (_of_predictions(version=str), "version"),
        (_of_predictions(probabilities=list[float]), "probabilities"),
        (_of_predictions(probabilities=dict[str, int]), "probabilities"),
        (_of_contributions(_changed(Documented, spans=list[int])), "spans"),
    ],
)
def test_a_schema_with_other_fields_than_are_filled_in_is_refused(answer: Any, field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        AnswerSchema(answer)


def test_parts_of_explanations_in_another_order_are_refused() -> None:
    with pytest.raises(TypeError, match="order"):
        AnswerSchema(_of_contributions(_reversed(Documented)))


def _start() -> ModuleType:
    """Return a second copy of the module of answers, as a worker that starts imports it."""
    spec = importlib.util.spec_from_file_location("serving.api.started", answer_module.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def test_a_worker_whose_schema_has_one_more_field_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schemas, "ClassifyAnswer", _of_predictions(added=str))

    with pytest.raises(ValidationError, match="added"):
        _start()


@given(answers())
def test_the_fields_of_an_answer_have_the_order_of_the_schema(answer: Answer) -> None:
    prediction = _reversed(Prediction)
    with pytest.MonkeyPatch.context() as patch:
        turned = _reversed(ClassifyAnswer, predictions=list[prediction | None])
        patch.setattr(schemas, "ClassifyAnswer", turned)
        module = _start()
    ids = [f"id-{number}" for number in range(len(answer.decided))]

    body = module.Answer(*answer).body(ids)

    found, expected = json.loads(body), json.loads(answer.body(ids))
    assert found == expected
    assert list(found) == list(reversed(expected))
    assert list(found["predictions"][0]) == list(reversed(expected["predictions"][0]))


def test_the_documented_example_is_what_is_sent() -> None:
    description = json.loads(openapi(ServingSettings()))
    documented = description["paths"]["/classify"]["post"]["responses"]["200"]
    example = documented["content"]["application/json"]["example"]
    (prediction,) = example["predictions"]
    classes = tuple(prediction["probabilities"])

    answer = Answer(
        ModelVersion(example["model"], prediction["version"], "run", {}),
        classes,
        [classes.index(prediction["label"])],
        np.array([list(prediction["probabilities"].values())]),
        [prediction["known"]],
        None,
    )

    assert answer.body([prediction["prediction_id"]]) == orjson.dumps(example)
