"""Scaling: how the time and the memory of a retraining grow with the number of documents.

python -m benchmarks.scaling --plot scaling.png

Each measurement is one process that runs the whole flow of `problems/sentiment.yaml`, from a
MongoDB that has the documents already to the verdict; MLflow and Prefect start without databases.
Beyond the 25,000 film reviews they come again, each with three other words at the end, so that it
is another document. Their vocabulary therefore grows less than that of as many new reviews would.
`--texts short` takes sentences instead, of halves of two snippets with the same label; of these
8% have another one.

python -m benchmarks.scaling --part monitor

What `monitor` reads of a snapshot of records of twenty numbers: *drawn* from the snapshot, as for a
version from before samples were kept, and *kept*, as a retraining leaves it. Each is a process of
its own; its CPU seconds, and how much its largest memory grew.

*Process* is the wall time of the process, *steps* the sum of what the flow reports for its steps,
*memory* the largest resident memory of the process, without the embedded servers.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.common import interleave, medians, parser, read_reviews, run_module, write_json
from benchmarks.ours import Project, Retrained
from perennial.config.loader import load_problem
from perennial.documents.judgement import Rules
from perennial.documents.revisions import as_read, completed, row_digests, schema_of
from perennial.hashing import HASH_BYTES
from perennial.inputs.base import Inputs, inputs_of
from perennial.inputs.identity import CURRENT_IDENTITY, hash_array
from perennial.registry.model_version import ModelVersion
from perennial.registry.tags import TAG, VersionTags
from perennial.settings import PROJECT, get_settings
from perennial.stores import mongodb
from perennial.stores.snapshots.store import Draft, SnapshotStore
from tasks.data.seed import read_file, reviews_file
from tasks.monitoring.holdout_sample import holdout_sample

PROBLEM = "sentiment"
SIZES = (5_000, 10_000, 25_000, 50_000, 100_000)
# Four times the documents may take this many times as long.
CLAIMED_TIME_RATIO = 4.4
FROM, TO = 25_000, 100_000
WARM_UP = 2_000
MEGABYTE = 1_000_000
_BATCH = 1_000
_MADE = 50_000
_TAIL_WORDS = 3
_FLIPPED = 0.08


class Corpus:
    """Labelled texts, as many as are asked for; every beginning has both labels."""

    @abstractmethod
    def documents(self, count: int) -> Iterator[tuple[str, int]]:
        """Yield that many texts with their labels; the same ones each time."""


@dataclass(frozen=True)
class Long(Corpus):
    """The film reviews."""

    texts: Sequence[str]
    labels: Sequence[int]

    @classmethod
    def read(cls) -> Long:
        """Read and shuffle the reviews."""
        rows = read_reviews().to_pylist()
        random.Random(0).shuffle(rows)
        return cls([row["text"] for row in rows], [row["label"] for row in rows])

    def documents(self, count: int) -> Iterator[tuple[str, int]]:
        """Yield reviews, then reviews with other words at the end."""
        draw = random.Random(1)
        for position in range(count):
            index = position % len(self.texts)
            text = self.texts[index]
            if position >= len(self.texts):
                words = draw.choice(self.texts).split()
                text = " ".join([text, *draw.sample(words, min(_TAIL_WORDS, len(words)))])
            yield text, self.labels[index]


@dataclass(frozen=True)
class Short(Corpus):
    """Sentences made of halves of two snippets."""

    halves: Sequence[Sequence[str]]

    @classmethod
    def read(cls) -> Short:
        """Read the snippets and halve them, by label."""
        halves: tuple[list[str], list[str]] = ([], [])
        for row in read_file(reviews_file(), text="text", label="label").to_pylist():
            if row["source"] != "imdb":
                text = row["text"]
                middle = len(text) // 2
                halves[int(row["label"])].extend((text[:middle], text[middle:]))
        return cls(halves)

    def documents(self, count: int) -> Iterator[tuple[str, int]]:
        """Yield sentences, of which a share has the other label."""
        draw = random.Random(1)
        for _ in range(count):
            label = draw.randrange(2)
            text = " ".join(draw.sample(self.halves[label], 2))
            yield text, label ^ (draw.random() < _FLIPPED)


CORPORA: Mapping[str, type[Long | Short]] = {"long": Long, "short": Short}


class Sized:
    """The project with a MongoDB that holds a number of documents."""

    def __init__(self, scratch: Path, corpus: Corpus, count: int) -> None:
        self._project = Project(scratch, f"data-{count}", PROJECT / "problems")
        self.text_mb = self._seed(corpus, count) / MEGABYTE

    def retrain(self) -> Retrained:
        """Retrain with nothing there but the documents in MongoDB."""
        self._project.forget()
        return self._project.retrain(PROBLEM)

    def _seed(self, corpus: Corpus, count: int) -> int:
        """Insert the documents without a flow, which is quicker; return the bytes of the texts."""
        settings, size = self._project.settings, 0
        source = load_problem(settings.problems_dir / f"{PROBLEM}.yaml").source
        names, now = source.fields, datetime.now(UTC)
        with mongodb.connect(settings) as client:
            collection = client[source.database][source.collection]
            batch: list[mongodb.Document] = []
            for number, (text, label) in enumerate(corpus.documents(count), start=1):
                size += len(text.encode())
                document = {names.text: text, names.label: label, names.created_at: now}
                batch.append({"_id": f"review-{number}", **document})
                if len(batch) == _BATCH or number == count:
                    collection.insert_many(batch, ordered=False)
                    batch = []
        self._project.wait_for_servers()
        return size


def measure(texts: str, sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Run every size in every round and return what is written as JSON."""
    corpus = CORPORA[texts].read()
    with TemporaryDirectory() as name:
        scratch = Path(name)
        Sized(scratch, corpus, WARM_UP).retrain()
        sized = {str(size): Sized(scratch, corpus, size) for size in sizes}
        measured = interleave(rounds, {name: some.retrain for name, some in sized.items()})
        figures = [
            {"documents": int(name), "text_mb": some.text_mb, **_figures(measured[name])}
            for name, some in sized.items()
        ]
    return {"rounds": rounds, "texts": texts, "sizes": figures, **ratios(figures)}


