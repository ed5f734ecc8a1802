"""Run the service: ``python -m serving`` is ``bentoml serve`` with this project's settings.

An instance of BentoML empties the folder of the workers' metrics when it starts: each gets a home
of its own, named after its port.
"""

from __future__ import annotations

import os
import sys

from settings import PROJECT, get_serving_settings, get_settings

SERVICE = "serving.service:Classifier"
# A large body leaves its memory to the system again, not in holes between what stays; two arenas,
# since hardly more than two threads ever ask for memory.
_MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
}


def main() -> None:
    """Run ``bentoml serve``; arguments are passed on to it."""
    serving = get_serving_settings()
    home = get_settings().data_dir.absolute() / "serving" / f"bentoml-{serving.port}"
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("BENTOML_HOME", str(home))
    for name, value in _MEMORY.items():
        os.environ.setdefault(name, value)
    address = ["--host", serving.host, "--port", str(serving.port)]
    os.chdir(PROJECT)
    # It reads the environment when it is imported. It runs in this process, because a new one would
    # import our settings again; what is said about memory is for the workers that it starts.
    from bentoml_cli.cli import cli

    cli(["serve", SERVICE, *address, *sys.argv[1:]])


if __name__ == "__main__":
    main()
