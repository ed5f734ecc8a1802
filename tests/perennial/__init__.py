"""Tests of `perennial`."""
