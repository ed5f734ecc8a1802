"""Candidates for unknown data: what an expert would try, by kind, size and labels."""

from __future__ import annotations

from typing import Any

from perennial.extras import missing_for
from perennial.profile.columns import Role
from perennial.profile.findings import Findings
from perennial.profile.labels import label_counts

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


def candidates_for(findings: Findings) -> Candidates:
    """Return the candidates that suit some data, by name."""
    labels = len(label_counts(findings.label) or ())
    has_texts = any(each.role is Role.TEXT for each in findings.fields)
    rows = findings.table.rows
    text = findings.text
    # The vectors that come with the extra know little of other languages.
    embeddings = text is not None and text.language == _LANGUAGE and not missing_for("embeddings")
    return candidates_of(
        findings.task, labels=labels, rows=rows, has_texts=has_texts, embeddings=embeddings
    )


def candidates_of(
    task: str, *, labels: int, rows: int, has_texts: bool = False, embeddings: bool = False
) -> Candidates:
    """Return the candidates that suit texts, or records, of so many labels and rows.

    Parameters
    ----------
    task : {"text", "record"}
        What is classified.
    labels, rows : int
        How many there are.
    has_texts : bool
        Whether a field of the records is a text.
    embeddings : bool
        Whether texts have vectors.
    """
    if task == "text":
        return _of_texts(labels, rows, embeddings=embeddings)
    return _of_records_with_texts() if has_texts else _of_records(rows)


def _of_texts(labels: int, rows: int, *, embeddings: bool) -> Candidates:
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
    if labels > _FEW_LABELS and rows < _MANY_ROWS:
        # Groups of characters see what few examples of each label have in common.
        pairs["analyzer"] = "both"
        found["svm-both"] = _tfidf("linear_svm", {"estimator__C": 0.5}, **pairs)
    if embeddings and rows < _MANY_ROWS:
        found["embedded"] = _tfidf("linear_svm", {"estimator__C": 0.5}, **pairs, embedding="static")
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
            "parameters": {
                "n_estimators": 200 if rows < _FEW_ROWS else 400,
                "max_depth": 3 if rows < _FEW_ROWS else 6,
                "learning_rate": 0.08,
                "subsample": 0.8,
                "colsample_bytree": 0.8,
            },
        },
    }
    if rows <= _SVM_ROWS:
        found["svm"] = {"features": scaled, "estimator": "svm", "parameters": {"C": 1.0}}
    return found