def _figures(rounds: Sequence[Retrained]) -> dict[str, Any]:
    """Return the medians over the rounds of one size."""
    return {
        "seconds": median(r.usage.seconds for r in rounds),
        "cpu": median(r.usage.cpu for r in rounds),
        "seconds_steps": median(sum(r.steps.values()) for r in rounds),
        "peak_mb": median(r.usage.peak_mb for r in rounds),
        "steps": medians([r.steps for r in rounds]),
    }


def ratios(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return how much everything grows from 25,000 to 100,000 documents, if both were measured."""
    by_size = {some["documents"]: some for some in figures}
    if not {FROM, TO} <= set(by_size):
        return {}
    few, many = by_size[FROM], by_size[TO]
    return {
        f"{name}_ratio_25k_100k": many[key] / few[key]
        for name, key in (
            ("time", "seconds"),
            ("steps_time", "seconds_steps"),
            ("memory", "peak_mb"),
            ("data", "text_mb"),
        )
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print the figures of every size, and what is claimed of them."""
    table = Table(
        title=f"Retraining {PROBLEM}, median of {figures['rounds']} rounds", title_justify="left"
    )
    for name in ("documents", "text, MB", "process, s", "CPU, s", "steps, s", "memory, MB"):
        table.add_column(name, justify="right")
    for some in figures["sizes"]:
        table.add_row(
            f"{some['documents']:,}",
            f"{some['text_mb']:.1f}",
            f"{some['seconds']:.1f}",
            f"{some['cpu']:.1f}",
            f"{some['seconds_steps']:.1f}",
            f"{some['peak_mb']:.0f}",
        )
    Console().print(table, *_claims(figures))


def _claims(figures: Mapping[str, Any]) -> Iterator[str]:
    """Say what is claimed of 25,000 and 100,000 documents, and whether it holds."""
    if "time_ratio_25k_100k" not in figures:
        return
    time, steps, memory, data = (
        figures[f"{name}_ratio_25k_100k"] for name in ("time", "steps_time", "memory", "data")
    )
    yield (
        f"Four times the documents take {time:.2f} times as long, their steps {steps:.2f} times "
        f"(claimed: at most {CLAIMED_TIME_RATIO}): {_holds(max(time, steps) <= CLAIMED_TIME_RATIO)}"
    )
    yield (
        f"Memory grows {memory:.2f} times, the text {data:.2f} times (claimed: memory grows less): "
        f"{_holds(memory < data)}"
    )


def _holds(claim: bool) -> str:
    return "holds" if claim else "DOES NOT HOLD"


def plot(figures: Mapping[str, Any], path: Path) -> None:
    """Draw time and memory over the number of documents, both axes logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    sizes = figures["sizes"]
    documents = [some["documents"] for some in sizes]
    figure = Figure(figsize=(10, 4.4), dpi=110, layout="constrained", facecolor="white")
    panels = {
        "time, s": {"process": "seconds", "steps of the flow": "seconds_steps"},
        "size, MB": {"memory of the process": "peak_mb", "text of the documents": "text_mb"},
    }
    for axes, (unit, curves) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for name, key in curves.items():
            axes.plot(documents, [some[key] for some in sizes], marker="o", label=name)
        axes.set(xscale="log", yscale="log", xlabel="documents", ylabel=unit)
        lowest = min(sizes[0][key] for key in curves.values())
        proportional = [lowest * count / documents[0] for count in documents]
        axes.plot(documents, proportional, ":", color="gray", label="proportional to documents")
        axes.set_xticks(documents, [f"{count:,}" for count in documents])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(f"Retraining {PROBLEM}: from MongoDB to the verdict, one process")
    figure.savefig(path)


MONITORED = (50_000, 1_000_000)
# Twenty times the records may cost this many times as much.
CLAIMED_MONITOR_RATIO = 1.3
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
        f"(claimed: at most {CLAIMED_MONITOR_RATIO}): {_holds(grown <= CLAIMED_MONITOR_RATIO)}",
    )


def main() -> None:
    """Measure, print and draw."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--part", choices=("retrain", "monitor"), default="retrain", help="default: %(default)s"
    )
    arguments.add_argument(
        "--texts", choices=tuple(CORPORA), default="long", help="default: %(default)s"
    )
    arguments.add_argument("--read-sample", nargs=2, help=argparse.SUPPRESS)
    arguments.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture, as PNG")
    arguments.add_argument(
        "--sizes", type=int, nargs="+", help=f"default: {SIZES}, or {MONITORED} of monitor"
    )
    options = arguments.parse_args()
    if options.read_sample is not None:
        read_sample_here(int(options.read_sample[0]), options.read_sample[1])
        return
    if options.part == "monitor":
        figures = measure_monitor(options.sizes or MONITORED, options.rounds)
        write_json(options.json, figures)
        show_monitor(figures)
        return
    figures = measure(options.texts, options.sizes or SIZES, options.rounds)
    write_json(options.json, figures)
    if options.plot is not None:
        plot(figures, options.plot)
    show(figures)


if __name__ == "__main__":
    main()
