"""Flows with an engine: the same results as without, whatever happens to its workers."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from flows.experiment import experiment
from flows.retrain import retrain
from flows.score import score
from perennial.classifiers.threshold_classifier import unwrapped
from perennial.config.problem import Problem
from perennial.errors import UnavailableError
from perennial.registry.client import Registry
from perennial.settings import Settings, get_settings
from tasks.experiment.explore import ExploreResult
from tasks.scoring import file as score_file_module
from tests.conftest import wait_until
from tests.dask_cluster import Cluster, dask_cluster
from tests.small_models import fit_small, register_small

EXPERIMENT: dict[str, Any] = {
    "folds": 2,
    "spaces": {
        "multinomial_naive_bayes": {"parameters": {"alpha": [0.5, 2.0, 4.0]}},
        "logistic_regression": {"search": "halving", "parameters": {"C": [0.1, 1.0, 5.0]}},
    },
}
LINEAR: dict[str, Any] = {
    "logistic": {
        "preparation": "plain",
        "features": {"weighting": "tfidf"},
        "estimator": "logistic_regression",
        "parameters": {"C": 5.0, "solver": "liblinear"},
    }
}

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(scope="module")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory, snippets: list[tuple[str, int]]) -> Path:
    """Return an MLflow database with a version of the small problem."""
    return register_small(tmp_path_factory.mktemp("registered"), [fit_small(snippets[:600])])


@pytest.fixture
def cluster(machine: Settings, tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler with two workers, which share the storage of this machine."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    with dask_cluster(folder) as found:
        yield found


@pytest.fixture
def with_engine(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function from which on flows use the cluster."""

    def use() -> None:
        monkeypatch.setenv("ENGINE", "dask")
        monkeypatch.setenv("DASK_SCHEDULER", cluster.address)
        get_settings.cache_clear()

    return use


@pytest.fixture
def filled(
    write_problem: Callable[..., Problem], mongodb_server: str, documents: Any
) -> Iterator[Any]:
    """The collection of a problem with spaces to explore, with 300 reviews in it."""
    from pymongo import MongoClient

    source = write_problem(experiment=EXPERIMENT).source
    with MongoClient(mongodb_server, tz_aware=True) as server:
        collection = server[source.database][source.collection]
        collection.insert_many(documents(300))
        yield collection
        server.drop_database(source.database)


def _figures(results: Any) -> dict[str, Any]:
    def figures(each: ExploreResult) -> Any:
        tried = [(t.parameters, t.folds, t.metrics, t.interval) for t in each.tried]
        return each.outcome, each.settings, tried, each.best and each.best.parameters

    return {each.name: figures(each) for each in results}


def _trials(cluster: Cluster) -> list[tuple[psutil.Process, psutil.Process]]:
    """Return the processes that try a candidate now, each with its worker."""
    found: list[tuple[psutil.Process, psutil.Process]] = []
    for worker in cluster.workers:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(worker.pid)
            found += [
                (child, process)
                for child in process.children()
                if "tasks.experiment.process" in child.cmdline()
            ]
    return found


def _kill_the_first_that_tries(cluster: Cluster) -> list[psutil.Process]:
    """Kill one worker as soon as it tries a candidate; return what it had started."""
    trial, worker = wait_until(lambda: _trials(cluster), "a candidate is tried")[0]
    worker.send_signal(signal.SIGKILL)
    return [trial]


def test_an_experiment_finds_the_same_with_an_engine_also_when_a_worker_is_killed(
    filled: Any, machine: Settings, cluster: Cluster, with_engine: Callable[[], None]
) -> None:
    alone = experiment("reviews")
    with_engine()
    left: list[psutil.Process] = []
    killer = Thread(target=lambda: left.extend(_kill_the_first_that_tries(cluster)))
    killer.start()

    experimented = experiment("reviews")

    killer.join()
    assert sorted(worker.poll() is None for worker in cluster.workers) == [False, True]
    assert _figures(experimented.results) == _figures(alone.results)
    assert experimented.winner.name == alone.winner.name
    assert experimented.evaluation.metrics == alone.evaluation.metrics
    wait_until(lambda: not left[0].is_running(), "what a killed worker has started ends itself")
    assert list(machine.data_dir.glob("experiment-*")) == []


