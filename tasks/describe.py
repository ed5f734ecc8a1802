"""Describe: pictures of the documents that a retraining learns from."""

from __future__ import annotations

import registry
from modeling.inputs import inputs_of
from modeling.problem import Problem
from settings import get_settings
from tasks.prepare import Dataset


def describe(problem: Problem, dataset: Dataset, run_id: str) -> None:
    """Keep pictures of the training documents with a run, if there are any of their kind.

    It is no Prefect task: for texts it does nothing, and a task takes a tenth of a second.
    """
    plots = inputs_of(problem).plots(dataset.inputs, dataset.labels.tolist(), problem)
    if plots:
        figures = {f"plots/data/{name}": figure for name, figure in plots.items()}
        registry.connect(get_settings()).log_files(run_id, texts={}, figures=figures)
