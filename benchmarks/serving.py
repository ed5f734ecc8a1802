"""The service against three others with the same model, under load on this machine.

python -m benchmarks.serving

TF-IDF and logistic regression, learned from the 25,000 IMDb reviews, answer short reviews (the
Rotten Tomatoes snippets of the same package) in four services of two workers each: ours, with
metrics, validation and the prediction log on; the tutorials' (Flask and gunicorn, NLTK, pickles);
`mlflow models serve`; and a bare Starlette application with our predictor, which is the limit. All
run at once, one is loaded at a time by wrk, and all rounds are interleaved; wrk and the servers
share the processors.

`ratio_flask` and `ratio_mlflow` are requests per second at 16 connections; `p99_flask` and
`p99_mlflow` our p99 latency over theirs; `ratio_starlette` is ours over the bare application's.
Batches, 100 texts per request, are compared with processes that call our predictor, 100 texts at a
time, without any service: `ratio_batch` and `ratio_batch_reviews` (snippets and whole IMDb reviews,
16 connections) with one such process, which is what an application has that holds the model itself;
`ratio_batch_workers` and `ratio_batch_reviews_workers` with as many at once as the service has
workers; `ratio_batch_one` and `ratio_batch_reviews_one` are one request at a time over one process.
`ratio_batch_model` is snippets over one process that calls the model's own `predict_proba`. wrk and
the database that keeps the prediction log work on the same processors as the service; without a
service there is neither.

The connections of a load fall to the workers of a service by chance, at those of the others very
unevenly: many short rounds say more than few long ones.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import clean_environment, interleave, parser, read_reviews, write_json
from benchmarks.ours import Project
from benchmarks.retrain import Ours, write_documents
from benchmarks.service import in_process
from benchmarks.service.bare import PROBLEM_VARIABLE
from benchmarks.service.in_process import (
    BATCH,
    REVIEWS,
    SNIPPETS,
    WORKERS,
    Alone,
    Way,
    batches,
    read_texts,
)
from benchmarks.service.load import Measured, load, require_wrk, write_bodies
from benchmarks.service.servers import running
from benchmarks.tutorial import pipeline
from benchmarks.tutorial.nltk_data import ensure_nltk_data
from perennial.local import embedded
from perennial.registry.client import PRODUCTION

CANDIDATE, FEATURES = "tfidf-logistic", "tfidf"
ONE, SOME, MANY = 1, 16, 64
ONE_AT_A_TIME = ", one request at a time"
WARM_UP_SECONDS = 3.0
# What still waits for the log when a load has ended is written while the next one is measured: two
# seconds of it.
LOG_QUEUE = "100"
ROUNDS, SECONDS = 9, 2.0
OURS, FLASK, MLFLOW, BARE = "Perennial", "Flask, gunicorn", "mlflow models serve", "bare Starlette"


@dataclass(frozen=True)
class Contestant:
    """A running service, and how a request for some texts is put to it."""

    url: str
    body: Callable[[Sequence[str]], object]


def train(scratch: Path) -> tuple[Ours, Path]:
    """Train the model on both sides; return ours, and the working folder of the tutorials'."""
    documents = write_documents(scratch / "reviews.csv", read_reviews())
    ours = Ours(scratch, "ours", documents, CANDIDATE)
    ours.fresh()
    work = scratch / "tutorial"
    pipeline.run(documents, work, [CANDIDATE], env=clean_environment(scratch))
    return ours, work


@contextmanager
def contestants(scratch: Path, ours: Ours, work: Path) -> Iterator[dict[str, Contestant]]:
    """Run all services at once."""
    with ExitStack() as stack:
        project, start = ours.project, partial(_start, stack, scratch)
        environment = stack.enter_context(serving_environment(project))
        database = project.data.absolute() / "mlflow" / "mlflow.db"
        corpora = {**project.environment, "NLTK_DATA": str(ensure_nltk_data().resolve())}
        # It calls uvicorn by name.
        programs = f"{Path(sys.executable).parent}{os.pathsep}{project.environment['PATH']}"
        store = {
            **project.environment,
            "MLFLOW_TRACKING_URI": f"sqlite:///{database}",
            "PATH": programs,
        }
        yield {
            OURS: Contestant(
                start("ours", our_command, environment, "/readyz") + "/classify",
                lambda texts: {"inputs": list(texts)},
            ),
            FLASK: Contestant(
                start("flask", partial(_flask_command, work), corpora, "/ping") + "/predict",
                lambda texts: {"texts": list(texts)},
            ),
            MLFLOW: Contestant(
                start("mlflow", partial(_mlflow_command, ours), store, "/ping") + "/invocations",
                lambda texts: {
                    "dataframe_split": {"columns": ["text"], "data": [[text] for text in texts]}
                },
            ),
            BARE: Contestant(
                start(
                    "bare",
                    _bare_command,
                    {**project.environment, PROBLEM_VARIABLE: ours.problem},
                    None,
                )
                + "/classify",
                lambda texts: {"inputs": list(texts)},
            ),
        }


