"""Seeds: which columns told the rows of a file without ids apart when it was first loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pymongo import ReturnDocument

from perennial.config.problem import Problem

_SEEDS = "perennial_seeds"


def first_identity(
    client: Any,
    problem: Problem,
    stem: str,
    identity: dict[str, str],
    has: Callable[[Iterable[str]], bool],
) -> dict[str, str]:
    """Return the columns by which the rows of a file get their ids: those of its first loading.

    The inputs of a problem change, its rows do not: a file that is loaded again after an input was
    added or taken away adds none of them a second time.

    Parameters
    ----------
    client : MongoClient
        The server of the problem's documents.
    problem : Problem
        The problem.
    stem : str
        The name of the file without its endings.
    identity : dict of str to str
        Column -> kind, of today's inputs: those of a first loading, which are kept.
    has : callable
        Whether the file has all of some columns. Another file of the same name, which lacks one of
        those that are kept, begins anew.
    """
    seeds = client[problem.source.database][_SEEDS]
    key = {"_id": {"collection": problem.source.collection, "file": stem}}
    told = {"identity": [list(pair) for pair in identity.items()]}
    kept = seeds.find_one_and_update(
        key, {"$setOnInsert": told}, upsert=True, return_document=ReturnDocument.AFTER
    )
    found = dict(kept["identity"])
    if has(found):
        return found
    seeds.update_one(key, {"$set": told})
    return identity
