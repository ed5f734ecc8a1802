"""A Dask cluster of processes of their own, as on machines that are not this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from perennial.local.python import python_environment
from perennial.settings import PROJECT, get_settings
from tests.conftest import free_port


@dataclass
class Cluster:
    """A scheduler and its workers, each with one thread and nobody who starts it again.

    Attributes
    ----------
    folder : Path
        Their logs and working files.
    address : str
        That of the scheduler.
    scheduler : Popen
        Its process.
    workers : list of Popen
        Theirs.
    """

    folder: Path
    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_worker(self) -> None:
        """Start another worker."""
        options = ["--nthreads", "1", "--no-nanny", "--memory-limit", "0"]
        name = f"worker-{len(self.workers)}"
        self.workers.append(
            _started(self.folder, name, "dask_worker", self.address, "--name", name, *options)
        )

    def end(self) -> None:
        """Kill all that is left."""
        for process in (*self.workers, self.scheduler):
            # A worker may have started others.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def dask_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Yield a cluster that is there during the block; no worker has arrived yet."""
    port = free_port()
    listens = ["--host", "127.0.0.1", "--port", str(port)]
    scheduler = _started(folder, "scheduler", "dask_scheduler", *listens)
    cluster = Cluster(folder, f"tcp://127.0.0.1:{port}", scheduler)
    try:
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.end()


def _started(folder: Path, name: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", *arguments, "--no-dashboard"],
            cwd=folder,
            env={
                **python_environment(get_settings()),
                "PYTHONPATH": str(PROJECT),
                "OMP_NUM_THREADS": "1",
                # A worker whose scheduler is killed ends itself.
                "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
