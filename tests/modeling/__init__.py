"""Tests of `modeling`."""