@contextmanager
def serving_environment(project: Project) -> Iterator[dict[str, str]]:
    """Keep MongoDB running for the prediction log; yield the environment of our service."""
    with embedded.server(project.settings, "mongodb") as port:
        yield {
            **project.environment,
            "MONGODB_URI": f"mongodb://127.0.0.1:{port}",
            "SERVING_WORKERS": str(WORKERS),
            "SERVING_LOG_QUEUE": LOG_QUEUE,
        }
    project.wait_for_servers()


def our_command(port: int) -> list[str]:
    """Return how our service is started."""
    return [sys.executable, "-m", "serving", "--port", str(port)]


def _flask_command(work: Path, port: int) -> list[str]:
    application = f"benchmarks.tutorial.service:create_app({str(work)!r}, {FEATURES!r})"
    options = ["--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}"]
    return [sys.executable, "-m", "gunicorn", *options, application]


def _mlflow_command(ours: Ours, port: int) -> list[str]:
    model = f"models:/{ours.problem}@{PRODUCTION}"
    options = ["--env-manager", "local", "--workers", str(WORKERS), "--port", str(port)]
    return [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model, *options]


def _bare_command(port: int) -> list[str]:
    options = ["--workers", str(WORKERS), "--port", str(port), "--no-access-log"]
    return [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "benchmarks.service.bare:create",
        *options,
    ]


def _start(
    stack: ExitStack,
    scratch: Path,
    name: str,
    command: Callable[[int], Sequence[str]],
    environment: Mapping[str, str],
    ready: str | None,
) -> str:
    started = running(command, environment, scratch / f"{name}.log", ready)
    return stack.enter_context(started).url


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """Load every service in turn, and return what is written as JSON."""
    require_wrk()
    with TemporaryDirectory() as name:
        scratch = Path(name)
        ours, work = train(scratch)
        texts = read_texts()
        with contestants(scratch, ours, work) as services:
            ways = dict(_ways(scratch, services, texts, seconds))
            ways |= _without_service(ours, texts, seconds)
            warm_up(scratch, services, texts)
            found = interleave(rounds, ways)
    return figures_of(found)


def _without_service(
    ours: Ours, texts: Mapping[str, list[str]], seconds: float
) -> Iterator[tuple[str, Callable[[], Measured]]]:
    for alone in in_process.ALL:
        mine = texts[alone.kind]
        settings, problem = ours.project.settings, ours.problem
        yield alone.name, partial(in_process.measure, settings, problem, mine, seconds, alone)


def warm_up(
    scratch: Path, services: Mapping[str, Contestant], texts: Mapping[str, list[str]]
) -> None:
    """Let the workers of every service answer before anything is measured."""
    for way in dict(_ways(scratch, services, texts, WARM_UP_SECONDS)).values():
        way()


def _ways(
    scratch: Path,
    services: Mapping[str, Contestant],
    texts: Mapping[str, list[str]],
    seconds: float,
) -> Iterator[tuple[str, Callable[[], Measured]]]:
    for name, service in services.items():
        kinds = [SNIPPETS, REVIEWS] if name in (OURS, BARE) else [SNIPPETS]
        mine = {kind: texts[kind] for kind in kinds}
        for kind, way in _loads(scratch / name, service, mine, seconds):
            yield f"{name}, {kind}", way


def _loads(
    folder: Path, service: Contestant, texts: Mapping[str, list[str]], seconds: float
) -> Iterator[tuple[str, Callable[[], Measured]]]:
    """Yield the kinds of load by what `what` calls them."""
    folder.mkdir(exist_ok=True)

    def put(kind: str, size: int, connections: int) -> Callable[[], Measured]:
        bodies = [service.body(batch) for batch in batches(texts[kind], size)]
        file = write_bodies(folder / f"{size}-{kind}.jsonl", bodies)
        return partial(load, service.url, file, connections=connections, seconds=seconds)

    for connections in (ONE, SOME, MANY):
        yield what(connections), put(SNIPPETS, 1, connections)
    for kind in texts:
        yield what(BATCH, kind), put(kind, BATCH, SOME)
        if REVIEWS in texts:
            yield what(BATCH, kind + ONE_AT_A_TIME), put(kind, BATCH, ONE)


