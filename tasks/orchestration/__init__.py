"""Prefect: retries, events, and one run of a problem at a time."""
