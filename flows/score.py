"""Score: classify a whole collection, or a file, with the Production model.

perennial score sentiment
perennial score sentiment --collection archive --query '{"language": "en"}'
perennial score sentiment --file texts.parquet --out classified.parquet
perennial score sentiment --file texts.csv.gz --text-column body --out classified.csv
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefect import flow

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.query import QueryError, read_query
from perennial.settings import get_settings
from perennial.stores.measurements import Gauge, record
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.scoring.batch import ScoreResult
from tasks.scoring.collection import Place
from tasks.scoring.collection import score as score_documents
from tasks.scoring.file import score_file


@flow(name="score", flow_run_name="score {problem}")
def score(
    problem: str = "sentiment",
    *,
    database: str | None = None,
    collection: str | None = None,
    query: str | None = None,
    file: Path | None = None,
    out: Path | None = None,
    text_column: str | None = None,
    encoding: str | None = None,
    again: bool = False,
) -> ScoreResult:
    """Classify what Production has not classified yet; run twice, it classifies nothing twice.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    database, collection : str or None
        Where the documents are; None takes the problem's.
    query : str or None
        A MongoDB filter on them, as extended JSON; None takes the problem's.
    file : Path or None
        A file to classify instead of documents, in any format that `perennial seed` reads.
    out : Path or None
        The file to write, with ``--file``: Parquet or CSV, as its ending says.
    text_column : str or None
        The column of the text in the file; None takes the name of its field.
    encoding : str or None
        The encoding of the file, such as windows-1252; None finds it.
    again : bool
        Classify also what this version has classified already.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem))
    if file is not None or out is not None:
        if file is None or out is None:
            raise OutsideError("--file and --out belong together: what to read, what to write.")
        return score_file(spec, file, out, text_column=text_column, encoding=encoding, again=again)
    scored = score_documents(spec, _place(spec, database, collection, query), again=again)
    record("score", spec, _gauges(scored))
    return scored


def _place(spec: Problem, database: str | None, collection: str | None, query: str | None) -> Place:
    source = spec.source
    return Place(
        database or source.database,
        collection or source.collection,
        source.query if query is None else _parse(query),
    )


def _parse(query: str) -> dict[str, Any]:
    try:
        parsed = json.loads(query)
    except (ValueError, RecursionError) as error:
        raise OutsideError(f"--query {query!r} is not JSON: {error}.") from error
    if not isinstance(parsed, dict):
        raise OutsideError(f"--query {query!r} must be a JSON object, such as {{}}.")
    try:
        return read_query(parsed)
    except QueryError as error:
        raise OutsideError(f"--query {query!r} cannot be used: {error}.") from error


def _gauges(scored: ScoreResult) -> list[Gauge]:
    return [
        Gauge("score_documents", scored.classified),
        Gauge("score_skipped_documents", sum(scored.skipped.values())),
        Gauge("score_seconds", scored.seconds),
        Gauge("score_version", scored.version),
    ]


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(score)
