"""Wide tables: far more fields than documents, as genes have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from ruamel.yaml import YAML

from flows.retrain import retrain
from perennial.settings import Settings
from tests.conftest import MIDNIGHT, MINUTE

pytestmark = [pytest.mark.usefixtures("prefect_api"), pytest.mark.drawn]

FIELDS, DOCUMENTS = 2308, 83
PROBLEM: dict[str, Any] = {
    "inputs": {f"gene{number}": "number" for number in range(FIELDS)},
    "labels": {"ill": "ill", "well": "well"},
    "validation": {"folds": 3},
    "candidates": {
        "linear": {"features": {"scale": "standard"}, "estimator": "logistic_regression"},
        "boosted": {"estimator": "xgboost", "parameters": {"n_estimators": 10}},
    },
}


@pytest.fixture
def written(machine: Settings, mongodb_server: str) -> Iterator[None]:
    from pymongo import MongoClient

    database = f"test_{uuid4().hex}"
    source = {"database": database, "collection": "genes"}
    with (machine.problems_dir / "genes.yaml").open("w") as file:
        YAML(typ="safe").dump({"source": source} | PROBLEM, file)
    chance = np.random.default_rng(0)
    values = chance.normal(size=(DOCUMENTS, FIELDS))
    ill = np.arange(DOCUMENTS) % 2 == 0
    values[ill, :5] += 3
    with MongoClient(mongodb_server) as client:
        client[database]["genes"].insert_many(
            dict(zip(PROBLEM["inputs"], map(float, row), strict=True))
            | {"_id": number, "label": "ill" if sick else "well"}
            | {"created_at": MIDNIGHT + number * MINUTE}
            for number, (row, sick) in enumerate(zip(values, ill, strict=True))
        )
        yield
        client.drop_database(database)


@pytest.mark.usefixtures("written")
def test_a_table_with_more_columns_than_rows_is_learned_and_drawn() -> None:
    retraining = retrain("genes")

    assert retraining.evaluation is not None
    assert retraining.evaluation.metrics["accuracy"].value > 0.8
