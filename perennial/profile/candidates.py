"""Candidates for unknown data: what an expert would try, by kind, size and labels."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from perennial.packages.extras import missing_for
from perennial.profile.columns import Role
from perennial.profile.findings import Findings, TextFindings
from perennial.profile.labels import label_counts
from perennial.text.analyzer import choose_analyzer

Candidates = dict[str, dict[str, Any]]

PREPARATION = "plain"
# What people express: negations, ratings, ! and ?
STEPS = {
    "stop_words": "keep",
    "lemmas": "none",
    "numbers": False,
    "contractions": "keep",
    "emphasis": True,
}
_FEW_ROWS, _MANY_ROWS = 5_000, 50_000
_FEW_LABELS, _SOME_LABELS = 2, 20
_SVM_ROWS = 2_000
_LANGUAGE = "English"
# Measured: vectors of sentences take 0.25 to 0.8 ms on a processor for each part of a word, so 14
# ms for a question of ten words on a slow one. A first retraining may spend two minutes on them.
_SECONDS = 120.0
_SECONDS_OF_A_PART = 0.0005
_PARTS_OF_A_WORD, _PARTS_OF_A_TEXT, _MOST_PARTS = 1.3, 2, 128


def candidates_for(findings: Findings) -> Candidates:
    """Return the candidates that suit some data, by name."""
    labels = len(label_counts(findings.label) or ())
    has_texts = any(each.role is Role.TEXT for each in findings.fields)
    rows = findings.table.rows
    text = findings.text
    if text is None:
        return _of_records_with_texts() if has_texts else _of_records(rows)
    embedding = _embedding_for(text, rows)
    return _of_texts(labels, rows, words=_are_words_counted(findings), embedding=embedding)


def _embedding_for(text: TextFindings, rows: int) -> str | None:
    """Return the vectors that suit some texts, of those that are installed."""
    # What comes with the extras knows little of other languages.
    if text.language != _LANGUAGE or rows >= _MANY_ROWS:
        return None
    parts = min(text.words * _PARTS_OF_A_WORD + _PARTS_OF_A_TEXT, _MOST_PARTS)
    if rows * parts * _SECONDS_OF_A_PART <= _SECONDS and not missing_for("sentences"):
        return "sentence"
    return None if missing_for("embeddings") else "static"


def steps_for(text: TextFindings) -> dict[str, Any]:
    """Return the steps that suit some texts before anything is counted.

    Languages that are surely not English are counted by groups of characters, too, which tell more
    with the punctuation around a word. Without spaces there is no such edge, and no gain.
    """
    is_other = text.language not in {None, _LANGUAGE} or "Latin" not in text.scripts
    return STEPS | {"punctuation": False} if is_other and not text.is_unspaced else STEPS


def _are_words_counted(findings: Findings) -> bool:
    """Return whether `analyzer: auto` will count words alone."""
    assert findings.text is not None
    values = findings.columns[findings.text.column].column.present
    texts = [value for value in values if isinstance(value, str)]
    return choose_analyzer(pa.array(texts, pa.large_string())).analyzer == "words"


def _of_texts(labels: int, rows: int, *, words: bool, embedding: str | None) -> Candidates:
    pairs = {"analyzer": "auto", "bigrams": True, "min_documents": 2 if rows < _MANY_ROWS else 3}
    found: Candidates = {}
    if labels <= _SOME_LABELS:
        # One model for each label.
        found["nbsvm"] = _tfidf("nb_svm", {"C": 50.0, "alpha": 0.5, "beta": 0.7}, **pairs)
    if labels == _FEW_LABELS:
        found["bayes"] = _text_model("counts", "multinomial_naive_bayes", {}, **pairs, binary=True)
        parameters: dict[str, Any] = {"C": 20.0, "solver": "liblinear", "dual": True}
        found["logistic"] = _tfidf("logistic_regression", parameters, **pairs)
    else:
        found["bayes"] = _text_model("counts", "complement_naive_bayes", {"alpha": 0.3}, **pairs)
    found["svm"] = _tfidf("linear_svm", {"estimator__C": 0.5}, **pairs)
    if labels > _FEW_LABELS and rows < _MANY_ROWS and words:
        # Groups of characters see what few examples of each label have in common.
        pairs["analyzer"] = "both"
        found["svm-both"] = _tfidf("linear_svm", {"estimator__C": 0.5}, **pairs)
    if embedding is not None:
        parameters = {"estimator__C": 0.5}
        found["embedded"] = _tfidf("linear_svm", parameters, **pairs, embedding=embedding)
    return found


def _tfidf(estimator: str, parameters: dict[str, Any], **features: Any) -> dict[str, Any]:
    return _text_model("tfidf", estimator, parameters, **features, sublinear=True)


def _text_model(
    weighting: str, estimator: str, parameters: dict[str, Any], **features: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "preparation": PREPARATION,
        "features": {"weighting": weighting, **features},
        "estimator": estimator,
    }
    return found | ({"parameters": parameters} if parameters else {})


def _of_records_with_texts() -> Candidates:
    """Return candidates for many sparse columns: linear ones, and trees that grow fast on them."""
    features = {"scale": "standard", "texts": {"analyzer": "both"}}
    return {
        "logistic": {
            "features": features,
            "estimator": "logistic_regression",
            "parameters": {"C": 10.0, "max_iter": 1000},
        },
        "svm": {
            "features": features,
            "estimator": "linear_svm",
            "parameters": {"estimator__C": 0.5},
        },
        "boosted": {
            "features": {"texts": {"max_features": 2000}},
            "estimator": "xgboost",
            "parameters": {
                "n_estimators": 200,
                "max_depth": 6,
                "learning_rate": 0.1,
                "colsample_bytree": 0.3,
            },
        },
    }


def _of_records(rows: int) -> Candidates:
    scaled = {"scale": "standard"}
    found: Candidates = {
        "logistic": {
            "features": scaled,
            "estimator": "logistic_regression",
            "parameters": {"C": 1.0, "max_iter": 2000},
        },
        "forest": {
            "estimator": "random_forest",
            "parameters": {
                "n_estimators": 200 if rows < _MANY_ROWS else 100,
                "min_samples_leaf": 2 if rows < _FEW_ROWS else 5,
            },
        },
        "boosted": {
            "estimator": "xgboost",
            "parameters": _growing_trees(rows) | {"subsample": 0.8, "colsample_bytree": 0.8},
        },
    }
    if rows <= _SVM_ROWS:
        found["svm"] = {"features": scaled, "estimator": "svm", "parameters": {"C": 1.0}}
    return found


def _growing_trees(rows: int) -> dict[str, Any]:
    """Return how many trees mend each other, and how deep they are.

    Deeper ones learn a table of ten thousand rows by heart: 0.719 of employees (7,847 rows) are
    known by trees of depth 6, 0.738 by those of depth 4.
    """
    if rows < _FEW_ROWS:
        return {"n_estimators": 200, "max_depth": 3, "learning_rate": 0.08}
    if rows < _MANY_ROWS:
        return {"n_estimators": 200, "max_depth": 4, "learning_rate": 0.05}
    return {"n_estimators": 400, "max_depth": 6, "learning_rate": 0.08}
