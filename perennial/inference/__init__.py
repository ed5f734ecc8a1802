"""Predictors: a fitted pipeline, made fast, with explanations."""