def test_an_experiment_that_loses_the_scheduler_says_so_and_leaves_nothing(
    filled: Any, machine: Settings, cluster: Cluster, with_engine: Callable[[], None]
) -> None:
    with_engine()

    def kill() -> None:
        wait_until(lambda: _trials(cluster), "a candidate is tried")
        os.killpg(cluster.scheduler.pid, signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    with pytest.raises(UnavailableError, match=r"\(DASK_SCHEDULER\) was lost in the middle of"):
        experiment("reviews")
    killer.join()

    assert list(machine.data_dir.glob("experiment-*")) == []


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow a fit no more than a kilobyte."""
    monkeypatch.setenv("MEMORY_LIMIT", "1KB")
    get_settings.cache_clear()


def _weights(registry: Registry, version: int) -> list[bytes]:
    """Return the weights of a version, as bytes."""
    found = unwrapped(registry.load(registry.version("reviews", version))[-1])
    return [found.coef_.tobytes(), found.intercept_.tobytes()]


def _steps(data_dir: Path) -> list[Path]:
    return list(data_dir.glob("fit-*/weights-*"))


def test_a_retraining_over_blocks_fits_the_same_model_by_workers(
    write_problem: Callable[..., Problem],
    filled: Any,
    machine: Settings,
    registry: Registry,
    little_memory: None,
    with_engine: Callable[[], None],
) -> None:
    write_problem(candidates=LINEAR)
    alone = retrain("reviews")
    with_engine()
    seen: list[Path] = []
    looker = Thread(
        target=lambda: seen.extend(
            wait_until(lambda: _steps(machine.data_dir), "workers have weights")
        )
    )
    looker.start()

    again = retrain("reviews", force=True)

    looker.join()
    assert seen
    assert again.evaluation.metrics == alone.evaluation.metrics
    assert _weights(registry, 3) == _weights(registry, 2)
    assert _steps(machine.data_dir) == []


def test_a_retraining_over_blocks_that_loses_the_scheduler_fits_no_smaller_candidate_instead(
    filled: Any,
    machine: Settings,
    cluster: Cluster,
    little_memory: None,
    with_engine: Callable[[], None],
) -> None:
    with_engine()

    def kill() -> None:
        wait_until(lambda: _steps(machine.data_dir), "workers have weights")
        os.killpg(cluster.scheduler.pid, signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    with pytest.raises(UnavailableError, match=r"\(DASK_SCHEDULER\) was lost in the middle of"):
        retrain("reviews")
    killer.join()

    assert list(machine.data_dir.glob("fit-*")) == []


@pytest.fixture
def texts(tmp_path: Path, documents: Any) -> Path:
    """A Parquet file with 1,000 rows in several groups, one of them without a text."""
    rows = [{"text": each["text"], "number": n} for n, each in enumerate(documents(1000))]
    rows[7]["text"] = None
    path = tmp_path / "texts.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=170)
    return path


@pytest.fixture
def production(registry: Registry, problem: Problem) -> None:
    """Version 1, in Production."""
    registry.promote(registry.version("reviews", 1), expected=None)


def _when_given_to_workers(folder: Path, kill: Callable[[], object]) -> Thread:
    """Kill something as soon as workers have rows to classify; they still load the model then."""

    def wait() -> None:
        wait_until(lambda: list(folder.glob(".out.parquet.*.parts/golden.json")), "it is begun")
        kill()

    thread = Thread(target=wait)
    thread.start()
    return thread


def _without_time(path: Path) -> pa.Table:
    return parquet.read_table(path).drop_columns(["predicted_at"])


def test_a_file_is_classified_alike_with_an_engine_also_when_a_worker_is_killed(
    production: None,
    texts: Path,
    cluster: Cluster,
    with_engine: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(score_file_module, "_PART_ROWS", 90)
    folder = texts.parent
    alone = score("reviews", file=texts, out=folder / "alone.parquet")
    with_engine()
    killer = _when_given_to_workers(folder, cluster.workers[0].kill)

    scored = score("reviews", file=texts, out=folder / "out.parquet")

    killer.join()
    assert cluster.workers[0].wait() == -signal.SIGKILL
    assert (scored.classified, scored.skipped) == (alone.classified, alone.skipped)
    assert scored.classified == 999
    expected = _without_time(folder / "alone.parquet")
    assert _without_time(folder / "out.parquet").equals(expected)
    assert list(folder.glob(".out*")) == []


def test_scoring_that_loses_the_scheduler_writes_no_result_and_the_next_run_completes(
    production: None,
    texts: Path,
    cluster: Cluster,
    with_engine: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = texts.parent / "out.parquet"
    with_engine()
    killer = _when_given_to_workers(
        texts.parent, lambda: os.killpg(cluster.scheduler.pid, signal.SIGKILL)
    )

    with pytest.raises(UnavailableError, match=r"\(DASK_SCHEDULER\) was lost in the middle of"):
        score("reviews", file=texts, out=out)

    killer.join()
    assert not out.exists()
    monkeypatch.delenv("ENGINE")
    monkeypatch.delenv("DASK_SCHEDULER")
    get_settings.cache_clear()
    assert score("reviews", file=texts, out=out).classified == 999


def test_what_is_not_parquet_is_classified_without_the_engine(
    production: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE", "dask")
    monkeypatch.setenv("DASK_SCHEDULER", "tcp://127.0.0.1:1")
    get_settings.cache_clear()
    file = tmp_path / "texts.csv"
    file.write_text("text\na warm and funny film\n")

    assert score("reviews", file=file, out=tmp_path / "out.csv").classified == 1


@pytest.mark.thorough
def test_twenty_workers_killed_at_random_change_no_result(
    filled: Any, cluster: Cluster, with_engine: Callable[[], None]
) -> None:
    expected = _figures(experiment("reviews").results)
    with_engine()
    draw = random.Random(7)

    for _ in range(20):
        ended = [*cluster.workers]

        def kill(ended: list[Any] = ended) -> None:
            wait_until(lambda: _trials(cluster), "a candidate is tried")
            victim = draw.choice([each for each in ended if each.poll() is None])
            with suppress(psutil.TimeoutExpired):
                psutil.Process(victim.pid).wait(draw.uniform(0, 3))
            victim.kill()

        killer = Thread(target=kill)
        killer.start()
        found = _figures(experiment("reviews").results)
        killer.join()
        assert found == expected
        cluster.add_worker()
