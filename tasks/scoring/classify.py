"""Classify: ask the Production model, in the process of a flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE
from rich.console import Console
from rich.table import Table

from perennial.registry.client import open_registry
from perennial.settings import get_settings
from tasks.orchestration.retries import COMPUTING_SECONDS


@dataclass(frozen=True)
class Classification:
    """One text with the label that a version of the model gives it, and the label's probability."""

    text: str
    label: str
    probability: float
    version: int


@task(name="classify", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def classify(problem: str, texts: Sequence[str]) -> list[Classification]:
    """Label texts with the model that is in Production now.

    Raises
    ------
    OutsideError
        If the problem has no Production model, or MLflow cannot be used.
    """
    registry = open_registry(get_settings())
    production = registry.require_production(problem)
    model = registry.load(production)
    labels, probabilities = model.predict(list(texts)), model.predict_proba(list(texts))
    return [
        Classification(
            text, str(label), float(row[list(model.classes_).index(label)]), production.version
        )
        for text, label, row in zip(texts, labels, probabilities, strict=True)
    ]


def show(answers: Sequence[Classification]) -> None:
    """Print the answers as a table."""
    table = Table(title=f"Answers of version {answers[0].version}", title_justify="left")
    for name in ("label", "probability", "text"):
        table.add_column(name)
    for answer in answers:
        table.add_row(answer.label, f"{answer.probability:.3f}", answer.text)
    Console().print(table)
