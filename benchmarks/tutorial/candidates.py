"""The same candidates as in benchmarks/tutorial/problem.yaml, as a tutorial writes them down."""

from dataclasses import dataclass
from typing import Any

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

PREPARATIONS = ("plain", "expressive")
# A cleaned text is words between spaces; "!" and "?" are words of the expressive preparation.
_TOKENS = {"lowercase": False, "tokenizer": str.split, "token_pattern": None}


@dataclass(frozen=True)
class FeatureSet:
    """A vectoriser and the preparation whose texts it counts."""

    preparation: str
    vectorizer: Any


@dataclass(frozen=True)
class Candidate:
    """An estimator and the features that it learns from."""

    features: str
    estimator: Any


def feature_sets() -> dict[str, FeatureSet]:
    """Return every bag of words by name."""
    bigrams = TfidfVectorizer(min_df=2, ngram_range=(1, 2), sublinear_tf=True, **_TOKENS)
    return {
        "bow": FeatureSet("plain", CountVectorizer(min_df=2)),
        "tfidf": FeatureSet("plain", TfidfVectorizer(min_df=2)),
        "bigrams": FeatureSet("expressive", bigrams),
    }


def candidates() -> dict[str, Candidate]:
    """Return every candidate by name."""
    dual = {"solver": "liblinear", "dual": True}
    return {
        "bow-logistic": Candidate("bow", LogisticRegression(C=0.05, **dual)),
        "bow-bayes": Candidate("bow", MultinomialNB()),
        "tfidf-logistic": Candidate("tfidf", LogisticRegression(C=1.0, solver="liblinear")),
        "tfidf-bayes": Candidate("tfidf", MultinomialNB()),
        "bigrams-logistic": Candidate("bigrams", LogisticRegression(C=20.0, **dual)),
    }
