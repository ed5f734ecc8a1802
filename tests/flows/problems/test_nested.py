"""Nested documents with odd numbers, from a file to scores, by the flows that all take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from pyarrow import parquet
from ruamel.yaml import YAML

from flows.monitor import monitor
from flows.retrain import retrain
from flows.score import score
from flows.seed import seed
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.fields.base import LARGEST
from perennial.reasons import Reason, ReasonCode
from perennial.settings import PROJECT, Settings
from tests.conftest import MIDNIGHT
from tests.flowers import VIRGINICA, flowers

pytestmark = pytest.mark.usefixtures("prefect_api")

TOO_LARGE = Reason(ReasonCode.OUT_OF_RANGE, "petal.width")


def nested(flower: dict[str, Any]) -> dict[str, Any]:
    """Return a flower with its petal and sepal as objects."""
    return {
        part: {size: flower[f"{part}_{size}"] for size in ("length", "width")}
        for part in ("petal", "sepal")
    }


@pytest.fixture
def problem(machine: Settings) -> Problem:
    yaml = YAML()
    content = yaml.load(PROJECT / "problems" / "iris.yaml")
    content["source"] = {
        "database": f"test_{uuid4().hex}",
        "collection": "flowers",
        "fields": {"label": "species.name", "created_at": "meta.at", "source": "meta.source"},
    }
    content["inputs"] = {name.replace("_", "."): kind for name, kind in content["inputs"].items()}
    content["monitoring"] = {"window": "P3000000D", "min_documents": 20}
    # Scaled by numbers such as these, the others look alike to some candidates.
    content["gates"]["floors"] = {"accuracy": 0.5}
    for name in ("forest", "svm"):
        del content["candidates"][name]
    content["candidates"]["tree"]["features"] = {"scale": "standard"}
    with (machine.problems_dir / "iris.yaml").open("w") as file:
        yaml.dump(content, file)
    return load_problem(machine.problems_dir / "iris.yaml")


@pytest.fixture
def database(mongodb_server: str, problem: Problem) -> Iterator[Any]:
    from pymongo import MongoClient

    with MongoClient(mongodb_server, tz_aware=True) as client:
        yield client[problem.source.database]
        client.drop_database(problem.source.database)


def write_lines(path: Path) -> Path:
    rows = [
        nested(flower) | {"species": {"name": flower["label"]}, "source": "garden"}
        for flower in flowers()
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_nested_documents_are_loaded_learned_from_watched_and_scored(
    problem: Problem, database: Any, tmp_path: Path
) -> None:
    collection = database["flowers"]
    seeded = seed("iris", file=write_lines(tmp_path / "f.jsonl"), label_column="species.name")
    loaded = collection.find_one({"species.name": "virginica"})
    odd = [1.797e308, -1e39, *[LARGEST, -LARGEST] * 4]
    collection.insert_many(
        {
            "_id": f"odd-{number}",
            "petal": {"length": 5.0 + number, "width": value},
            "sepal": {"length": 5.0, "width": 3.0},
            "species": {"name": "virginica"},
            "meta": {"at": MIDNIGHT, "source": "lab"},
        }
        for number, value in enumerate(odd)
    )

    retraining = retrain("iris")
    watched = monitor("iris")
    scored = score("iris")

    assert seeded.added == 150
    assert loaded.keys() == {"_id", "petal", "sepal", "species", "meta"}
    assert loaded["meta"].keys() == {"at", "source"}
    assert retraining.ingested.accounts.quarantined == {TOO_LARGE: 2}
    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted", retraining.verdict.reason
    assert watched is not None
    assert (scored.classified, scored.skipped) == (158, {TOO_LARGE: 2})
    kept = database["flowers_iris_scores"].find({}, {"probabilities": 1})
    assert all(sum(each["probabilities"].values()) == pytest.approx(1) for each in kept)

    given = [nested(VIRGINICA), nested(VIRGINICA | {"petal_width": 1e300}), {"petal": None}]
    parquet.write_table(pa.Table.from_pylist(given), tmp_path / "nested.parquet")
    result = score("iris", file=tmp_path / "nested.parquet", out=tmp_path / "out.parquet")

    assert (result.classified, result.skipped) == (
        1,
        {TOO_LARGE: 1, Reason(ReasonCode.MISSING, "sepal.length"): 1},
    )
    labels = parquet.read_table(tmp_path / "out.parquet")["predicted_label"].to_pylist()
    assert labels == ["virginica", None, None]
