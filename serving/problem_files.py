"""The problem files of this machine, as a service that runs on sees them: they come and change."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from perennial.errors import ProblemError
from perennial.settings import Settings

if TYPE_CHECKING:
    from perennial.config.problem import Problem


class ProblemFiles:
    """Reads each problem's file again when it has changed, and only then.

    Threads may share it.

    Parameters
    ----------
    settings : Settings
        Where the files are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: dict[str, tuple[int, Problem | ProblemError]] = {}
        self._reading = threading.Lock()

    def changed(self, name: str) -> int:
        """Return when a file was changed last, in nanoseconds since 1970; 0 if there is none."""
        try:
            return self._settings.problem_file(name).stat().st_mtime_ns
        except OSError:
            return 0

    def read(self, name: str) -> Problem:
        """Return a problem.

        Raises
        ------
        ProblemError
            If its file is not here, or says something that is wrong.
        """
        with self._reading:
            changed = self.changed(name)
            known = self._read.get(name)
            if known is None or known[0] != changed:
                known = self._read[name] = changed, self._load(name)
        if isinstance(known[1], ProblemError):
            raise known[1].with_traceback(None)
        return known[1]

    def _load(self, name: str) -> Problem | ProblemError:
        # The worker answers its probes while the schema of the files is imported.
        from perennial.config.loader import load_problem

        try:
            return load_problem(self._settings.problem_file(name))
        except ProblemError as error:
            return error
