"""Scaling: how the time and the memory of a retraining grow with the number of documents.

python -m benchmarks.scaling --plot scaling.png

Each measurement is one process that runs the whole flow of `problems/sentiment.yaml`, from a
MongoDB that has the documents already to the verdict; MLflow and Prefect start without databases.
Beyond the 25,000 film reviews they come again, each with three other words at the end, so that it
is another document. Their vocabulary therefore grows less than that of as many new reviews would.
`--texts short` takes sentences instead, of halves of two snippets with the same label; of these
8% have another one. As they are made of few parts, near-copies are ignored.

python -m benchmarks.scaling --part monitor

What `monitor` reads of a snapshot of records of twenty numbers: *drawn* from the snapshot, as for a
version from before samples were kept, and *kept*, as a retraining leaves it. Each is a process of
its own; its CPU seconds, and how much its largest memory grew.

python -m benchmarks.scaling --part increment --texts short --sizes 400000

A second retraining, after 1,000 documents more: the processor time of the process, without that of
the step in which models are fitted, and of preparing and counting alone.

python -m benchmarks.scaling --part engine

The engine with one and with two workers: a Parquet file of texts is classified by the flow `score`,
the settings of four candidates are tried on as many documents, but at most 40,000, which are
counted already, and one model is fitted on them all over blocks. Each number of workers has a
cluster of its own, which has classified a small file before. *Processor s* are those of all
workers, *flow* and *busiest* those of the flow's process and of the worker with the most where
there are two: what is lost is in them also while other programs take processors away.

python -m benchmarks.scaling --part peers --texts short --packages FOLDER

Our core (normalise, count, fit, answer) beside scikit-learn and Vowpal Wabbit, which is no
requirement of ours: `pip install --target FOLDER vowpalwabbit` brings it, and without it that
line is skipped. Each peer chooses among five penalties on 25,000 texts, then learns from four
fifths of them all and answers the rest.

*Process* is the wall time of the process, *steps* the sum of what the flow reports for its steps,
*memory* the largest resident memory of the process, without the embedded servers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.common import parser, write_json
from benchmarks.scaling.corpora import CORPORA
from benchmarks.scaling.engine import ENGINE_SIZE, measure_engine, show_engine
from benchmarks.scaling.increment import INCREMENTED, count_here, measure_increment, show_increment
from benchmarks.scaling.monitor import MONITORED, measure_monitor, read_sample_here, show_monitor
from benchmarks.scaling.peers import PEERS_SIZE, measure_peers, run_here, show_peers
from benchmarks.scaling.retraining import SIZES, measure, plot, show


def main() -> None:
    """Measure, print and draw."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--part",
        choices=tuple(_SHOWN),
        default="retrain",
        help="default: %(default)s",
    )
    arguments.add_argument(
        "--texts", choices=tuple(CORPORA), default="long", help="default: %(default)s"
    )
    arguments.add_argument("--read-sample", nargs=2, help=argparse.SUPPRESS)
    arguments.add_argument("--peer", nargs=3, help=argparse.SUPPRESS)
    arguments.add_argument(
        "--packages", type=Path, metavar="FOLDER", help="where peers are that are no requirement"
    )
    arguments.add_argument("--count", type=int, help=argparse.SUPPRESS)
    arguments.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture, as PNG")
    arguments.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        help=f"default: {SIZES}, {INCREMENTED} of increment, {MONITORED} of monitor, "
        f"{ENGINE_SIZE} of engine, {PEERS_SIZE} of peers",
    )
    options = arguments.parse_args()
    if options.read_sample is not None:
        read_sample_here(int(options.read_sample[0]), options.read_sample[1])
    elif options.count is not None:
        count_here(options.count)
    elif options.peer is not None:
        run_here(*options.peer)
    else:
        figures = _measured(options)
        write_json(options.json, figures)
        if options.plot is not None:
            plot(figures, options.plot)
        _SHOWN[options.part](figures)


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is written as JSON."""
    texts, sizes, rounds = options.texts, options.sizes, options.rounds
    if options.part == "increment":
        return measure_increment(texts, sizes or INCREMENTED)
    if options.part == "monitor":
        return measure_monitor(sizes or MONITORED, rounds)
    if options.part == "engine":
        return measure_engine((sizes or [ENGINE_SIZE])[0], rounds)
    if options.part == "peers":
        return measure_peers(texts, (sizes or [PEERS_SIZE])[0], rounds, options.packages)
    return measure(texts, sizes or SIZES, rounds)


_SHOWN: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "retrain": show,
    "increment": show_increment,
    "monitor": show_monitor,
    "engine": show_engine,
    "peers": show_peers,
}


if __name__ == "__main__":
    main()
