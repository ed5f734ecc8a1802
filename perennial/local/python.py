"""Other Python processes: each finds this code and this project, in whatever folder it runs."""

from __future__ import annotations

import os

from perennial.settings import PROJECT, Settings


def python_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a Python process that this one starts.

    The current folder, which is the person's, is no place to import from: it may hold folders that
    are called ``tasks`` or ``tests``, too. Installed code is found without any variable.
    """
    environment = {**os.environ, **settings.folders, "PYTHONSAFEPATH": "1"}
    if (PROJECT / "problems").is_dir():
        others = [path for path in (os.environ.get("PYTHONPATH"),) if path]
        environment["PYTHONPATH"] = os.pathsep.join([str(PROJECT), *others])
    return environment
