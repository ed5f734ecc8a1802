"""Quality: what a person reaches who knows nothing of us, against an expert's ten lines.

python -m benchmarks.problems
python -m benchmarks.problems --only 'Chinese|Russian'
python -m benchmarks.problems --part given --banking77 FOLDER
python -m benchmarks.problems --part speed

Each data set is one that a package brings along; one that is not installed is skipped, with the
name of its package. *Ours* is `init`, `seed` and `retrain` on the rows as a CSV file, without an
edit. *The expert* writes ten lines of scikit-learn or XGBoost for this very data set, learns from
the same documents, and is judged on the same holdout. Time is that of the processor.

With ``--part speed`` nothing is compared: it says what groups of characters and static vectors cost
where texts are answered.

With ``--part given`` data sets come with a test part of their own, or with few labels to learn
from: the candidates of `init` are fitted and chosen without a retraining around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import parser, write_json
from benchmarks.problems.base import NotInstalledError, Sets

_WIDTH = 160
_COLUMNS = {
    "rows": "{:,}",
    "labels": "{}",
    "holdout": "{:,}",
    "metric": "{}",
    "ours": "{:.4f}",
    "expert": "{:.4f}",
    "challenger": "{}",
    "outcome": "{}",
    "seconds": "{:.0f}",
    "expert_seconds": "{:.0f}",
    "single_ms": "{:.3f}",
    "batch_per_second": "{:,.0f}",
    "memory_mb": "{:.0f}",
}


def _sets(banking77: Path) -> Sets:
    from benchmarks.problems import records, texts

    return {
        "reviews in Chinese": texts.chinese,
        "sayings in Russian": texts.russian,
        "names of 25 languages": texts.names,
        "film reviews, short": texts.snippets,
        "bank questions": partial(texts.intents, banking77),
        "Debian packages": texts.debian,
        "passengers": records.passengers,
        "passengers with names": records.passengers_with_names,
        "German credit": records.credit,
        "employees": records.employees,
        "heart": records.heart,
        "zoo": records.zoo,
        "caravan": records.caravan,
        "defaults": records.defaults,
        "juice": records.juice,
        "arrests": records.arrests,
        "tumours": records.tumours,
        "wines": records.wines,
        "genes": records.genes,
        "stock market": records.market,
    }


def _measured(only: str | None, banking77: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what a retraining reaches on every data set that is installed."""
    from benchmarks.problems.product import measure, project

    with project(), TemporaryDirectory() as folder:
        for name, load in _sets(banking77).items():
            if only is None or re.search(only, name):
                try:
                    data = load()
                except NotInstalledError as missing:
                    print(f"{name}: skipped, {missing} is not installed")
                    continue
                problem = name.lower().replace(",", "").replace(" ", "-")
                # The tables of a retraining are for those who look at one.
                with redirect_stdout(StringIO()):
                    found = measure(problem, data, Path(folder))
                yield name, asdict(found)


def _given(only: str | None, banking77: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from benchmarks.problems.given import measured

    return measured(only, banking77)


def _speed(only: str | None, _: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from benchmarks.problems.speed import measured

    return measured(only)


def _line(found: Mapping[str, Any]) -> str:
    known = ((column, form) for column, form in _COLUMNS.items() if column in found)
    return ", ".join(
        f"{column.replace('_', ' ')} {form.format(found[column])}" for column, form in known
    )


def _table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = [name for name in _COLUMNS if any(name in found for found in results.values())]
    table = Table("data", *(name.replace("_", " ") for name in columns))
    for name, found in results.items():
        table.add_row(name, *(_COLUMNS[column].format(found[column]) for column in columns))
    return table


def main() -> None:
    """Measure what is installed, and print the table."""
    options = parser(__doc__, rounds=1)
    options.add_argument("--part", choices=("whole", "given", "speed"), default="whole")
    options.add_argument("--only", help="regular expression of names of data sets")
    options.add_argument("--banking77", type=Path, default=Path("banking77"), help="its folder")
    arguments = options.parse_args()
    measured = {"whole": _measured, "given": _given, "speed": _speed}[arguments.part]
    results: dict[str, Mapping[str, Any]] = {}
    for name, found in measured(arguments.only, arguments.banking77):
        results[name] = found
        # What was measured stays, also when the rest is interrupted.
        print(f"{name}: {_line(found)}", flush=True)
    Console(width=_WIDTH).print(_table(results))
    write_json(arguments.json, results)


if __name__ == "__main__":
    main()
