"""The service against three others with the same model, under load on this machine.

python -m benchmarks.serving

TF-IDF and logistic regression, learned from the 25,000 IMDb reviews, answer short reviews (the
Rotten Tomatoes snippets of the same package) in four services of two workers each: ours, with
metrics, validation and the prediction log on; the tutorials' (Flask and gunicorn, NLTK, pickles);
`mlflow models serve`; and a bare Starlette application with our scorer, which is the limit. All
run at once, one is loaded at a time by wrk, and the rounds are interleaved; wrk and the servers
share the processors.

`ratio_flask` and `ratio_mlflow` are requests per second at 16 connections; `p99_flask` and
`p99_mlflow` our p99 latency over theirs; `ratio_starlette` is ours over the bare application's;
`ratio_batch` is texts per second with 100 texts per request, over what as many processes do that
call the scorer at the same time without any service; `ratio_batch_model` is the same over the
model's own `predict_proba`, called so.

The connections of a load fall to the workers of a service by chance, at those of the others very
unevenly: many short rounds say more than few long ones.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

from rich.console import Console
from rich.table import Table

import registry
from benchmarks.bare import PROBLEM_VARIABLE
from benchmarks.common import clean_environment, interleave, parser, read_reviews, write_json
from benchmarks.load import Measured, load, require_wrk, write_bodies
from benchmarks.ours import Project
from benchmarks.retrain import Ours, write_documents
from benchmarks.servers import running
from benchmarks.tutorial import pipeline
from benchmarks.tutorial.nltk_data import ensure_nltk_data
from settings import Settings

CANDIDATE, FEATURES = "tfidf-logistic", "tfidf"
WORKERS = 2
ONE, SOME, MANY = 1, 16, 64
BATCH = 100
SNIPPETS = 2_000
WARM_UP_SECONDS = 3.0
ROUNDS, SECONDS = 5, 3.0
Way = Literal["model", "scorer"]
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


def snippets() -> list[str]:
    """Return short reviews."""
    from tasks.seed import read_file, reviews_file

    rows = read_file(reviews_file(), text="text", label="label", source="rotten_tomatoes")
    texts: list[str] = rows["text"].to_pylist()
    return texts[:SNIPPETS]


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
    with project.servers():
        yield {**project.environment, "SERVING_WORKERS": str(WORKERS)}


def our_command(port: int) -> list[str]:
    """Return how our service is started."""
    return [sys.executable, "-m", "serving", "--port", str(port)]


def _flask_command(work: Path, port: int) -> list[str]:
    application = f"benchmarks.tutorial.service:create_app({str(work)!r}, {FEATURES!r})"
    options = ["--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}"]
    return [sys.executable, "-m", "gunicorn", *options, application]


def _mlflow_command(ours: Ours, port: int) -> list[str]:
    model = f"models:/{ours.problem}@{registry.PRODUCTION}"
    options = ["--env-manager", "local", "--workers", str(WORKERS), "--port", str(port)]
    return [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model, *options]


def _bare_command(port: int) -> list[str]:
    options = ["--workers", str(WORKERS), "--port", str(port), "--no-access-log"]
    return [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.bare:create", *options]


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
        texts = snippets()
        with contestants(scratch, ours, work) as services:
            ways = dict(_ways(scratch, services, texts, seconds))
            warm_up(scratch, services, texts)
            found = interleave(rounds, ways)
        measured = {
            way: partial(in_process_throughput, ours, texts, seconds, way) for way in get_args(Way)
        }
        in_process = interleave(rounds, measured)
    return figures_of(found, in_process)


def warm_up(scratch: Path, services: Mapping[str, Contestant], texts: Sequence[str]) -> None:
    """Let the workers of every service answer before anything is measured."""
    for way in dict(_ways(scratch, services, texts, WARM_UP_SECONDS)).values():
        way()


def _ways(
    scratch: Path, services: Mapping[str, Contestant], texts: Sequence[str], seconds: float
) -> Iterator[tuple[str, Callable[[], Measured]]]:
    for number, (name, service) in enumerate(services.items()):
        single = write_bodies(
            scratch / f"one-{number}.jsonl", [service.body([text]) for text in texts]
        )
        many = write_bodies(
            scratch / f"many-{number}.jsonl",
            [service.body(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)],
        )
        for connections in (ONE, SOME, MANY):
            yield (
                key(name, connections),
                partial(load, service.url, single, connections=connections, seconds=seconds),
            )
        yield (
            key(name, BATCH, "texts"),
            partial(load, service.url, many, connections=SOME, seconds=seconds),
        )


def key(name: str, number: int, what: str = "connections") -> str:
    """Return the name of one kind of load on one service."""
    return f"{name}, {number} {what}"


def in_process_throughput(ours: Ours, texts: Sequence[str], seconds: float, way: Way) -> float:
    """Return the texts per second of as many processes as a service has, without a service."""
    context = multiprocessing.get_context("spawn")
    work = partial(_score_for, ours.project.settings, ours.problem, list(texts), seconds, way)
    with context.Pool(WORKERS) as pool:
        return sum(result.get() for result in [pool.apply_async(work) for _ in range(WORKERS)])


def _score_for(
    settings: Settings, problem: str, texts: list[str], seconds: float, way: Way
) -> float:
    from modeling.scorer import scorer_for

    tracking = registry.connect(settings)
    production = tracking.production(problem)
    if production is None:
        raise RuntimeError("there is no Production model")
    model = tracking.load(production)
    score: Callable[[list[str]], Any] = model.predict_proba
    if way == "scorer":
        score = scorer_for(model, texts[:BATCH]).probabilities
    requests = [texts[i : i + BATCH] for i in range(0, len(texts), BATCH)]
    for request in requests:
        score(request)
    done, begin = 0, time.perf_counter()
    while (passed := time.perf_counter() - begin) < seconds:
        done += len(score(requests[done // BATCH % len(requests)]))
    return done / passed


def figures_of(
    found: Mapping[str, Sequence[Measured]], in_process: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return the medians over the rounds, and ours over the others'."""
    rates = {way: median(m.per_second for m in rounds) for way, rounds in found.items()}
    tails = {way: median(m.p99 for m in rounds) for way, rounds in found.items()}

    def ratio(values: Mapping[str, float], other: str) -> float:
        return values[key(OURS, SOME)] / values[key(other, SOME)]

    batch = rates[key(OURS, BATCH, "texts")] * BATCH
    alone = {way: median(rounds) for way, rounds in in_process.items()}
    return {
        "ratio_flask": ratio(rates, FLASK),
        "ratio_mlflow": ratio(rates, MLFLOW),
        "ratio_starlette": ratio(rates, BARE),
        "p99_flask": ratio(tails, FLASK),
        "p99_mlflow": ratio(tails, MLFLOW),
        "ratio_batch": batch / alone["scorer"],
        "ratio_batch_model": batch / alone["model"],
        "texts_per_second": batch,
        "texts_per_second_in_process": alone,
        "requests_per_second": rates,
        "p50_ms": {way: median(m.p50 for m in rounds) for way, rounds in found.items()},
        "p99_ms": tails,
        "rounds": len(in_process["model"]),
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print requests per second and p99 of every service, and the ratios."""
    title = f"requests per second (p99 in ms), median of {figures['rounds']} rounds"
    table = Table("service", title=title, title_justify="left")
    columns = [key("", n).lstrip(", ") for n in (ONE, SOME, MANY)] + [
        key("", BATCH, "texts").lstrip(", ")
    ]
    for column in columns:
        table.add_column(column, justify="right")
    rates, tails = figures["requests_per_second"], figures["p99_ms"]
    for name in (OURS, FLASK, MLFLOW, BARE):
        ways = [f"{name}, {column}" for column in columns]
        table.add_row(name, *(f"{rates[way]:,.0f} ({tails[way]:.1f})" for way in ways))
    Console().print(
        table,
        f"At {SOME} connections ours answers [bold]{figures['ratio_flask']:.1f}[/bold] times as "
        f"many requests as Flask (p99 {figures['p99_flask']:.2f} of its), "
        f"[bold]{figures['ratio_mlflow']:.1f}[/bold] times as many as mlflow models serve "
        f"({figures['p99_mlflow']:.2f}), and {figures['ratio_starlette']:.0%} of the bare "
        f"application's. {BATCH} texts per request: {figures['texts_per_second']:,.0f} texts per "
        f"second, [bold]{figures['ratio_batch']:.0%}[/bold] of what {WORKERS} processes do with "
        f"our scorer and no service, and {figures['ratio_batch_model']:.1f} times what they do "
        "with the model's own predict_proba.",
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
