"""What `monitor` reads of snapshots of different sizes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.common import interleave, medians, run_module
from benchmarks.ours import Project
from benchmarks.scaling.retraining import holds
from perennial.config.loader import load_problem
from perennial.documents.judgement import Rules
from perennial.documents.revisions import as_read, completed, row_digests, schema_of
from perennial.hashing import HASH_BYTES
from perennial.inputs.base import Inputs, inputs_of
from perennial.inputs.identity import CURRENT_IDENTITY, hash_array
from perennial.registry.model_version import ModelVersion
from perennial.registry.tags import TAG, VersionTags
from perennial.settings import get_settings
from perennial.stores.snapshots.store import Draft, SnapshotStore
from tasks.monitoring.holdout_sample import holdout_sample

MONITORED = (50_000, 1_000_000)
# Twenty times the records may cost this many times as much.
CLAIMED_MONITOR_RATIO = 1.3
_MADE = 50_000
_RECORDS = "records"
_FIELDS = tuple(f"field_{number:02}" for number in range(20))


class Recorded:
    """A project with a snapshot of made records, and a version that has learned from it.

    The rows are made by columns: to read a million documents from MongoDB takes minutes, and
    `monitor` does not do it.
    """

    def __init__(self, scratch: Path, count: int) -> None:
        problems = scratch / "problems"
        problems.mkdir(exist_ok=True)
        content = {
            "source": {"database": _RECORDS, "collection": _RECORDS},
            "inputs": dict.fromkeys(_FIELDS, "number"),
            "labels": {"no": 0, "yes": 1},
            "candidates": {"logistic": {"estimator": "logistic_regression"}},
        }
        (problems / f"{_RECORDS}.yaml").write_text(json.dumps(content), encoding="utf-8")
        self._project = Project(scratch, f"monitored-{count}", problems)
        problem = load_problem(problems / f"{_RECORDS}.yaml")
        draft = Draft(Rules.of(problem), "made", CURRENT_IDENTITY, dict.fromkeys(_FIELDS, "number"))
        store = SnapshotStore(_RECORDS, self._project.settings)
        self._snapshot = store.append(_made(inputs_of(problem), count), draft, None)

    def read(self) -> dict[str, float]:
        """Read the sample in a process of its own, and return what that took."""
        log = self._project.data / "monitor.log"
        said = (self._snapshot.version, self._snapshot.digest)
        run_module(
            ["benchmarks.scaling", "--read-sample", *map(str, said)], self._project.environment, log
        )
        figures: dict[str, float] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
        return figures


def _made(inputs: Inputs, count: int) -> Iterator[pa.Table]:
    """Yield revisions of records with random values."""
    draw = np.random.default_rng(0)
    schema = schema_of(inputs)
    column = schema.field(inputs.column.name)
    for start in range(0, count, _MADE):
        size = min(_MADE, count - start)
        values = [pa.array(draw.standard_normal(size)) for _ in _FIELDS]
        rows = pa.table(
            {
                "id": [f"record-{number}" for number in range(start, start + size)],
                "deleted": pa.array(np.zeros(size, np.bool_)),
                "created_at": pa.array([datetime.now(UTC)] * size, pa.timestamp("us", "UTC")),
                "label": pa.array(draw.integers(2, size=size)).cast(pa.string()),
                "content": hash_array([draw.bytes(HASH_BYTES) for _ in range(size)]),
                column.name: pa.StructArray.from_arrays(values, fields=list(column.type)),
            }
        )
        rows = completed(rows, schema.names)
        plain = as_read(rows, dict.fromkeys(_FIELDS, "number"))
        digests = pa.array(list(row_digests(plain)), pa.binary())
        place = rows.schema.get_field_index("digest")
        yield rows.set_column(place, "digest", digests).select(schema.names).cast(schema)


def read_sample_here(version: int, digest: str) -> None:
    """Read the sample in this process, and print what that took as JSON."""
    problem = load_problem(get_settings().problem_file(_RECORDS))
    tags = VersionTags(
        holdout=problem.holdout, split=problem.split.by, snapshot=(version, digest)
    ).as_tags()
    production = ModelVersion(_RECORDS, 1, "", {TAG + key: value for key, value in tags.items()})
    before, start = _peak_mb(), time.process_time()
    _, sample = holdout_sample(problem, production)
    seconds, after = time.process_time() - start, _peak_mb()
    figures = {"cpu": seconds, "mb": after - before, "peak_mb": after}
    print(json.dumps(figures | {"documents": len(sample)}))


def _peak_mb() -> float:
    """Return the largest resident memory of this process, without that of the one it came from."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


def measure_monitor(sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Draw the sample of every size once, then read it in every round."""
    figures = []
    with TemporaryDirectory() as name:
        sized = {size: Recorded(Path(name), size) for size in sizes}
        drawn = {size: some.read() for size, some in sized.items()}
        kept = interleave(rounds, {str(size): some.read for size, some in sized.items()})
        figures = [
            {"records": size, "drawn": drawn[size], "kept": medians(kept[str(size)])}
            for size in sizes
        ]
    return {"rounds": rounds, "monitor": figures}


def show_monitor(figures: Mapping[str, Any]) -> None:
    """Print what reading a sample takes, and what is claimed of it."""
    rows = figures["monitor"]
    table = Table(title="What `monitor` reads of a snapshot", title_justify="left")
    for name in ("records", "drawn, CPU s", "MB more", "kept, CPU s", "MB more", "MB in all"):
        table.add_column(name, justify="right")
    for row in rows:
        drawn, kept = row["drawn"], row["kept"]
        numbers = (drawn["cpu"], drawn["mb"], kept["cpu"], kept["mb"], kept["peak_mb"])
        table.add_row(f"{row['records']:,}", *(f"{number:.2f}" for number in numbers))
    few, many = rows[0]["kept"], rows[-1]["kept"]
    grown = max(many[name] / few[name] for name in ("cpu", "peak_mb"))
    Console().print(
        table,
        f"{rows[-1]['records']:,} records cost {grown:.2f} times what {rows[0]['records']:,} do "
        f"(claimed: at most {CLAIMED_MONITOR_RATIO}): {holds(grown <= CLAIMED_MONITOR_RATIO)}",
    )
