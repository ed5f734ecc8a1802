"""The retraining benchmark's peer: the pipeline that machine learning tutorials teach.

Six plain scripts, run one after the other by a tool such as DVC, hand CSV and pickle files to
each other: `ingest`, `clean`, `features`, `train`, `evaluate`, `register`. Text is cleaned with
NLTK, one pandas `apply` per step; a bag of words feeds a logistic regression; MLflow tracks and
registers it.
"""
