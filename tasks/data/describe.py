"""Describe: pictures of the documents that a retraining learns from."""

from __future__ import annotations

from perennial.config.problem import Problem
from perennial.inputs.base import inputs_of
from perennial.registry.client import open_registry
from perennial.settings import get_settings
from tasks.data.prepare import Dataset


def describe(problem: Problem, dataset: Dataset, run_id: str) -> None:
    """Keep pictures of the training documents with a run, if there are any of their kind.

    It is no Prefect task: for texts it does nothing, and a task takes a tenth of a second.
    """
    fields = inputs_of(problem).fields
    if fields is not None:
        # Matplotlib takes seconds to import.
        from perennial.plots.data import data_plots

        labels = dataset.labels.tolist()
        plots = data_plots(fields, dataset.inputs, labels, problem.classes, problem.name)
        figures = {f"plots/data/{name}": figure for name, figure in plots.items()}
        open_registry(get_settings()).log_files(run_id, texts={}, figures=figures)
