"""Drift, for real: the world of film reviews changes from long reviews to one-line snippets.

python -m benchmarks.drift

Production is trained on 17,000 IMDb reviews. First 20 chunks of 400 held-back IMDb reviews come,
half of them as documents and half as requests with feedback: `monitor` must not raise the event.
Then Rotten Tomatoes snippets arrive (6,530 as documents or by feedback on 1,000 requests): it must
raise the event in its next run, and only once. The retraining that the event asks for follows, and
clients ask about 2,000 snippets that nobody has seen: live quality should be better than before.
Everything runs embedded, in one process and a folder of its own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.common import clean_environment, parser, write_json
from perennial.settings import get_serving_settings, get_settings

if TYPE_CHECKING:
    from benchmarks.drift_story import Row
    from tasks.monitoring.result import MonitorResult

PROBLEM = "sentiment"
TRAINED, CHUNK, CHUNKS = 17_000, 400, 20
ASKED, LATER = 1_000, 2_000


def rows_of(source: str, seed: int) -> list[Row]:
    """Return the texts and labels of one source of film reviews, shuffled."""
    from tasks.data.seed import read_file, reviews_file

    table = read_file(reviews_file(), text="text", label="label", source=source)
    rows = [(row["text"], row["label"]) for row in table.to_pylist()]
    random.Random(seed).shuffle(rows)
    return rows


def measure(report: Path | None, chunks: int, seed: int = 0) -> dict[str, Any]:
    """Let the story happen in a folder of its own; return its figures."""
    with TemporaryDirectory(prefix="perennial-drift-") as scratch:
        environment = clean_environment(Path(scratch))
        os.environ.clear()
        os.environ.update(environment, DATA_DIR=str(Path(scratch) / "data"))
        get_settings.cache_clear()
        get_serving_settings.cache_clear()
        # Prefect and MLflow read the environment when they are imported.
        from prefect.settings import PREFECT_API_URL, temporary_settings

        from perennial.local import embedded

        with (
            embedded.server(get_settings(), "mongodb"),
            embedded.server(get_settings(), "prefect") as port,
            temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
        ):
            return _story(report, chunks, seed)


def _story(report: Path | None, chunks: int, seed: int) -> dict[str, Any]:
    from benchmarks.drift_story import World, change, stay_calm
    from tasks.monitoring.page import page

    reviews, snippets = rows_of("imdb", seed), rows_of("rotten_tomatoes", seed)
    world = World(PROBLEM)
    world.train(reviews[:TRAINED])
    more = reviews[TRAINED:]
    calm = stay_calm(world, [more[i * CHUNK : (i + 1) * CHUNK] for i in range(chunks)])
    later, asked = snippets[:LATER], snippets[LATER : LATER + ASKED]
    changed = change(world, snippets[LATER + ASKED :], asked, later)
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        for name in ("noticed", "again", "after"):
            html = page(world.problem, getattr(changed, name))
            (report / f"{name}.html").write_text(html, encoding="utf-8")
        if calm:
            (report / "calm.html").write_text(page(world.problem, calm[-1]), encoding="utf-8")
    return {
        "calm_runs": len(calm),
        "calm_events": sum(run.alarm.raised for run in calm),
        "calm_largest": max((test.reach for run in calm for test in run.drift.tests), default=0.0),
        "noticed": changed.noticed.alarm.raised,
        "noticed_again": changed.again.alarm.raised,
        "found": {f"{t.of} {t.name}": t.size for t in changed.noticed.drift.found},
        "verdict": changed.verdict.outcome,
        "verdict_reason": changed.verdict.reason,
        "production": changed.verdict.challenger,
        "before": _quality(changed.noticed),
        "after": _quality(changed.after),
        "found_after": {f"{t.of} {t.name}": t.size for t in changed.after.drift.found},
        "event_after": changed.after.alarm.raised,
        "seconds": median(world.seconds),
        "seconds_most": max(world.seconds),
    }


def _quality(monitored: MonitorResult) -> dict[str, Any]:
    """Return measured and estimated accuracy of the Production version of a run."""
    version = monitored.reference.production.version
    live = [each for each in monitored.quality.live if each.version == version]
    return {
        "version": version,
        "live": str(live[-1].accuracy) if live else None,
        "documents": str(monitored.quality.documents),
        "holdout": str(monitored.quality.holdout),
        "estimated": {of: str(found) for of, found in monitored.quality.estimated.items()},
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print what happened, in order."""
    found = ", ".join(f"{name} {size:.3f}" for name, size in figures["found"].items())
    after = ", ".join(f"{name} {size:.3f}" for name, size in figures["found_after"].items())
    Console().print(
        f"More of the same: {figures['calm_events']} events in {figures['calm_runs']} runs; the "
        f"largest change reached {figures['calm_largest']:.2f} of its limit.",
        f"Snippets arrive: event raised {figures['noticed']}, again {figures['noticed_again']}; "
        f"{found}.",
        f"Before: {_said(figures['before'])}.",
        f"Retrained: version {figures['production']} {figures['verdict']}, "
        f"{figures['verdict_reason']}.",
        f"After: {_said(figures['after'])}; event raised {figures['event_after']}; "
        f"drift: {after or 'none'}.",
        f"A monitor run takes {figures['seconds']:.1f} s, at most {figures['seconds_most']:.1f} s.",
        sep="\n",
    )


def _said(quality: Mapping[str, Any]) -> str:
    return (
        f"version {quality['version']} was right about {quality['live']} of the answers by "
        f"feedback, {quality['documents']} of the labelled documents, {quality['holdout']} of its "
        "holdout"
    )


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__, rounds=CHUNKS)
    arguments.add_argument("--report", type=Path, metavar="FOLDER", help="keep the pages here")
    options = arguments.parse_args()
    figures = measure(options.report, options.rounds)
    write_json(options.json, figures)
    show(figures)


if __name__ == "__main__":
    main()
