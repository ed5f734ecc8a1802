"""An answer is what JSON of its parts would be, whatever labels are called."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perennial.inference.base import Contribution
from perennial.registry.model_version import ModelVersion
from serving.api.answer import Answer, join

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
    found = [[Contribution("100%", 0.25, ((0, 4),))] for _ in rows] if explained else None
    version = ModelVersion(draw(st.sampled_from(["reviews", "a%b"])), 7, "run", {})
    scores = np.array(rows)
    return Answer(version, classes, scores.argmax(axis=1).tolist(), scores, found)


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
        }
        if answer.explanations is not None:
            prediction["explanation"] = [
                {"feature": "100%", "contribution": 0.25, "spans": [[0, 4]]}
            ]
        predictions.append(prediction)
    expected = {"model": answer.version.problem, "predictions": predictions}
    assert json.loads(answer.body(ids)) == expected


@given(answers())
def test_portions_joined_are_the_answer_of_the_whole(answer: Answer) -> None:
    explained = answer.explanations
    portions = [
        Answer(
            answer.version,
            answer.classes,
            [position],
            answer.probabilities[[number]],
            None if explained is None else [explained[number]],
        )
        for number, position in enumerate(answer.decided)
    ]
    ids = [str(number) for number in range(len(portions))]
    assert join(portions).body(ids) == answer.body(ids)
