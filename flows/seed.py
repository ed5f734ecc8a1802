"""Seed: fill a problem's collection from a file, or with the dataset that the problem names.

perennial seed sentiment
perennial seed iris
perennial seed sentiment --file texts.csv --text-column body --label-column verdict
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from perennial.config.loader import load_problem
from perennial.inputs.base import inputs_of
from perennial.settings import get_settings
from tasks.data.datasets import builtin_rows
from tasks.data.seed import SeedResult, load, read_rows
from tasks.orchestration.retries import quiet_prefect_logs


@flow(name="seed", flow_run_name="seed {problem}")
def seed(
    problem: str = "sentiment",
    *,
    file: Path | None = None,
    text_column: str = "text",
    label_column: str = "label",
    source: str | None = None,
) -> SeedResult:
    """Load labelled documents into MongoDB; run twice, it adds nothing twice.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    file : Path or None
        A CSV, JSON Lines or Parquet file; None takes the dataset that the problem names.
    text_column, label_column : str
        The columns of the file; those of a record are named as its fields.
    source : str or None
        Load only rows whose column ``source`` has this value, or another part of the dataset.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem))
    if file is None:
        return load(spec, builtin_rows(spec, source))
    inputs = inputs_of(spec)
    given = (text_column,) if inputs.fields is None else inputs.names
    columns = dict(zip(given, inputs.names, strict=True))
    return load(spec, read_rows(file, columns, label=label_column, source=source))


if __name__ == "__main__":
    from flows.cli import main

    main(seed)
