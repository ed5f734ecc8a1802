"""The retraining benchmark's peer: the pipeline that machine learning tutorials teach.

Plain scripts, run one after the other by a tool such as DVC, hand CSV and pickle files to each
other: `ingest`, `clean` per preparation, `features` per bag of words, `train` per candidate, then
`select`, `evaluate` and `register`. Text is cleaned with pandas and NLTK, one `apply` per step;
scikit-learn counts and fits; MLflow tracks and registers.
"""
