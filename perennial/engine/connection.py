"""The way to the engine's workers: a cluster of this process, or a scheduler that is there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from perennial.engine.workers import Engine
from perennial.errors import OutsideError, UnavailableError
from perennial.packages.extras import missing_for
from perennial.settings import Settings

_SECONDS_TO_CONNECT = 10
_SECONDS_FOR_A_WORKER = 60
_SECONDS_TO_CLOSE = 5


@contextmanager
def connected(settings: Settings) -> Iterator[Engine | None]:
    """Yield the engine that the settings name during the block; None if they name none.

    Raises
    ------
    OutsideError
        If Dask is not installed, or if the scheduler does not answer or has no worker.
    """
    if settings.engine is None:
        yield None
        return
    if lacking := missing_for("dask"):
        raise OutsideError(
            f"ENGINE=dask needs {' and '.join(lacking)}, which the extra dask installs: pip "
            "install 'perennial[dask]'; or unset ENGINE."
        )
    import distributed  # noqa: F401 - it sets up its log when it is imported

    # Whatever stops a run is said in a sentence, once.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    address = settings.dask_scheduler
    with _on_this_machine() if address is None else _elsewhere(address) as engine:
        yield engine


@contextmanager
def _on_this_machine() -> Iterator[Engine]:
    """Yield workers of this process, one for each processor, that end with it."""
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster

    with (
        TemporaryDirectory(prefix="perennial-dask-") as folder,
        # Without certificates every user of this machine could let them run anything.
        LocalCluster(
            n_workers=CPU_COUNT,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            local_directory=folder,
            security=True,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Engine(client, "Dask cluster on this machine (ENGINE=dask)")


@contextmanager
def _elsewhere(address: str) -> Iterator[Engine]:
    """Yield the workers of a scheduler, which are there before and afterwards."""
    from distributed import Client

    name = f"Dask scheduler at {address} (DASK_SCHEDULER)"
    way_out = "or unset ENGINE to do without."
    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"The {name} does not answer; start it with `python -m dask scheduler`, or write "
            f"its address, such as tcp://host:8786, {way_out}"
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=_SECONDS_FOR_A_WORKER)
        except (TimeoutError, OSError) as error:
            raise UnavailableError(
                f"The {name} has no worker; start one with `python -m dask worker {address} "
                f"--nthreads 1`, {way_out}"
            ) from error
        yield Engine(client, name)
    finally:
        client.close(_SECONDS_TO_CLOSE)
