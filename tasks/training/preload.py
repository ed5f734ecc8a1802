"""Beforehand: what the last steps of a retraining need that has nothing to do with its documents.

Matplotlib, and what MLflow writes a model with, take more than a second to import. The first steps
leave a processor idle now and then; the last ones would make everything wait.
"""

from __future__ import annotations

from perennial.registry import artifact


def get_ready() -> None:
    """Import what draws the pictures and what writes the model."""
    artifact.get_ready()
