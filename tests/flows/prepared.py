"""Machines on which something has happened: it happens once, and is copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perennial.settings import Settings


class Prepared:
    """Data folders after flows have run, by name.

    A registered model and a snapshot hold no absolute path, so a copy is as good as what was made.
    What MongoDB holds is not copied: each test inserts its documents, into a database of the same
    name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._results: dict[str, Any] = {}

    def enter(self, name: str, machine: Settings, happen: Callable[[], Any]) -> Any:
        """Fill the data folder of an empty machine; return what `happen` returned.

        Parameters
        ----------
        name : str
            Name of what has happened.
        machine : Settings
            The machine, in whose data folder nothing but an empty MLflow is.
        happen : callable
            Lets it happen on that machine.
        """
        kept = self._folder / name
        if name in self._results:
            shutil.copytree(kept, machine.data_dir, dirs_exist_ok=True)
        else:
            self._results[name] = happen()
            shutil.copytree(machine.data_dir, kept)
        return self._results[name]
