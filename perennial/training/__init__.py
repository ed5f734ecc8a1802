"""Pipelines, cross-validation and threshold tuning."""
