"""Run the service: ``python -m serving`` is ``bentoml serve`` with this project's settings.

An instance of BentoML empties the folder of the workers' metrics when it starts: each gets a home
of its own, named after its port.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from perennial.errors import OutsideError
from perennial.local.ports import require_free
from perennial.settings import PROJECT, get_serving_settings, get_settings

SERVICE = "serving.service:Classifier"
# A large body leaves its memory to the system again, not in holes between what stays; two arenas,
# since hardly more than two threads ever ask for memory.
_MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
}


def main(given: Sequence[str]) -> None:
    """Run ``bentoml serve``; arguments are passed on to it.

    Raises
    ------
    OutsideError
        If a setting is wrong or a port is taken; then nothing has been changed.
    """
    arguments = _take_address(given)
    serving, settings = get_serving_settings(), get_settings()
    require_free(serving.host, serving.port, "SERVING_PORT")
    if serving.metrics_port is not None:
        require_free(serving.metrics_host, serving.metrics_port, "SERVING_METRICS_PORT")
    home = settings.data_dir.absolute() / "serving" / f"bentoml-{serving.port}"
    os.environ.setdefault("BENTOML_HOME", str(home))
    for name, value in _MEMORY.items():
        os.environ.setdefault(name, value)
    address = ["--host", serving.host, "--port", str(serving.port)]
    # BentoML imports from the folder in which it runs.
    os.environ |= settings.folders
    os.chdir(PROJECT)
    with _alone(Path(os.environ["BENTOML_HOME"])):
        # It reads the environment when it is imported. It runs in this process, because a new one
        # would import our settings again; what is said about memory is for the workers that it
        # starts.
        from bentoml_cli.cli import cli

        cli(["serve", SERVICE, *address, *arguments])


def _take_address(arguments: Sequence[str]) -> list[str]:
    """Let an address among the arguments count as a setting; return the other arguments."""
    parser = ArgumentParser(prog="python -m serving", add_help=False, allow_abbrev=False)
    parser.add_argument("--host")
    parser.add_argument("--port", "-p")
    given, others = parser.parse_known_args(arguments)
    for name in ("host", "port"):
        if (value := getattr(given, name)) is not None:
            os.environ[f"SERVING_{name.upper()}"] = value
    return others


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other services away from the folder of the workers' metrics.

    A service that is still starting has no port yet that another one could see.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / "lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise OutsideError(
            f"Another service uses {home}; end it, or set SERVING_PORT, or BENTOML_HOME if that "
            "is set."
        ) from None
    except OSError as error:
        raise OutsideError(
            f"The folder {home} (DATA_DIR) cannot be used: {error.strerror}."
        ) from error
    try:
        yield
    finally:
        lock.release()


if __name__ == "__main__":
    main(sys.argv[1:])
