"""Erase: documents out of everything that is stored, and the proof that they are gone.

Each step may be repeated, and the table is rewritten last: a run that was killed is completed by
the next one, which still finds in the table what it has to look for elsewhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pymongo.collection import Collection
from pymongo.database import Database

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.config.sections.feedback import ID_PREFIX
from perennial.documents.keys import document_id, document_key, typed_keys
from perennial.documents.revisions import Found, to_revisions
from perennial.embeddings.kept import forget_vectors
from perennial.erasure.models import clean_cache, replace_examples
from perennial.erasure.objects import objects_at, remove_old_versions
from perennial.erasure.table import (
    Stored,
    erase_rows,
    identities_of,
    ids_of_copies,
    known_keys,
    stored_of,
)
from perennial.errors import OutsideError
from perennial.inputs.base import inputs_of
from perennial.inputs.identity import CURRENT_IDENTITY, FIRST_IDENTITY
from perennial.registry.client import Registry
from perennial.registry.label_issues import forget_documents
from perennial.registry.tags import ErasureTags
from perennial.settings import Settings, get_serving_settings
from perennial.stores import mongodb
from perennial.stores.documents import batched, both, open_documents
from perennial.stores.feedback import delete_statements
from perennial.stores.prediction_log import delete_predictions, find_inputs
from perennial.stores.snapshots.delta import SnapshotConflictError
from perennial.stores.snapshots.store import HISTORY, SnapshotStore
from perennial.stores.snapshots.tombstones import Tombstone, Tombstones, digest_of_id
from tasks.erasure.prove import Proof, Search
from tasks.orchestration.retries import COMPUTING_SECONDS
from tasks.promotion.unseen import learned_by

_CONFLICTS = 5
_IDS_PER_QUERY = 100
# Snapshots of different times may have different ones.
_IDENTITIES = (FIRST_IDENTITY, CURRENT_IDENTITY)


@dataclass(frozen=True)
class Wish:
    """What a person wants to have erased.

    Attributes
    ----------
    ids : sequence of str
        Ids as they were typed.
    query : str or None
        A MongoDB filter, as extended JSON.
    by, why : str
        Who wants it, and the reason.
    also_in_mongodb : bool
        Whether the documents are deleted in MongoDB, too.
    with_copies : bool
        Whether documents of the same content are erased as well.
    """

    ids: Sequence[str]
    query: str | None
    by: str
    why: str
    also_in_mongodb: bool = False
    with_copies: bool = False


@dataclass(frozen=True)
class Erasure:
    """What an erasure did.

    Attributes
    ----------
    documents : int
        How many documents have a tombstone now that had none.
    revisions, models, lists, predictions, scores, deleted, versions : int
        Revisions in the table, models whose golden examples were replaced, lists of labels that
        look wrong which are shorter now, predictions in the log, scores, documents deleted in
        MongoDB, and old versions and files that were removed.
    marked : tuple of int
        The registered versions that had learned from the documents.
    proof : Proof
        What was searched for, and where.
    """

    documents: int
    revisions: int
    models: int
    lists: int
    predictions: int
    scores: int
    deleted: int
    versions: int
    marked: tuple[int, ...]
    proof: Proof


def find_keys(problem: Problem, settings: Settings, wish: Wish) -> set[str]:
    """Return the ids of the documents that a person means, as snapshots have them.

    Raises
    ------
    OutsideError
        If one of the ids is neither in MongoDB nor in any snapshot, or the query is no filter.
    """
    store = SnapshotStore(problem.name, settings)
    erased = store.erased()
    with mongodb.connect(settings, problem.name) as client:
        collection = open_documents(client, problem)
        keys = _found_by_query(problem, collection, wish.query)
        meant = {typed: typed_keys(typed) for typed in wish.ids}
        known = known_keys(store, {key for some in meant.values() for key in some})
        for number, some in enumerate(meant.values(), start=1):
            there = map(partial(_key_in, collection), some)
            here = [*(known.get(key) for key in some), *there, *filter(erased.__contains__, some)]
            found = next((key for key in here if key is not None), None)
            if found is None:
                # Its value would be kept by whoever keeps the messages of a run.
                raise OutsideError(
                    f"The id given as number {number} is of no document of {problem.name!r}, "
                    "neither in MongoDB nor in a snapshot; nothing was erased."
                )
            keys.add(found)
    return keys


def _key_in(collection: Collection[mongodb.Document], key: str) -> str | None:
    """Return the key of the document that MongoDB has under an id.

    To MongoDB numbers of all types are equal, whatever a person types.
    """
    found = collection.find_one({"_id": document_id(key)}, {"_id": 1})
    return None if found is None else document_key(found["_id"])


def _found_by_query(
    problem: Problem, collection: Collection[mongodb.Document], query: str | None
) -> set[str]:
    from bson import json_util

    if query is None:
        return set()
    try:
        wanted = json_util.loads(query)
    except (json.JSONDecodeError, ValueError):
        wanted = None
    if not isinstance(wanted, dict) or not wanted:
        raise OutsideError(
            '--query must be a JSON object that names some documents, such as {"author": 17}.'
        )
    found = collection.find(both(problem.source.query, wanted), {"_id": 1})
    return {document_key(each["_id"]) for each in found}


# Not tried again as a whole: what failed is completed by the next command, with a person looking.
@task(name="erase", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def erase_documents(
    problem: Problem, registry: Registry, settings: Settings, wish: Wish, keys: set[str]
) -> Erasure:
    """Erase documents, and complete every erasure that was not; then search for what was erased.

    Raises
    ------
    OutsideError
        If a copy of an erased text stays in another document, if a behavioural case is such a text,
        if something cannot be used, or if something was found that should be gone.
    """
    store = SnapshotStore(problem.name, settings)
    with (
        mongodb.connect(settings, problem.name) as client,
        mongodb.connect(settings) as logged,
    ):
        collection = open_documents(client, problem)
        gone, stored = _gather(problem, store, collection, keys, wish)
        erased = store.erased()
        new = {key for key in gone if key not in erased}
        added = _bury(store, _learned(problem, registry, store, new), wish)
        erased = store.erased()
        is_erased = _recognise(problem, stored)
        _require_no_case(problem, is_erased)
        deleted = _delete(collection, gone) if wish.also_in_mongodb else 0
        scores = _delete_scores(client[problem.source.database], problem, gone)
        log = logged[get_serving_settings().log_database]
        predictions = _delete_predictions(log, problem, gone, is_erased)
    models = replace_examples(problem, registry, store, is_erased)
    clean_cache(settings.data_dir / "serving" / "models" / problem.name, is_erased)
    forget_vectors(settings.data_dir)
    lists = forget_documents(registry, problem.name, erased.__contains__)
    registry.note_erasure(problem.name, datetime.now(UTC))
    search = Search(problem, registry, settings, store, stored)
    search.beside_the_table(erased, is_erased)
    revisions = erase_rows(store, erased)
    versions = _purge(store)
    marked = _mark(problem, registry, erased)
    proof = search.table(erased)
    _audit(problem, wish, added)
    return Erasure(
        documents=added,
        revisions=revisions,
        models=models,
        lists=lists,
        predictions=predictions,
        scores=scores,
        deleted=deleted,
        versions=versions,
        marked=marked,
        proof=proof,
    )


def _gather(
    problem: Problem,
    store: SnapshotStore,
    collection: Collection[mongodb.Document],
    keys: set[str],
    wish: Wish,
) -> tuple[set[str], Stored]:
    """Return the ids of all that is to be erased, and what is stored of it."""
    identities = identities_of(store)
    while True:
        before = store.erased().documents
        told = Tombstones(store.problem, dict(before))
        for key in keys:
            mark = digest_of_id(store.problem, key)
            told.documents[mark] = Tombstone(mark, datetime.now(UTC), wish.by, wish.why)
        stored = stored_of(store, told)
        for some in batched(sorted(keys), _IDS_PER_QUERY):
            query = {"_id": {"$in": [document_id(key) for key in some]}}
            found = [Found(each, 0) for each in collection.find(query)]
            for identity in identities:
                stored.add(to_revisions(found, problem, identity))
        copies = []
        if problem.inputs is None:
            copies = ids_of_copies(store, told, stored.contents)
        if not copies:
            return keys | stored.keys, stored
        if not wish.with_copies:
            others = counted(len(copies), "other document")
            verb = "has" if len(copies) == 1 else "have"
            raise OutsideError(
                f"{others} of {problem.name!r} {verb} the same text as those to be erased, and "
                "would stay; nothing was erased. Add --with-copies to erase such documents, too."
            )
        keys = keys | set(copies)


def _learned(
    problem: Problem, registry: Registry, store: SnapshotStore, keys: set[str]
) -> dict[str, tuple[int, ...]]:
    """Return the versions that have learned from each of some documents."""
    latest, wanted = store.latest(), pa.array(sorted(keys), pa.string())
    found: dict[str, list[int]] = {key: [] for key in keys}
    if latest is not None:
        for version in registry.versions(problem.name):
            ids = learned_by(problem, version, latest)
            for key in ids.filter(pc.is_in(ids, wanted)).to_pylist():
                found[key].append(version.version)
    return {key: tuple(sorted(versions)) for key, versions in found.items()}


def _bury(store: SnapshotStore, keys: Mapping[str, tuple[int, ...]], wish: Wish) -> int:
    """Write the tombstones that are not there yet; return how many these were.

    The keys are those of the documents, with the versions that have learned from each.
    """
    for _ in range(_CONFLICTS):
        erased, now = store.erased(), datetime.now(UTC)
        new = {key for key in keys if key not in erased}
        if not new:
            return 0
        try:
            store.bury(
                [
                    Tombstone(digest_of_id(store.problem, key), now, wish.by, wish.why, keys[key])
                    for key in sorted(new)
                ]
            )
        except SnapshotConflictError:
            continue
        return len(new)
    raise OutsideError(
        f"{_CONFLICTS} times in a row a retraining of {store.problem!r} wrote at the same time at "
        f"{store.uri} (DATA_URI); repeat when none runs."
    )


def _recognise(problem: Problem, stored: Stored) -> Callable[[Any], bool]:
    """Return a function that says whether an input is one of an erased document."""
    inputs = inputs_of(problem)

    def is_copy(value: Any) -> bool:
        hashes = (inputs.content_hash(value, identity) for identity in _IDENTITIES)
        return any(content in stored.contents for content in hashes)

    def is_erased(value: Any) -> bool:
        if inputs.fields is None:
            return isinstance(value, str) and (value in stored.texts or is_copy(value))
        if not isinstance(value, dict):
            return False
        return value in stored.records or (value.keys() >= inputs.fields.keys() and is_copy(value))

    return is_erased


def _require_no_case(problem: Problem, is_erased: Callable[[Any], bool]) -> None:
    cases = problem.gates.cases
    count = sum(map(is_erased, cases.inputs)) if cases is not None else 0
    if count:
        cases_have = counted(count, "behavioural case has", "behavioural cases have")
        raise OutsideError(
            f"{cases_have} the input of a document that is to be erased, in gates.cases of "
            f"problems/{problem.name}.yaml; people wrote them, so put others in their place, and "
            "repeat. From now on the document is not read any more."
        )


def _delete(collection: Collection[mongodb.Document], keys: Iterable[str]) -> int:
    return sum(
        collection.delete_many({"_id": {"$in": [document_id(key) for key in some]}}).deleted_count
        for some in batched(sorted(keys), _IDS_PER_QUERY)
    )


def _delete_scores(
    database: Database[mongodb.Document], problem: Problem, keys: Iterable[str]
) -> int:
    """Remove the predictions of `perennial score`, whose ids are those of the documents."""
    ending = f"_{problem.name}_scores"
    names = [name for name in database.list_collection_names() if name.endswith(ending)]
    return sum(_delete(database[name], keys) for name in names)


def _delete_predictions(
    log: Database[mongodb.Document],
    problem: Problem,
    keys: Iterable[str],
    is_erased: Callable[[Any], bool],
) -> int:
    """Remove the predictions of erased inputs, and those of which erased feedback was made."""
    of_feedback = [key.removeprefix(ID_PREFIX) for key in keys if key.startswith(ID_PREFIX)]
    same = [key for key, value in find_inputs(log, problem.name) if is_erased(value)]
    ids = list(dict.fromkeys([*of_feedback, *same]))
    for some in batched(ids, _IDS_PER_QUERY):
        delete_statements(log, some)
        delete_predictions(log, some)
    return len(ids)


def _purge(store: SnapshotStore) -> int:
    """Remove old files, old versions and what the earlier layout wrote; return how many."""
    store.table.purge()
    objects = objects_at(store.uri, store.table.options)
    earlier = [each for each in objects.all() if not each.name.startswith(f"{HISTORY}/")]
    return objects.remove(earlier) + remove_old_versions(objects)


def _mark(problem: Problem, registry: Registry, erased: Tombstones) -> tuple[int, ...]:
    """Say on every version how many of the documents that it has learned from are gone.

    Return the versions for which they have become more: those that learned from what is erased now,
    or by an erasure that was not completed.
    """
    counts = Counter(version for each in erased.documents.values() for version in each.learned_by)
    marked = []
    for version in registry.versions(problem.name):
        count = counts[version.version]
        if count > version.erased:
            registry.tag(version, ErasureTags(count).as_tags())
            marked.append(version.version)
    return tuple(sorted(marked))


def _audit(problem: Problem, wish: Wish, added: int) -> None:
    documents = counted(added, "document")
    get_run_logger().warning(
        "Erased %s of %s, by %s: %s", documents, problem.name, wish.by, wish.why
    )
