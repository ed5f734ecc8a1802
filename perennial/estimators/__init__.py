"""Estimators for scikit-learn's pipelines, and their linear form."""
