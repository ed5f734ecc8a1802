"""Watches the registry, in a thread of its own: no request ever waits for it."""

from __future__ import annotations

import logging
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from perennial.errors import OutsideError
from perennial.settings import get_settings
from serving.models.poll import Poll
from serving.models.store import ModelStore
from serving.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from perennial.registry.client import Registry

RegistryState = Literal["answers", "away", "not asked yet"]

_log = logging.getLogger(__name__)
_JITTER = 0.25
_GLANCE_SECONDS = 0.25


class Watcher(threading.Thread):
    """Keeps a worker's models what the registry says.

    First come the models that this machine served last, then those that the registry names, then
    a look at the registry every few seconds, which all workers of a machine share. A file that they
    watch makes them look at once.

    Parameters
    ----------
    store : ModelStore
        What is kept up to date.
    folder : Path
        Where the shared file lies.
    poll_seconds : float
        Time between two looks, give or take a quarter so that workers do not ask in step.
    """

    def __init__(
        self, store: ModelStore, folder: Path, metrics: Metrics, poll_seconds: float
    ) -> None:
        super().__init__(name="registry-watcher", daemon=True)
        self._store = store
        self._signal = folder / "refresh"
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._registry: Registry | None = None
        self._poll = Poll(folder, poll_seconds, self._connected)
        self._is_alone = False
        self._ending = threading.Event()
        self._looks = self._asked = 0
        self._looking = False
        self._looked = threading.Condition()
        self._informed = threading.Event()
        self._is_named = False
        self.registry: RegistryState = "not asked yet"

    def run(self) -> None:
        """Restore, then look until `end`."""
        self._store.restore()
        if self._store.served:
            self._informed.set()
        while not self._ending.is_set():
            with self._looked:
                signalled = self._signalled()
                self._looking = True
            self._look()
            self._informed.set()
            self._wait(signalled)

    def end(self) -> None:
        """Stop looking."""
        self._ending.set()

    def wait_until_informed(self, seconds: float, loading_seconds: float) -> bool:
        """Wait until there is a model, or the registry was asked for one.

        Parameters
        ----------
        seconds : float
            How long the registry may take to answer.
        loading_seconds : float
            How much longer a model may take to load that is known to be there: the registry has
            named it, or another worker of this machine has it already.

        Returns
        -------
        bool
            Whether there is a model, or the registry was asked.
        """
        if self._informed.wait(seconds):
            return True
        is_there = self._store.has_cached() or self._is_named
        return is_there and self._informed.wait(loading_seconds)

    def refresh(self, seconds: float) -> bool:
        """Make all workers of this machine look now, and wait until this one has.

        Returns
        -------
        bool
            Whether it has looked within the time, and the registry answered.
        """
        with self._looked:
            # A look that is under way may have begun too early.
            wanted = self._looks + (2 if self._looking else 1)
            self._asked += 1
            self._tell_others()
            done = self._looked.wait_for(lambda: self._looks >= wanted, seconds)
        return done and self.registry == "answers"

    def _tell_others(self) -> None:
        try:
            self._signal.parent.mkdir(parents=True, exist_ok=True)
            self._signal.write_text(str(time.time_ns()))
        except OSError as error:
            self._is_alone = True
            _log.warning(
                "The other workers of this machine cannot be told to look at the registry now, "
                "as %s cannot be written: %s. They look by themselves every %.0f s.",
                self._signal,
                error.strerror or type(error).__name__,
                self._poll_seconds,
            )

    def _connected(self) -> Registry:
        if self._registry is None:
            self._registry = _connect()
        return self._registry

    def _wanted(self) -> int:
        """Return what the look is for; whoever cannot tell the others is answered anew."""
        signal, asked = self._signalled()
        return -asked if self._is_alone else signal

    def _look(self) -> None:
        try:
            found = self._poll.look(self._wanted())
            self._is_named = bool(found.problems())
            self._store.update(found)
        except OutsideError as error:
            if self.registry != "away":
                _log.warning("%s What is loaded answers meanwhile.", error)
            self._note("away")
        except OSError as error:
            if self.registry != "away":
                reason = error.strerror or type(error).__name__
                _log.warning(
                    "The registry cannot be asked from this machine: %s. What is loaded answers "
                    "meanwhile.",
                    reason,
                )
            self._note("away")
        except Exception:  # noqa: BLE001 - it is logged, and the next look must come
            _log.exception("The look at the registry failed.")
            self._note("away")
        else:
            self._note("answers")

    def _note(self, state: RegistryState) -> None:
        self.registry = state
        self._store.note_look()
        self._metrics.registry_up.set(1 if state == "answers" else 0)
        with self._looked:
            self._looking = False
            self._looks += 1
            self._looked.notify_all()

    def _wait(self, signalled: tuple[int, int]) -> None:
        """Wait until the next look is due or asked for."""
        jitter = 1 + _JITTER * (2 * random.random() - 1)  # noqa: S311
        due = time.monotonic() + self._poll_seconds * jitter
        while time.monotonic() < due and self._signalled() == signalled:
            if self._poll.has_news():
                return
            if self._ending.wait(min(_GLANCE_SECONDS, self._poll_seconds)):
                return

    def _signalled(self) -> tuple[int, int]:
        """Return what changes when a worker of this machine, or this one, is asked to look."""
        try:
            return self._signal.stat().st_mtime_ns, self._asked
        except OSError:
            return 0, self._asked


def _connect() -> Registry:
    # MLflow takes seconds to import; the models of the cache answer meanwhile.
    from perennial.registry.client import open_registry

    return open_registry(get_settings())
