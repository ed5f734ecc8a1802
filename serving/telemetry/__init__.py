"""Metrics and the prediction log."""
