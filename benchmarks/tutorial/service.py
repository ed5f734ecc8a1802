"""The tutorials' service: Flask answers one text with the pickled vectoriser and classifier.

gunicorn --workers 2 "benchmarks.tutorial.service:create_app('WORK', 'tfidf')"
"""

from pathlib import Path
from typing import Any

from flask import Flask, jsonify, request

from benchmarks.tutorial.clean import (
    lemmatize,
    lower_case,
    remove_numbers,
    remove_punctuation,
    remove_stop_words,
    remove_urls,
)
from benchmarks.tutorial.files import Files, load_pickle


def clean_one(text: str) -> str:
    """Return a text after the plain preparation; the stop words are read anew for each."""
    for step in (lower_case, remove_urls, remove_punctuation, remove_numbers):
        text = step(text)
    return lemmatize(remove_stop_words(text))


def create_app(work: str, features: str) -> Any:
    """Return the application for what the pipeline left in its working folder."""
    files = Files(Path(work))
    vectorizer, model = load_pickle(files.vectorizer(features)), load_pickle(files.model)
    # NLTK reads WordNet when it is first asked, for seconds; not while a request waits.
    clean_one("films")
    app = Flask(__name__)

    @app.get("/ping")
    def ping() -> str:
        return "ready"

    @app.post("/predict")
    def predict() -> Any:
        texts = request.get_json()["texts"]
        cleaned = [clean_one(text) for text in texts]
        probability = model.predict_proba(vectorizer.transform(cleaned))[:, 1]
        return jsonify([{"label": int(p > 0.5), "probability": float(p)} for p in probability])

    return app
