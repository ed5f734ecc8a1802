"""Drift and live quality of the version in Production."""
