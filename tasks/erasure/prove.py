"""Prove an erasure: search every stored byte for what was erased."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from perennial.config.problem import Problem
from perennial.erasure.objects import Folder, Objects, StoredObject, objects_at
from perennial.erasure.search import Needle, found_in, needles_of_id, needles_of_text
from perennial.erasure.table import Stored, stored_of
from perennial.errors import OutsideError
from perennial.registry.client import Registry
from perennial.registry.label_issues import LABEL_ISSUES_FILE, still_listed
from perennial.settings import Settings
from perennial.stores.snapshots.store import HISTORY, SnapshotStore
from perennial.stores.snapshots.tombstones import Tombstones

# A database's own files, which it alone can tidy; the page in the documentation says how.
_MONGODB, _SNAPSHOTS = "mongodb", "snapshots"
_SHOWN = 5


@dataclass(frozen=True)
class Proof:
    """What was searched for, and where.

    Attributes
    ----------
    parts : int
        Parts of texts, and ids, that were searched for.
    too_short : int
        Texts and ids that are too short to be told from others.
    shared : int
        Parts that stand in other documents as well, and so prove nothing.
    files, size : int
        Number and bytes of the files, and of their old versions, that were searched.
    not_searched : tuple of str
        What could not be searched, and why.
    """

    parts: int
    too_short: int
    shared: int
    files: int
    size: int
    not_searched: tuple[str, ...]


def prove(
    problem: Problem,
    registry: Registry,
    settings: Settings,
    store: SnapshotStore,
    erased: Tombstones,
    stored: Stored,
    is_erased: Callable[[Any], bool],
) -> Proof:
    """Search all that is stored for erased documents.

    Raises
    ------
    OutsideError
        If something is left; the message names the places.
    """
    _require(not stored_of(store, erased).keys, [f"the table at {store.uri}/{HISTORY}"])
    _require_no_golden(problem, registry, is_erased)
    listed = still_listed(registry, problem.name, erased.__contains__)
    _require(not listed, [f"{LABEL_ISSUES_FILE} of the run {run_id}" for run_id in listed])
    needles, too_short = _needles(stored)
    objects = objects_at(store.uri, store.table.options)
    live = _live_files(store)
    search = _Search(needles)
    of_table = list(objects.all())
    shared: list[Needle] = []
    for each in of_table:
        if each.is_current and each.name in live:
            shared += [found for found in search.look(objects, each) if found not in shared]
    search.needles = [needle for needle in needles if needle not in shared]
    others = [each for each in of_table if not (each.is_current and each.name in live)]
    left = list(search.places(objects, others))
    folder = Folder(settings.data_dir, leaving_out=(_MONGODB, _SNAPSHOTS))
    left += search.places(folder, folder.all())
    _require(not left, left)
    _require_searched(search.damaged)
    return Proof(
        len(needles), too_short, len(shared), search.files, search.size, _not_searched(settings)
    )


def _needles(stored: Stored) -> tuple[list[Needle], int]:
    of_each = [needles_of_text(text) for text in stored.texts]
    of_each += [needles_of_id(key) for key in stored.keys]
    needles = dict.fromkeys(needle for some in of_each for needle in some)
    return list(needles), sum(not some for some in of_each)


def _live_files(store: SnapshotStore) -> set[str]:
    """Return the files of the table that hold documents now."""
    table = store.table.open()
    names = [] if table is None else table.get_add_actions(flatten=True).column("path").to_pylist()
    return {f"{HISTORY}/{name}" for name in names}


class _Search:
    """Files that are searched, counted."""

    def __init__(self, needles: list[Needle]) -> None:
        self.needles = needles
        self.files = self.size = 0
        self.damaged: list[str] = []

    def look(self, objects: Objects, stored: StoredObject) -> list[Needle]:
        """Return what is in a file; nothing of one that cannot be searched, which is noted."""
        content = objects.read(stored)
        self.files += 1
        self.size += len(content)
        try:
            return found_in(content, self.needles)
        except OutsideError:
            self.damaged.append(f"{objects.address}/{stored}")
            return []

    def places(
        self, objects: Objects, stored: Iterator[StoredObject] | list[StoredObject]
    ) -> Iterator[str]:
        """Yield the names of the files in which something is."""
        for each in stored:
            if self.look(objects, each):
                yield f"{objects.address}/{each}"


def _require_no_golden(
    problem: Problem, registry: Registry, is_erased: Callable[[Any], bool]
) -> None:
    left = []
    for model_id in registry.stored_models(problem.name):
        golden = registry.golden(model_id)
        if golden is not None and any(map(is_erased, golden.inputs)):
            left.append(f"the golden examples of the stored model {model_id}")
    _require(not left, left)


def _require(holds: bool, left: list[str]) -> None:
    if holds:
        return
    raise OutsideError(
        f"Parts of erased documents are still in {_shown(left)}. All else is erased; remove what "
        "is there, and run the same command again, which searches once more."
    )


def _require_searched(damaged: list[str]) -> None:
    if damaged:
        raise OutsideError(
            f"Damaged Parquet files cannot be searched for erased documents: {_shown(damaged)}. "
            "All else is erased; remove them, and run the same command again."
        )


def _shown(places: list[str]) -> str:
    more = f" and {len(places) - _SHOWN:,} more" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + more


def _not_searched(settings: Settings) -> tuple[str, ...]:
    left_out = ["the collections of MongoDB and its own files, also its log of changes"]
    if settings.mlflow_tracking_uri or settings.dagshub_repo_name:
        left_out.append(
            "the storage of the MLflow server, beyond the examples of models and lists of labels"
        )
    return tuple(left_out)
