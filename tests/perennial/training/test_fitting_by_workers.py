"""A fit over blocks that workers of the engine share is the fit without them, to the last digit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from resource import RLIMIT_DATA, prlimit
from threading import Thread
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from scipy import sparse

from perennial.classifiers import logistic_sums
from perennial.config.problem import Problem
from perennial.engine.connection import connected
from perennial.engine.workers import Engine
from perennial.errors import UnavailableError
from perennial.settings import Settings, get_settings
from perennial.training.fitting import compact, divided_among, fit, is_over_blocks
from perennial.training.pipelines import build_classifier
from tests.conftest import wait_until
from tests.dask_cluster import Cluster, dask_cluster
from tests.perennial.engine.parts import hold
from tests.perennial.training.test_fitting import WEIGHTS, candidate_of, made

_MEGABYTE = 1 << 20
# What a limited worker may take beyond what it has when it is idle.
ROOM = 48 * _MEGABYTE

Made = tuple[sparse.csr_array, NDArray[np.str_]]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of its own, and a kilobyte for a fit, whose partitions are small."""
    folder = tmp_path / "data"
    monkeypatch.setenv("DATA_DIR", str(folder))
    monkeypatch.setenv("MEMORY_LIMIT", "1KB")
    monkeypatch.setattr(logistic_sums, "_ENTRIES", 500)
    monkeypatch.setattr(logistic_sums, "_SHARE", 1)
    get_settings.cache_clear()
    yield folder
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def cluster(data_dir: Path, tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler with one worker."""
    with dask_cluster(tmp_path, workers=1) as found:
        yield found


@pytest.fixture
def engine(cluster: Cluster) -> Iterator[Engine]:
    with connected(Settings(engine="dask", dask_scheduler=cluster.address)) as found:
        assert found is not None
        yield found


def nb_svm() -> Problem:
    return candidate_of(features=WEIGHTS[1], estimator="nb_svm", parameters={"C": 3.0})


def softmax() -> Problem:
    return candidate_of(
        features=WEIGHTS[1],
        estimator="logistic_regression",
        parameters={"class_weight": "balanced"},
    )


def of_two_labels() -> Made:
    counts, labels = made(600, 60)
    return compact(counts), labels


def of_three_labels() -> Made:
    counts, labels = of_two_labels()
    labels = labels.astype("U9")
    labels[::7] = "mixed"
    return counts, labels


def fitted(problem: Problem, made: Made) -> tuple[bytes, bytes, int]:
    """Return the weights, the intercepts and the iterations of a fit over blocks."""
    counts, labels = made
    classifier = build_classifier(problem, "one")
    assert is_over_blocks(classifier, counts)
    model = fit(classifier, counts, labels)[-1]
    return model.coef_.tobytes(), model.intercept_.tobytes(), int(np.max(model.n_iter_))


@pytest.mark.parametrize(
    ("problem", "documents"),
    [(nb_svm, of_two_labels), (softmax, of_three_labels)],
    ids=["nb_svm", "softmax"],
)
def test_any_number_of_workers_fits_the_model_that_one_process_fits(
    cluster: Cluster,
    engine: Engine,
    data_dir: Path,
    problem: Callable[[], Problem],
    documents: Callable[[], Made],
) -> None:
    alone = fitted(problem(), documents())

    for workers in (1, 2, 3):
        while len(cluster.workers) < workers:
            cluster.add_worker()
        wait_until(lambda count=workers: engine.places == count, "all workers are there")
        with divided_among(engine):
            assert fitted(problem(), documents()) == alone

    assert list(data_dir.iterdir()) == []


def _steps(data_dir: Path) -> int:
    """Return the number of the step that a fit has come to."""
    numbers = [int(file.stem.split("-")[1]) for file in data_dir.glob("fit-*/weights-*.npy")]
    return max(numbers, default=0)


def _in_the_middle(data_dir: Path, happen: Callable[[], object]) -> Thread:
    """Let something happen when a fit has come to its fifth step."""

    def wait() -> None:
        wait_until(lambda: _steps(data_dir) > 4, "the fit is in its middle")
        happen()

    thread = Thread(target=wait)
    thread.start()
    return thread


def test_a_worker_that_is_killed_in_the_middle_of_a_fit_changes_nothing(
    cluster: Cluster, engine: Engine, data_dir: Path
) -> None:
    alone = fitted(nb_svm(), of_two_labels())
    cluster.add_worker()
    wait_until(lambda: engine.places == 2, "both workers are there")
    killer = _in_the_middle(data_dir, cluster.workers[0].kill)

    with divided_among(engine):
        found = fitted(nb_svm(), of_two_labels())

    killer.join()
    assert cluster.workers[0].wait() == -signal.SIGKILL
    assert found == alone
    assert list(data_dir.iterdir()) == []


def test_a_fit_that_loses_the_scheduler_says_so_and_leaves_nothing(
    cluster: Cluster, engine: Engine, data_dir: Path
) -> None:
    killer = _in_the_middle(data_dir, lambda: os.killpg(cluster.scheduler.pid, signal.SIGKILL))

    with (
        divided_among(engine),
        pytest.raises(UnavailableError, match=r"\(DASK_SCHEDULER\) was lost in the middle of"),
    ):
        fitted(nb_svm(), of_two_labels())

    killer.join()
    assert list(data_dir.iterdir()) == []


def _limit(worker: Any) -> None:
    """Let a worker have little more memory than it has now."""
    used = psutil.Process(worker.pid).memory_info().data
    prlimit(worker.pid, RLIMIT_DATA, (used + ROOM, used + ROOM))


def test_workers_fit_what_none_of_them_could_hold(
    cluster: Cluster, engine: Engine, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add_worker()
    wait_until(lambda: engine.places == 2, "both workers are there")
    with divided_among(engine):
        # What they import for it is not what is limited.
        fitted(nb_svm(), of_two_labels())
    list(engine.done(hold, range(8)))
    for worker in cluster.workers:
        _limit(worker)
    monkeypatch.setattr(logistic_sums, "_ENTRIES", 1 << 20)
    counts, labels = made(20_000, 4_000)
    large = compact(counts), labels
    matrix = counts.data.nbytes + counts.indices.nbytes
    assert matrix > 1.5 * ROOM
    with pytest.raises(MemoryError):
        list(engine.done(hold, [matrix]))
    alone = fitted(nb_svm(), large)

    with divided_among(engine):
        assert fitted(nb_svm(), large) == alone

    assert [worker.poll() for worker in cluster.workers] == [None, None]
