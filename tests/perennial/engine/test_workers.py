"""The engine: every part is done whatever happens to workers, or a sentence says why not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from perennial.engine import connection, workers
from perennial.engine.connection import connected
from perennial.engine.workers import Engine, LostWorkersError
from perennial.errors import OutsideError, UnavailableError
from perennial.packages import extras
from perennial.settings import Settings
from tests.conftest import free_port, wait_until
from tests.dask_cluster import Cluster, dask_cluster
from tests.fresh import run_fresh
from tests.perennial.engine.parts import Counting, count, fail, uncalled, wait_for


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler with two workers."""
    with dask_cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def engine(cluster: Cluster) -> Iterator[Engine]:
    """The engine with these workers, of which those that ended are replaced."""
    with connected(Settings(engine="dask", dask_scheduler=cluster.address)) as found:
        assert found is not None
        alive = sum(process.poll() is None for process in cluster.workers)
        for _ in range(2 - alive):
            cluster.add_worker()
        wait_until(lambda: found.places == 2, "both workers are there")
        yield found


def test_without_a_setting_there_is_no_engine_and_dask_is_not_imported() -> None:
    code = (
        "import sys, flows.experiment, flows.score\n"
        "from perennial.engine.connection import connected\n"
        "from perennial.settings import Settings\n"
        "with connected(Settings()) as engine:\n"
        "    print(engine, {'dask', 'distributed'} & set(sys.modules))"
    )

    assert run_fresh(code).strip() == "None set()"


def test_every_part_is_done_once(engine: Engine, tmp_path: Path) -> None:
    parts = [Counting(tmp_path / str(number)) for number in range(8)]

    done = dict(engine.done(count, parts))

    assert done == dict.fromkeys(parts, 1)


def test_what_a_killed_worker_was_doing_is_done_by_another_one(
    engine: Engine, tmp_path: Path
) -> None:
    parts = [Counting(tmp_path / str(number), deaths=int(number == 3)) for number in range(8)]

    done = dict(engine.done(count, parts))

    assert done.keys() == set(parts)
    assert done[parts[3]] == 2
    # What the worker had done and nobody had fetched is done again as well.
    assert set(done.values()) <= {1, 2}


def test_a_part_that_ends_every_worker_is_given_up_with_a_sentence(
    engine: Engine, cluster: Cluster, tmp_path: Path
) -> None:
    for _ in range(3):
        cluster.add_worker()
    wait_until(lambda: engine.places == 5, "more workers are there")

    with pytest.raises(LostWorkersError) as caught:
        list(engine.done(count, [Counting(tmp_path / "deadly", deaths=100)]))

    assert str(caught.value) == (
        f"4 workers of the Dask scheduler at {cluster.address} (DASK_SCHEDULER) ended one after "
        "the other with the same part of the run, as happens when they have too little memory for "
        "it; give each of them more."
    )


def test_a_lost_scheduler_is_said_in_one_sentence_and_the_next_run_completes(
    tmp_path: Path,
) -> None:
    begun, caught = tmp_path / "begun", []
    with dask_cluster(tmp_path) as cluster:
        settings = Settings(engine="dask", dask_scheduler=cluster.address)

        def run() -> None:
            try:
                with connected(settings) as engine:
                    assert engine is not None
                    list(engine.done(wait_for, [begun]))
            except OutsideError as error:
                caught.append(error)

        thread = Thread(target=run)
        thread.start()
        wait_until(begun.exists, "the part is begun")
        os.killpg(cluster.scheduler.pid, signal.SIGKILL)
        thread.join(60)

    (error,) = caught
    assert isinstance(error, UnavailableError)
    assert str(error) == (
        f"The Dask scheduler at {cluster.address} (DASK_SCHEDULER) was lost in the middle of the "
        "run, of which nothing half-done is kept; start it again, and then the run, or unset "
        "ENGINE to do it on this machine."
    )
    with connected(Settings(engine="dask")) as engine:
        assert engine is not None
        part = Counting(tmp_path / "next")
        assert list(engine.done(count, [part])) == [(part, 1)]


def test_a_scheduler_that_is_not_there_or_has_no_worker_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_SECONDS_TO_CONNECT", 1)
    monkeypatch.setattr(connection, "_SECONDS_FOR_A_WORKER", 1)
    nowhere = f"tcp://127.0.0.1:{free_port()}"
    absent = "does not answer; start it with `python -m dask scheduler`, or write its address, such"
    idle = "has no worker; start one with `python -m dask worker tcp://127.0.0.1"

    with pytest.raises(UnavailableError, match=f"{nowhere} .DASK_SCHEDULER. {absent}"):
        _connect(nowhere)
    with dask_cluster(tmp_path, workers=0) as cluster:
        monkeypatch.setattr(connection, "_SECONDS_TO_CONNECT", 60)
        with pytest.raises(UnavailableError, match=idle):
            _connect(cluster.address)


def _connect(address: str) -> None:
    with connected(Settings(engine="dask", dask_scheduler=address)):
        pytest.fail("it is connected")


def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda n: None if n == "distributed" else find(n))

    with (
        pytest.raises(OutsideError, match=r"^ENGINE=dask needs distributed, .*'perennial\[dask\]'"),
        connected(Settings(engine="dask")),
    ):
        pytest.fail("it is connected")


def test_a_worker_without_the_files_of_the_run_says_which(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match=r"cannot use the files of the run .*DATA_DIR\)\.$"):
        list(engine.done(count, [Counting(tmp_path / "not" / "there")]))


def test_a_worker_of_another_release_refuses_the_run(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "__version__", "99.0")

    with pytest.raises(OutsideError, match=r"has perennial \S+, and the run 99\.0; start"):
        list(engine.done(count, [Counting(tmp_path / "one")]))


def test_an_error_of_the_code_stays_what_it_is(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        list(engine.done(fail, ["a bug"]))


def test_workers_do_only_what_is_meant_for_them(engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"parts:uncalled is no work of the engine\.$"):
        list(engine.done(uncalled, ["it was called"]))


def test_what_is_not_done_in_its_time_is_left_out(engine: Engine, tmp_path: Path) -> None:
    assert list(engine.done(count, [Counting(tmp_path / "one")], seconds=0.0)) == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ENGINE": "ray"}, "ENGINE must be 'dask'"),
        ({"ENGINE": "dask", "DASK_SCHEDULER": "host"}, "DASK_SCHEDULER must be the address"),
        ({"DASK_SCHEDULER": "tcp://host:8786"}, "is set without ENGINE=dask"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perennial.settings import read

    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(OutsideError, match=said):
        read(Settings)