def what(number: int, kind: str = "connections") -> str:
    """Return what one kind of load is called."""
    return f"{number} {kind}"


def key(name: str, number: int, kind: str = "connections") -> str:
    """Return the name of one kind of load on one service."""
    return f"{name}, {what(number, kind)}"


def figures_of(found: Mapping[str, Sequence[Measured]]) -> dict[str, Any]:
    """Return the medians over the rounds, and ours over the others'."""
    rates = {way: median(m.per_second for m in rounds) for way, rounds in found.items()}
    tails = {way: median(m.p99 for m in rounds) for way, rounds in found.items()}

    def ratio(values: Mapping[str, float], other: str) -> float:
        return values[key(OURS, SOME)] / values[key(other, SOME)]

    def over(kind: str, processes: int, *, load: str = "", way: Way = "predictor") -> float:
        return rates[key(OURS, BATCH, kind + load)] / rates[Alone(kind, processes, way).name]

    return {
        "ratio_flask": ratio(rates, FLASK),
        "ratio_mlflow": ratio(rates, MLFLOW),
        "ratio_starlette": ratio(rates, BARE),
        "p99_flask": ratio(tails, FLASK),
        "p99_mlflow": ratio(tails, MLFLOW),
        "ratio_batch": over(SNIPPETS, 1),
        "ratio_batch_workers": over(SNIPPETS, WORKERS),
        "ratio_batch_one": over(SNIPPETS, 1, load=ONE_AT_A_TIME),
        "ratio_batch_model": over(SNIPPETS, 1, way="model"),
        "ratio_batch_reviews": over(REVIEWS, 1),
        "ratio_batch_reviews_workers": over(REVIEWS, WORKERS),
        "ratio_batch_reviews_one": over(REVIEWS, 1, load=ONE_AT_A_TIME),
        "texts_per_second": rates[key(OURS, BATCH, SNIPPETS)] * BATCH,
        "reviews_per_second": rates[key(OURS, BATCH, REVIEWS)] * BATCH,
        "requests_per_second": rates,
        "p50_ms": {way: median(m.p50 for m in rounds) for way, rounds in found.items()},
        "p99_ms": tails,
        "rounds": len(next(iter(found.values()))),
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print requests per second and p99 of every service, and the ratios."""
    title = f"requests per second (p99 in ms), median of {figures['rounds']} rounds"
    table = Table("service", title=title, title_justify="left")
    columns = [*map(what, (ONE, SOME, MANY)), what(BATCH, SNIPPETS)]
    for column in columns:
        table.add_column(column, justify="right")
    rates, tails = figures["requests_per_second"], figures["p99_ms"]
    for name in (OURS, FLASK, MLFLOW, BARE):
        ways = [f"{name}, {column}" for column in columns]
        cells = [f"{rates[way]:,.0f} ({tails[way]:.1f})" if way in rates else "" for way in ways]
        table.add_row(name, *cells)
    Console().print(
        table,
        f"At {SOME} connections ours answers [bold]{figures['ratio_flask']:.1f}[/bold] times as "
        f"many requests as Flask (p99 {figures['p99_flask']:.2f} of its), "
        f"[bold]{figures['ratio_mlflow']:.1f}[/bold] times as many as mlflow models serve "
        f"({figures['p99_mlflow']:.2f}), and {figures['ratio_starlette']:.0%} of the bare "
        f"application's.",
    )
    _showbatches(figures)


def _showbatches(figures: Mapping[str, Any]) -> None:
    title = f"texts per second, {BATCH} in each request, over those of processes without a service"
    table = Table("", title=title, title_justify="left")
    for column in ("ours", "bare", "of one process", f"of {WORKERS}", "one at a time, of one"):
        table.add_column(column, justify="right")
    for kind, name in ((SNIPPETS, "batch"), (REVIEWS, "batch_reviews")):
        rates = [figures["requests_per_second"][key(of, BATCH, kind)] for of in (OURS, BARE)]
        ratios = [figures[f"ratio_{name}{suffix}"] for suffix in ("", "_workers", "_one")]
        table.add_row(
            kind, *(f"{rate * BATCH:,.0f}" for rate in rates), *(f"{each:.0%}" for each in ratios)
        )
    Console().print(
        table,
        "One process that calls the model's own predict_proba: the service classifies "
        f"{figures['ratio_batch_model']:.1f} times as many snippets.",
    )


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__, ROUNDS)
    arguments.add_argument(
        "--seconds", type=float, default=SECONDS, help="of each load; default: %(default)s"
    )
    options = arguments.parse_args()
    figures = measure(options.rounds, options.seconds)
    write_json(options.json, figures)
    show(figures)


if __name__ == "__main__":
    main()
