"""Check the settings against the servers: ``python -m serving.check [VARIABLE...]``.

A pod runs this before the service: a password that is wrong ends a rollout with one sentence, and
the pods before it go on. A server that is away ends nothing, because the service serves without it.
Variables that are named must be set: without one, what runs embedded on a machine would be used.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from perennial.errors import OutsideError, UnavailableError
from perennial.settings import Settings, get_serving_settings, get_settings

_log = logging.getLogger(__name__)


def problems(settings: Settings) -> list[str]:
    """Return a sentence for each server that refuses the settings."""
    refusals = []
    for look in (_mongodb, _registry):
        try:
            look(settings)
        except UnavailableError as error:
            _log.warning("%s The service starts without it.", error)
        except OutsideError as error:
            refusals.append(str(error))
    return refusals


def unset(names: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return which of the variables are missing, a sentence each."""
    return [
        f"{name} is not set: write it into the secret or the ConfigMap that this pod reads."
        for name in names
        if not environment.get(name)
    ]


def _mongodb(settings: Settings) -> None:
    if settings.mongodb_uri is None:
        return
    from perennial.stores import mongodb

    with mongodb.connect(settings):
        pass


def _registry(settings: Settings) -> None:
    if settings.mlflow_tracking_uri is None and settings.dagshub_repo_name is None:
        return
    from perennial.registry.client import open_registry

    open_registry(settings)


def main(names: Sequence[str], say: Callable[[str], object] = sys.stderr.write) -> int:
    """Return 1 if one of the variables is not set or a server refuses the settings, else 0."""
    logging.basicConfig(format="%(message)s")
    refusals = unset(names, os.environ)
    if not refusals:
        # It says why the service itself would not start.
        get_serving_settings()
        refusals = problems(get_settings())
    for refusal in refusals:
        say(f"{refusal}\n")
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
