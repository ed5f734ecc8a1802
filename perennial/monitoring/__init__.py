"""Drift tests, live quality, and the alarm."""
