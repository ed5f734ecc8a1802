"""Documents that others may have inserted meanwhile are inserted once, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import BulkWriteError

from perennial.stores.mongodb import insert_missing, refusals


def test_documents_whose_ids_are_there_already_stay_as_they_are(collection: Any) -> None:
    collection.insert_one({"_id": 1, "text": "first"})

    inserted = insert_missing(collection, [{"_id": 1, "text": "second"}, {"_id": 2}, {"_id": 3}])

    assert inserted == 2
    assert collection.find_one({"_id": 1})["text"] == "first"
    assert collection.count_documents({}) == 3


def test_a_document_that_is_refused_for_another_reason_is_not_passed_over(collection: Any) -> None:
    database = collection.database
    database.create_collection(collection.name, validator={"text": {"$type": "string"}})
    collection.insert_one({"_id": 1, "text": "first"})

    with pytest.raises(BulkWriteError) as failed:
        insert_missing(
            collection, [{"_id": 1, "text": "again"}, {"_id": 2}, {"_id": 3, "text": ""}]
        )

    assert [failure["op"]["_id"] for failure in refusals(failed.value)] == [2]
    assert collection.count_documents({}) == 2
