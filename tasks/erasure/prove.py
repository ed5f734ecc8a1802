"""Prove an erasure: search every stored byte for what was erased."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from perennial.commands import command
from perennial.config.loader import load_problems
from perennial.config.problem import Problem
from perennial.erasure.objects import Folder, Objects, StoredObject, objects_at
from perennial.erasure.search import Needle, found_in, needles_of_id, needles_of_text
from perennial.erasure.table import Stored, others_of, stored_of
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


class Search:
    """The search of all that is stored for erased documents, in two parts.

    What lies beside the table of snapshots is searched before the table is rewritten: as long as
    something is left there, the table still says what to look for.

    Parameters
    ----------
    problem, registry, settings, store
        The problem, and where its documents are.
    stored : Stored
        What is stored of the erased documents.
    """

    def __init__(
        self,
        problem: Problem,
        registry: Registry,
        settings: Settings,
        store: SnapshotStore,
        stored: Stored,
    ) -> None:
        self._problem, self._registry, self._settings = problem, registry, settings
        self._store = store
        self._needles, self._too_short = _needles(stored)
        self._files = _Files(self._needles)

    def beside_the_table(self, erased: Tombstones, is_erased: Callable[[Any], bool]) -> None:
        """Search models and every file of the data folder.

        Raises
        ------
        OutsideError
            If something is left; the message names the places.
        """
        registry, name = self._registry, self._problem.name
        left = _golden_of(registry, name, is_erased)
        listed = still_listed(registry, name, erased.__contains__)
        left += [f"{LABEL_ISSUES_FILE} of the run {run_id}" for run_id in listed]
        folder = Folder(self._settings.data_dir, leaving_out=(_MONGODB, _SNAPSHOTS))
        found = dict(self._files.places(folder, folder.all()))
        if found:
            shared = _shared(
                self._store, erased, {each for some in found.values() for each in some}
            )
            left += [place for place, some in found.items() if not shared.issuperset(some)]
        if left:
            raise OutsideError(
                f"Parts of erased documents are still in {_shown(left)}. The table of snapshots "
                "keeps them until they are gone from there: remove what is there, and run the same "
                f"command again, which searches once more.{self._told_of_others()}"
            )
        _require_searched(self._files.damaged)

    def table(self, erased: Tombstones) -> Proof:
        """Search every version of every object of the table, after it was rewritten.

        Raises
        ------
        OutsideError
            If something is left, or a file cannot be searched; the message names the places.
        """
        store, files = self._store, self._files
        _require(not stored_of(store, erased).keys, [f"the table at {store.uri}/{HISTORY}"])
        objects = objects_at(store.uri, store.table.options)
        live = _live_files(store)
        of_table = list(objects.all())
        shared: list[Needle] = []
        for each in of_table:
            if each.is_current and each.name in live:
                shared += [found for found in files.look(objects, each) if found not in shared]
        files.needles = [needle for needle in self._needles if needle not in shared]
        others = [each for each in of_table if not (each.is_current and each.name in live)]
        left = [place for place, _ in files.places(objects, others)]
        _require(not left, left)
        _require_searched(files.damaged)
        return Proof(
            len(self._needles),
            self._too_short,
            len(shared),
            files.files,
            files.size,
            self._not_searched(),
        )

    def _others(self) -> str:
        """Return the names of the other problems that read the same collection."""
        source = self._problem.source
        loaded = load_problems(self._settings.problems_dir).problems
        return ", ".join(
            sorted(
                each.name
                for each in loaded
                if each.name != self._problem.name
                and (each.source.database, each.source.collection)
                == (source.database, source.collection)
            )
        )

    def _told_of_others(self) -> str:
        others = self._others()
        if not others:
            return ""
        return (
            f" Other problems read the same collection ({others}): erase the documents there "
            f"first, with `{command('erase', 'NAME')}` and the same ids."
        )

    def _not_searched(self) -> tuple[str, ...]:
        left_out = ["the collections of MongoDB and its own files, also its log of changes"]
        if others := self._others():
            left_out.append(
                "the snapshots of other problems that read the same collection; erase there, too: "
                f"{others}"
            )
        if self._settings.mlflow_tracking_uri or self._settings.dagshub_repo_name:
            left_out.append(
                "the storage of the MLflow server, beyond the examples of models and lists of "
                "labels"
            )
        return tuple(left_out)


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


def _shared(store: SnapshotStore, erased: Tombstones, needles: set[Needle]) -> set[Needle]:
    """Return what stands in other documents of the table as well, and so proves nothing."""
    return {needle for others in others_of(store, erased) for needle in found_in(others, needles)}


class _Files:
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
    ) -> Iterator[tuple[str, list[Needle]]]:
        """Yield the names of the files in which something is, with what it is."""
        for each in stored:
            if found := self.look(objects, each):
                yield f"{objects.address}/{each}", found


def _golden_of(registry: Registry, problem: str, is_erased: Callable[[Any], bool]) -> list[str]:
    """Return the stored models whose golden examples have an erased input."""
    left = []
    for model_id in registry.stored_models(problem):
        golden = registry.golden(model_id)
        if golden is not None and any(map(is_erased, golden.inputs)):
            left.append(f"the golden examples of the stored model {model_id}")
    return left


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
            "Remove them, and run the same command again."
        )


def _shown(places: list[str]) -> str:
    more = f" and {len(places) - _SHOWN:,} more" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + more
