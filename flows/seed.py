"""Seed: fill a problem's collection from a file, or with the dataset that the problem names.

perennial seed sentiment
perennial seed iris
perennial seed intents
perennial seed sentiment --file texts.csv --text-column body --label-column verdict
perennial seed sentiment --file texts.tsv.gz --id-column number --encoding windows-1252
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger

from perennial.config.loader import load_problem
from perennial.files.labelled import open_labelled
from perennial.settings import get_settings
from tasks.data.datasets import builtin_file, builtin_rows
from tasks.data.examples import bring_example
from tasks.data.seed import SeedResult, TableRows, load
from tasks.orchestration.retries import quiet_prefect_logs

_EXAMPLES = Path(__file__).with_name("examples")


@flow(name="seed", flow_run_name="seed {problem}")
def seed(
    problem: str = "sentiment",
    *,
    file: Path | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    encoding: str | None = None,
    source: str | None = None,
    replace: bool = False,
) -> SeedResult:
    """Load labelled documents into MongoDB; run twice, it adds nothing twice.

    The problem's file of an example comes along where the project has none of its name.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    file : Path or None
        A CSV, TSV, JSON, JSON Lines, Parquet or XLSX file, also packed as .gz, .bz2 or .xz; None
        takes the dataset that the problem names.
    text_column, label_column : str or None
        The columns of the file; None takes those that are named as the problem's fields, or else
        text and label. Those of a record are named as its fields.
    id_column : str or None
        The column of the ids; None takes _id where there is one, or makes ids of the contents.
    encoding : str or None
        The encoding of the file, such as windows-1252; None finds it.
    source : str or None
        Load only rows whose column ``source`` has this value, or another part of the dataset.
    replace : bool
        Give documents that the collection has already the values of the file; otherwise it is said
        how many differ, and they stay as they are.
    """
    quiet_prefect_logs()
    settings = get_settings()
    if bring_example(problem, settings.problems_dir, _EXAMPLES):
        get_run_logger().info("%s is the file of this example.", settings.problem_file(problem))
    spec = load_problem(settings.problem_file(problem))
    file = file or builtin_file(spec)
    if file is None:
        return load(spec, TableRows(spec, builtin_rows(spec, source)), replace=replace)
    documents = open_labelled(
        spec,
        file,
        text_column=text_column,
        label_column=label_column,
        id_column=id_column,
        encoding=encoding,
        source=source,
    )
    return load(spec, documents, replace=replace)


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(seed)
