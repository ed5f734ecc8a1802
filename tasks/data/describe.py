"""Describe: how documents were divided, and pictures of those that a retraining learns from."""

from __future__ import annotations

from perennial.config.problem import Problem
from perennial.inputs.base import inputs_of
from perennial.registry.client import open_registry
from perennial.settings import get_settings
from tasks.data.prepare import Dataset


def describe(problem: Problem, dataset: Dataset, run_id: str) -> None:
    """Keep the split and, of records, pictures of the training documents with a run.

    It is no Prefect task, which takes a tenth of a second.
    """
    registry, split = open_registry(get_settings()), dataset.split
    registry.log(run_id, params=split.params, metrics=split.figures)
    fields = inputs_of(problem).fields
    if fields is not None:
        # Matplotlib takes seconds to import.
        from perennial.plots.data import data_plots

        labels = dataset.labels.tolist()
        plots = data_plots(fields, dataset.inputs, labels, problem.classes, problem.name)
        figures = {f"plots/data/{name}": figure for name, figure in plots.items()}
        registry.log_files(run_id, texts={}, figures=figures)
