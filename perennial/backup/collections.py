"""Collections of MongoDB in a backup: their documents as BSON, and their indexes."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast

import bson
from bson.codec_options import CodecOptions
from bson.json_util import dumps, loads
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection

from perennial.backup.archive import Archive, Manifest
from perennial.errors import OutsideError

_FOLDER, _DOCUMENTS, _INDEXES = "mongodb", "documents.bson.gz", "indexes.json"
# Before the name of a problem whose MongoDB is its own.
_OWN = "mongodb-of-"
_RAW = CodecOptions(document_class=RawBSONDocument)
_BATCH = 1_000
# What a server says of an index beside how it was made.
_GIVEN_BY_SERVER = {"v", "ns", "key"}


def save_collection(archive: Archive, collection: Collection[Any], server: str | None) -> int:
    """Save the documents of a collection, byte by byte, and its indexes; return how many.

    Parameters
    ----------
    archive : Archive
        Where.
    collection : Collection
        What.
    server : str or None
        The problem whose own MongoDB it is in; None for the one of all others.
    """
    folder = f"{_folder(server)}/{collection.database.name}/{collection.name}"
    count = 0
    with (
        archive.write(f"{folder}/{_DOCUMENTS}") as target,
        gzip.open(target, "wb", compresslevel=6) as packed,
    ):
        for document in collection.with_options(_RAW).find(batch_size=_BATCH):
            packed.write(document.raw)
            count += 1
    with archive.write(f"{folder}/{_INDEXES}") as target:
        target.write(dumps(collection.index_information()).encode())
    return count


def saved_servers(manifest: Manifest) -> list[str | None]:
    """Return of which MongoDB an archive has collections; see `save_collection`."""
    folders = {name.partition("/")[0] for name in manifest.files}
    own = sorted(name.removeprefix(_OWN) for name in folders if name.startswith(_OWN))
    return [None, *own]


def saved_collections(manifest: Manifest, server: str | None) -> Iterator[tuple[str, str]]:
    """Yield the database and the name of each collection of a MongoDB in an archive."""
    for name in manifest.files:
        folder, *rest = name.split("/")
        if folder == _folder(server) and rest[-1] == _DOCUMENTS:
            yield rest[0], rest[1]


def _folder(server: str | None) -> str:
    return _FOLDER if server is None else f"{_OWN}{server}"


def require_no_documents(client: MongoClient[Any], manifest: Manifest, server: str | None) -> None:
    """Raise if a collection that would be restored has documents.

    Raises
    ------
    OutsideError
        Which names it: a restore never mixes what there is with what there was.
    """
    for database, name in saved_collections(manifest, server):
        if client[database][name].find_one() is not None:
            raise OutsideError(
                f"The collection {database}.{name} has documents, and nothing was restored; name "
                "another MongoDB (MONGODB_URI) or another DATA_DIR, or drop the collection."
            )


def restore_collections(
    archive: Archive, manifest: Manifest, client: MongoClient[Any], server: str | None
) -> int:
    """Restore all collections of a MongoDB with their indexes; return how many documents."""
    count = 0
    for database, name in saved_collections(manifest, server):
        folder, collection = f"{_folder(server)}/{database}/{name}", client[database][name]
        with archive.read(f"{folder}/{_DOCUMENTS}") as source, gzip.open(source) as packed:
            batch: list[RawBSONDocument] = []
            for document in bson.decode_file_iter(cast("IO[bytes]", packed), _RAW):
                batch.append(document)
                if len(batch) == _BATCH:
                    count += _insert(collection, batch)
            count += _insert(collection, batch)
        with archive.read(f"{folder}/{_INDEXES}") as source:
            _restore_indexes(collection, loads(source.read()))
    return count


def _insert(collection: Collection[Any], batch: list[RawBSONDocument]) -> int:
    count = len(batch)
    if batch:
        collection.insert_many(batch, ordered=False)
        batch.clear()
    return count


def _restore_indexes(collection: Collection[Any], indexes: Mapping[str, Any]) -> None:
    for name, index in indexes.items():
        if name == "_id_":
            continue
        options = {key: value for key, value in index.items() if key not in _GIVEN_BY_SERVER}
        keys = [(field, int(way) if isinstance(way, float) else way) for field, way in index["key"]]
        collection.create_index(keys, name=name, **options)
