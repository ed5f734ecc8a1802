"""Check the settings against the servers: ``python -m serving.check [VARIABLE...]``.

A pod runs this before the service: a password that is wrong ends a rollout with one sentence, and
the pods before it go on. A server that is away ends nothing, because the service serves without it;
one that says nothing at all, as behind a network that drops packets, is waited for a few seconds.
Variables that are named must be set: without one, what runs embedded on a machine would be used.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from perennial.errors import OutsideError, UnavailableError
from perennial.settings import Settings, get_serving_settings, get_settings

# A rollout has three minutes, and the service itself waits, too.
SECONDS = 10.0
_log = logging.getLogger(__name__)


def problems(settings: Settings, seconds: float = SECONDS) -> list[str]:
    """Return a sentence for each server that refuses the settings within a time.

    Parameters
    ----------
    settings : Settings
        Addresses of MongoDB and the registry.
    seconds : float
        How long all of them together are waited for.
    """
    looks = [_Look(name, ask, settings) for name, ask in _asked(settings)]
    for look in looks:
        look.start()
    end = time.monotonic() + seconds
    for look in looks:
        look.join(max(end - time.monotonic(), 0))
    return [refusal for look in looks for refusal in look.refusals(seconds)]


class _Look(threading.Thread):
    """One server that is asked; the process may end while it is still silent."""

    def __init__(self, name: str, ask: Callable[[Settings], None], settings: Settings) -> None:
        super().__init__(name=name, daemon=True)
        self._ask = ask
        self._settings = settings
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._ask(self._settings)
        except BaseException as error:  # noqa: BLE001 - the main thread raises or says it
            self._error = error

    def refusals(self, seconds: float) -> list[str]:
        """Return what the server refuses; that it is away is only logged."""
        error = self._error
        if self.is_alive():
            _log.warning(
                "%s has said nothing for %.0f s. The service starts without it.", self.name, seconds
            )
        elif isinstance(error, UnavailableError):
            _log.warning("%s The service starts without it.", error)
        elif isinstance(error, OutsideError):
            return [str(error)]
        elif error is not None:
            raise error
        return []


def _asked(settings: Settings) -> Iterator[tuple[str, Callable[[Settings], None]]]:
    """Yield each server that has an address; what asks it is imported before the time counts."""
    if settings.mongodb_uri is not None:
        from perennial.stores import mongodb

        def ask_mongodb(settings: Settings) -> None:
            with mongodb.connect(settings):
                pass

        yield "MongoDB (MONGODB_URI)", ask_mongodb
    for problem in settings.mongodb_uris:
        from perennial.stores import mongodb

        def ask_its_own(settings: Settings, problem: str = problem) -> None:
            with mongodb.connect(settings, problem):
                pass

        yield f"MongoDB of {problem} (MONGODB_URIS)", ask_its_own
    if settings.mlflow_tracking_uri is not None or settings.dagshub_repo_name is not None:
        from perennial.registry.client import open_registry

        def ask_registry(settings: Settings) -> None:
            open_registry(settings)

        yield "The registry (MLFLOW_TRACKING_URI)", ask_registry


def unset(names: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return which of the variables are missing, a sentence each."""
    return [
        f"{name} is not set: write it into the secret or the ConfigMap that this pod reads."
        for name in names
        if not environment.get(name)
    ]


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
