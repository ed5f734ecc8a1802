"""Experts: ten lines of scikit-learn or XGBoost each, by somebody who knows the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from xgboost import XGBClassifier

from benchmarks.problems.base import Expert, Labels


def words(rows: pd.DataFrame, labels: Labels, asked: pd.DataFrame) -> Labels:
    """Say what a linear SVM of words and pairs of them says."""
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = make_pipeline(vectors, LinearSVC(C=0.5))
    return _predicted(model, rows["text"], labels, asked["text"])


def characters(shortest: int, longest: int) -> Expert:
    """Return one who knows how long the groups of characters should be."""

    def expert(rows: pd.DataFrame, labels: Labels, asked: pd.DataFrame) -> Labels:
        vectors = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(shortest, longest), min_df=2, sublinear_tf=True
        )
        model = make_pipeline(vectors, LinearSVC(C=0.5))
        return _predicted(model, rows["text"], labels, asked["text"])

    return expert


def words_and_fields(*texts: str) -> Expert:
    """Return one who knows which columns are texts."""

    def expert(rows: pd.DataFrame, labels: Labels, asked: pd.DataFrame) -> Labels:
        others = [name for name in rows.columns if name not in texts]
        vectors = [
            (name, TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), name)
            for name in texts
        ]
        columns = ColumnTransformer([*vectors, ("fields", _encoded(), others)])
        model = make_pipeline(columns, LinearSVC(C=0.5))
        filled = dict.fromkeys(texts, "")
        return _predicted(model, rows.fillna(filled), labels, asked.fillna(filled))

    return expert


def linear(rows: pd.DataFrame, labels: Labels, asked: pd.DataFrame) -> Labels:
    """Say what a logistic regression of scaled numbers and categories says."""
    model = make_pipeline(_encoded(), LogisticRegression(max_iter=2000))
    return _predicted(model, rows, labels, asked)


def boosted(rows: pd.DataFrame, labels: Labels, asked: pd.DataFrame) -> Labels:
    """Say what trees say, each of which mends the ones before."""
    encoded = _encoded()
    trees = XGBClassifier(
        n_estimators=150, max_depth=4, learning_rate=0.08, subsample=0.8, n_jobs=1
    )
    names, codes = np.unique(labels, return_inverse=True)
    trees.fit(encoded.fit_transform(rows), codes)
    found: Labels = names[trees.predict(encoded.transform(asked))]
    return found


def tuned(rows: pd.DataFrame, labels: Labels, asked: pd.DataFrame) -> Labels:
    """Say what a logistic regression says whose threshold has the best F1 out of fold."""
    rare, common = sorted(set(labels), key=lambda label: int((labels == label).sum()))
    model = make_pipeline(_encoded(), LogisticRegression(C=0.05, max_iter=500))
    scores = cross_val_predict(model, rows, labels == rare, method="predict_proba")[:, 1]
    tried = np.linspace(0.02, 0.5, 49)
    best = tried[np.argmax([f1_score(labels == rare, scores > each) for each in tried])]
    found = model.fit(rows, labels == rare).predict_proba(asked)[:, 1]
    said: Labels = np.where(found > best, rare, common)
    return said


def _encoded() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", min_frequency=2)
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include=np.number)),
            ("categories", categories, make_column_selector(dtype_exclude=np.number)),
        ]
    )


def _predicted(model: Any, rows: Any, labels: Labels, asked: Any) -> Labels:
    return np.asarray(model.fit(rows, labels).predict(asked), np.str_)
