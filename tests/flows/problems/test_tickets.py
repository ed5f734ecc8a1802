"""Tickets: a text beside a table in which values are missing, from a file to an answer."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from ruamel.yaml import YAML
from starlette.testclient import TestClient

from flows.monitor import monitor
from flows.retrain import retrain
from flows.score import score
from flows.seed import seed
from perennial.settings import ServingSettings, Settings
from serving.api.app import Service
from tests.conftest import wait_until

pytestmark = pytest.mark.usefixtures("prefect_api")

COUNT = 240
PROBLEM: dict[str, Any] = {
    "inputs": {
        "message": "text",
        "subject": "text",
        "product": "category",
        "customer": "category",
        "seats": "number",
        "paying": "boolean",
        "opened": "date",
        "tags": "words",
        "channel": {"kind": "category", "required": True},
    },
    "labels": {"billing": "billing", "crash": "crash", "other": "other"},
    "validation": {"folds": 3},
    "candidates": {
        "linear": {
            "features": {
                "scale": "standard",
                "max_categories": 50,
                "texts": {"analyzer": "both", "min_documents": 2},
            },
            "estimator": "logistic_regression",
            "parameters": {"C": 10.0, "max_iter": 500},
        },
        "target": {
            "features": {"categories": "target"},
            "estimator": "random_forest",
            "parameters": {"n_estimators": 20},
        },
        "boosted": {"estimator": "xgboost", "parameters": {"n_estimators": 20}},
    },
}
SAYS = {
    "billing": ["the invoice is wrong", "please refund the payment", "charged twice this month"],
    "crash": ["it crashes on start", "error and a stack trace", "the window freezes"],
    "other": ["where is the manual", "thank you for the talk", "may I visit the office"],
}


def tickets() -> list[dict[str, str]]:
    """Tickets as a file writes them, every fourth value of which is missing."""
    chance = random.Random(3)
    rows = []
    for number in range(COUNT):
        label = chance.choice(list(SAYS))
        row = {
            "message": f"{chance.choice(SAYS[label])} {chance.choice(['!', 'today', 'again'])}",
            "subject": chance.choice(SAYS[label]).upper(),
            "product": chance.choice(["desk", "lamp"]),
            "customer": f"c{number}",
            "seats": str(chance.randint(1, 9)),
            "paying": chance.choice(["yes", "no"]),
            "opened": f"2026-0{chance.randint(1, 9)}-03T0{chance.randint(1, 9)}:00:00+02:00",
            "tags": ";".join(chance.sample(["old", "new", label], 2)),
        }
        row = {
            name: chance.choice(["", "?"] if name in ("seats", "opened") else [""])
            if chance.random() < 0.25
            else value
            for name, value in row.items()
        }
        rows.append(row | {"channel": chance.choice(["mail", "web"]), "label": label})
    rows[7]["channel"] = ""
    return rows


@pytest.fixture
def seeded(machine: Settings, mongodb_server: str, tmp_path: Path) -> Iterator[str]:
    """The problem's file and its documents, which were loaded from CSV."""
    from pymongo import MongoClient

    database = f"test_{uuid4().hex}"
    source = {"database": database, "collection": "tickets"}
    with (machine.problems_dir / "tickets.yaml").open("w") as file:
        YAML(typ="safe").dump({"source": source} | PROBLEM, file)
    rows = tickets()
    with (tmp_path / "tickets.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    seed("tickets", file=tmp_path / "tickets.csv")
    yield database
    with MongoClient(mongodb_server) as client:
        client.drop_database(database)


def test_records_with_holes_are_learned_from_served_scored_and_watched(
    seeded: str, machine: Settings
) -> None:
    retraining = retrain("tickets")

    accounts = retraining.ingested.accounts
    assert (accounts.used, sum(accounts.in_quarantine.values())) == (COUNT - 1, 1)
    assert retraining.evaluation is not None
    assert retraining.evaluation.metrics["accuracy"].value > 0.8

    scored = score("tickets")
    assert (scored.classified, sum(scored.skipped.values())) == (COUNT - 1, 1)
    _answers_what_is_there(machine, seeded)
    monitor("tickets")


def _answers_what_is_there(machine: Settings, database: str) -> None:
    service = Service(machine, ServingSettings(poll_seconds=0.2, log_database=database))
    service.start()
    client = TestClient(service.app, raise_server_exceptions=False)
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")
    whole = {
        "message": "the invoice is wrong",
        "subject": "REFUND",
        "product": "desk",
        "customer": "c1",
        "seats": 3,
        "paying": True,
        "opened": "2026-02-03",
        "tags": ["old", "billing"],
        "channel": "mail",
    }
    given = [
        whole,
        {"message": "it crashes on start", "channel": "web"},
        whole | {"product": "sofa", "seats": None, "subject": "", "opened": "?", "tags": None},
        whole | {"channel": ""},
    ]

    answer = client.post("/classify", json={"inputs": given, "explain": True})

    service.end()
    assert answer.status_code == 200
    first, second, third, fourth = answer.json()["predictions"]
    assert (first["label"], second["label"], fourth) == ("billing", "crash", None)
    assert {each["feature"] for each in first["explanation"]} == whole.keys()
    assert first["explanation"][0]["feature"] in {"message", "subject", "tags"}
    missing = {each["field"] for each in second["warnings"]}
    assert missing == {f"inputs[1].{name}" for name in whole.keys() - {"message", "channel"}}
    said = {each["field"]: (each["code"], each["message"]) for each in third["warnings"]}
    assert said["inputs[2].product"] == (
        "unknown_category",
        "inputs[2].product is 'sofa', which is none of the categories that the model tells apart.",
    )
    assert {name for name, (code, _) in said.items() if code == "missing"} == {
        f"inputs[2].{name}" for name in ("seats", "subject", "opened", "tags")
    }
    (error,) = answer.json()["errors"]
    assert (error["code"], error["field"]) == ("empty", "inputs[3].channel")
