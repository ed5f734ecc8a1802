"""What dead workers have counted, in one file for all of them.

Each worker counts into files of its own, which stay when it dies: after hundreds of deaths a look
at the metrics would read thousands of files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from filelock import FileLock
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

_COUNTED = re.compile(r"(counter|histogram)_(\d+)\.db")
_LIVE = re.compile(r"gauge_live\w+_(\d+)\.db")
# The collector of the metrics reads files that end so; these it must not see.
_TAKEN, _NEW, _LOCK = ".dead", ".new", "dead-workers.lock"


class DeadWorkers:
    """Keeps the folder of the workers' metrics small.

    Parameters
    ----------
    folder : Path
        Where the workers count.
    is_alive : callable
        Whether there is a process of an id.
    """

    def __init__(self, folder: Path, is_alive: Callable[[int], bool] = psutil.pid_exists) -> None:
        self._folder, self._is_alive = folder, is_alive
        self.lock = FileLock(folder / _LOCK)

    def gather(self) -> None:
        """Add up what the dead have counted, and forget what they said about the present.

        Whoever reads the files meanwhile must hold the lock, as this has to.
        """
        dead = self._dead(_COUNTED)
        for kind in ("counter", "histogram"):
            files = [file for file, found in dead if found == kind]
            self._add_up(kind, files)
        for pid in {int(found) for _, found in self._dead(_LIVE)}:
            mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]

    def _dead(self, name: re.Pattern[str]) -> list[tuple[Path, str]]:
        """Return the files of dead workers, each with the first part that its name has."""
        found = [(file, name.fullmatch(file.name)) for file in self._folder.iterdir()]
        return [
            (file, match[1])
            for file, match in found
            if match is not None and not self._is_alive(int(match[match.lastindex or 1]))
        ]

    def _add_up(self, kind: str, files: Sequence[Path]) -> None:
        for file in files:
            # If this ends here, another one goes on with what is taken.
            file.rename(file.with_suffix(_TAKEN))
        taken = list(self._folder.glob(f"{kind}_*{_TAKEN}"))
        if not taken:
            return
        all_dead = self._folder / f"{kind}_dead.db"
        scratch = all_dead.with_suffix(_NEW)
        scratch.unlink(missing_ok=True)
        sums: dict[str, float] = {}
        for file in [*taken, *([all_dead] if all_dead.exists() else [])]:
            values = MmapedDict.read_all_values_from_file(str(file))  # type: ignore[no-untyped-call]
            for key, value, _, _ in values:
                sums[key] = sums.get(key, 0.0) + value
        written = MmapedDict(str(scratch))  # type: ignore[no-untyped-call]
        for key, value in sums.items():
            written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
        written.close()  # type: ignore[no-untyped-call]
        scratch.replace(all_dead)
        for file in taken:
            file.unlink()
