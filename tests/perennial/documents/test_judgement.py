"""Which documents can be used, and why others cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from perennial.config.problem import Limits, Problem
from perennial.config.sections.source import Fields
from perennial.documents.judgement import judge_documents

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
REVIEW = {"text": "A great film.", "label": 1, "created_at": NOW, "source": "imdb"}
MISSING = object()


def changed(**fields: object) -> dict[str, Any]:
    return {key: value for key, value in {**REVIEW, **fields}.items() if value is not MISSING}


def judged(document: dict[str, Any], problem: Problem) -> dict[str, Any]:
    """Return what is judged of one document."""
    (row,) = judge_documents([{"_id": 1, **document}], problem).to_pylist()
    return row  # type: ignore[no-any-return]


def with_labels(problem: Problem, **labels: str | float) -> Problem:
    return problem.model_copy(update={"labels": labels})


def test_a_sound_document_is_an_example(problem: Problem) -> None:
    document = {"_id": 7, "stars": 5, **REVIEW}

    row = judged(document, problem)

    assert (row["text"], row["label"]) == ("A great film.", "positive")
    assert (row["created_at"], row["source"]) == (NOW, "imdb")
    assert document == {"_id": 7, "stars": 5, **REVIEW}


@pytest.mark.parametrize("source", [None, MISSING])
def test_a_document_needs_no_source(source: object, problem: Problem) -> None:
    assert judged(changed(source=source), problem)["source"] is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": MISSING}, "text is missing"),
        ({"text": None}, "text is null"),
        ({"text": 5}, "text is a number, not a text: 5"),
        ({"text": b"A great film"}, "text is binary data, not a text: b'A great film'"),
        ({"text": ["A great film"]}, "text is a list, not a text: ['A great film']"),
        ({"text": ""}, "text is empty"),
        ({"text": " \n\t\u00a0\u3000"}, "text is empty"),
        ({"text": "A great \ud800 film"}, "text is not valid UTF-8: 'A great \\ud800 film'"),
        (
            {"text": "Great film!"},
            "text has 2 words after normalisation, fewer than 3",
        ),
        (
            {"text": "<br /> <b>Great</b> ?! ..."},
            "text has 1 word after normalisation, fewer than 3",
        ),
        (
            {"text": "!!! --- \u2026"},
            "text has 0 words after normalisation, fewer than 3",
        ),
        (
            {"text": "ha " * 33_334},
            "text has 100,002 characters, more than 100,000",
        ),
        ({"label": MISSING}, "label is missing"),
        ({"label": None}, "label is null"),
        ({"label": 2}, "label is not one of 0, 1: 2"),
        ({"label": "positive"}, 'label is a text, not one of 0, 1: "positive"'),
        ({"label": "1"}, 'label is a text, not one of 0, 1: "1"'),
        ({"label": True}, "label is true or false, not one of 0, 1: true"),
        ({"label": "x" * 500}, f'label is a text, not one of 0, 1: "{"x" * 46}...'),
        ({"label": [1]}, "label is a list, not a label: [1]"),
        (
            {"label": {"value": 1}},
            'label is an object, not a label: {"value": 1}',
        ),
        ({"label": 0.5}, "label is not one of 0, 1: 0.5"),
        ({"created_at": MISSING}, "created_at is missing"),
        ({"created_at": None}, "created_at is null"),
        ({"created_at": "2024-05-01"}, "created_at is a text, not a date: '2024-05-01'"),
        ({"source": 3}, "source is a number, not a text: 3"),
        ({"source": "imdb\udc00"}, "source is not valid UTF-8: 'imdb\\udc00'"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_document_that_cannot_be_used_says_why(
    change: dict[str, object], reason: str, problem: Problem
) -> None:
    row = judged(changed(**change), problem)

    assert (row["status"], row["reason"]) == ("quarantined", reason)


def test_the_reason_names_the_field_as_the_documents_do(problem: Problem) -> None:
    fields = Fields(text="body", label="stars", created_at="at", source="site")
    renamed = problem.model_copy(
        update={"source": problem.source.model_copy(update={"fields": fields})}
    )
    document = {"body": "A great film.", "stars": 0, "at": NOW, "site": "imdb"}

    assert judged(document, renamed)["label"] == "negative"
    for name in ("body", "stars", "at"):
        without = {key: document[key] for key in document if key != name}
        row = judged(without, renamed)
        assert (row["reason"], row["code"], row["field"]) == (f"{name} is missing", "missing", name)


def test_the_problem_says_how_short_and_how_long_a_text_may_be(problem: Problem) -> None:
    limited = problem.model_copy(update={"limits": Limits(min_words=1, max_characters=5)})

    assert judged(changed(text="Great"), limited)["status"] == "used"
    assert judged(changed(text="Great!"), limited)["reason"] == "text has 6 characters, more than 5"


@pytest.mark.parametrize("stored", [1, 1.0])
def test_a_number_is_the_same_label_however_it_was_stored(stored: float, problem: Problem) -> None:
    assert judged(changed(label=stored), problem)["label"] == "positive"


def test_one_and_true_are_different_labels(problem: Problem) -> None:
    mixed = with_labels(problem, number=1, truth=True, text="1")

    assert judged(changed(label=1), mixed)["label"] == "number"
    assert judged(changed(label=True), mixed)["label"] == "truth"
    assert judged(changed(label="1"), mixed)["label"] == "text"


@pytest.mark.parametrize("stored", ["ne\u0301gatif", "n\u00e9gatif ", "n&eacute;gatif"])
def test_a_label_is_the_same_however_it_was_encoded(stored: str, problem: Problem) -> None:
    french = with_labels(problem, negative="n\u00e9gatif", positive="positif")

    assert judged(changed(label=stored), french)["label"] == "negative"
    assert judged(changed(label="N\u00e9gatif"), french)["code"] == "unknown_label"


def test_a_label_that_equals_a_stored_value_is_that_one(problem: Problem) -> None:
    alike = with_labels(problem, one="a ", other="a")

    assert judged(changed(label="a "), alike)["label"] == "one"
    assert judged(changed(label="a"), alike)["label"] == "other"


@pytest.mark.parametrize("two", ["good&nbsp;film", "fin cine\u0301ma&#33;", "so\u00ad-so \u200b"])
def test_neither_entities_nor_decomposed_letters_are_words(two: str, problem: Problem) -> None:
    reason = judged(changed(text=two), problem)["reason"]

    assert reason.startswith("text has 2 words after normalisation")
