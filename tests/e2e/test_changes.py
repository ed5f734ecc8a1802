"""A collection that changes its mind, and a problem's file that was wrong, by command."""

from __future__ import annotations

import csv
import os
import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT, Settings, get_settings
from perennial.stores.snapshots.store import SnapshotStore
from tasks.scoring.classify import classify
from tests.conftest import MIDNIGHT, forget_mlflow
from tests.e2e.conftest import CONFIGURATION

if TYPE_CHECKING:
    from pymongo.database import Database

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PLAIN = [
    "café",
    "menu",
    "table",
    "cuisine",
    "serveur",
    "soirée",
    "salle",
    "dessert",
    "entrée",
    "prix",
    "hôtel",
    "façade",
]
SAID = {
    0: ["décevant", "médiocre", "gâché", "insipide", "désagréable", "fané"],
    1: ["délicieux", "réussi", "léger", "généreux", "inespéré", "fêté"],
    2: ["régulier", "modéré", "inchangé", "répété", "tempéré", "ordonné"],
}
TEXTS, FRENCH, NEUTRAL = 400, 300, 80
OPINIONS: dict[str, Any] = {
    "labels": {"bad": "0", "good": "1"},
    "limits": {"min_words": 3},
    "preparations": {"plain": {"stop_words": "keep", "lemmas": "none"}},
    "candidates": {
        "bayes": {
            "preparation": "plain",
            "features": {"weighting": "counts", "min_documents": 2},
            "estimator": "multinomial_naive_bayes",
        }
    },
    "gates": {"floors": {"accuracy": 0.3}, "first_version": None, "confirm": "none"},
}
PEOPLE: dict[str, Any] = {
    "inputs": {"status": "category", "age": "category", "sex": "category"},
    "labels": {"died": 0, "survived": 1},
    "candidates": {"tree": {"estimator": "decision_tree"}},
    "gates": {"floors": {"accuracy": 0.1}, "first_version": None, "confirm": "none"},
}


@dataclass(frozen=True)
class Project:
    """A project in a folder of its own, as somebody has it who types commands."""

    folder: Path
    environment: Mapping[str, str]
    database: Database[dict[str, Any]]

    def write(self, name: str, content: Mapping[str, Any], **changes: Any) -> None:
        source = {"database": self.database.name, "collection": name}
        with (self.folder / "problems" / f"{name}.yaml").open("w") as file:
            YAML(typ="safe").dump({**content, "source": source, **changes}, file)

    def run(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "deployments", *arguments],
            cwd=PROJECT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def used(self, name: str) -> dict[str, tuple[str, str]]:
        """Return id -> text and label of what the newest snapshot uses."""
        store = SnapshotStore(name, Settings(data_dir=self.folder / "data"))
        latest = store.latest()
        assert latest is not None
        rows = store.read(latest).select(["id", "text", "label"]).to_pylist()
        return {row["id"]: (row["text"], row["label"]) for row in rows}


@pytest.fixture
def project(
    mongodb_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    from pymongo import MongoClient

    (tmp_path / "problems").mkdir()
    plain = {name: value for name, value in os.environ.items() if not CONFIGURATION.match(name)}
    own = {
        "DATA_DIR": str(tmp_path / "data"),
        "PROBLEMS_DIR": str(tmp_path / "problems"),
        "MONGODB_URI": mongodb_server,
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    with MongoClient(mongodb_server, tz_aware=True) as client:
        database = client[f"test_{uuid4().hex}"]
        yield Project(tmp_path, plain | own | {"COLUMNS": "200"}, database)
        client.drop_database(database.name)
    forget_mlflow()


def counts(output: str) -> dict[str, int]:
    """Return the rows of the table of documents."""
    table = output.partition("Documents, snapshot")[2].partition("└")[0]
    rows = re.findall(r"│ (.+?) +│ ([\d,]+) +│", table)
    return {name.strip(): int(count.replace(",", "")) for name, count in rows}


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


@pytest.fixture
def say() -> Callable[[int], str]:
    """Return a function that makes a French text of a label, each another one."""
    rng = random.Random(5)

    def make(label: int) -> str:
        return " ".join([*rng.choices(PLAIN, k=6), *rng.choices(SAID[label], k=3)])

    return make


def test_what_is_mended_and_said_anew_is_what_is_learned(
    project: Project, say: Callable[[int], str]
) -> None:
    made = [(say(number % 2), number % 2) for number in range(TEXTS)]
    made += [(say(2), 2) for _ in range(NEUTRAL)]
    project.write("opinions", OPINIONS, labels={"bad": 0, "good": 1})
    path = write_csv(project.folder / "opinions.csv", ("text", "label"), made)
    project.run("seed", "opinions", "--file", str(path))

    # The type of the labels is wrong in the file: nothing can be used, and it is said why.
    project.write("opinions", OPINIONS)
    refused = " ".join(project.run("retrain", "opinions", status=1).split())
    assert "no document that can be used" in refused
    assert f"480 of 480: label is a number, not one of {chr(34)}0{chr(34)}" in refused
    assert re.search(r"labels in problems/opinions\.yaml, line \d+", refused)
    assert "Traceback" not in refused

    # Mended, it is all right at once, but for a label that the file does not know yet.
    project.write("opinions", OPINIONS, labels={"bad": 0, "good": 1})
    first = project.run("retrain", "opinions")
    assert "Production is now version 1" in first
    assert counts(first).items() >= {
        ("released from quarantine", TEXTS),
        ("in quarantine", NEUTRAL),
        ("used", TEXTS),
    }

    # Now the file knows it, and calls another one by another name; and people change their minds.
    collection = project.database["opinions"]
    corrected, edited, gone, again = collection.find({"label": 0}).limit(4)
    collection.update_one({"_id": corrected["_id"]}, {"$set": {"label": 1}})
    collection.update_one({"_id": edited["_id"]}, {"$set": {"text": say(0)}})
    collection.delete_many({"_id": {"$in": [gone["_id"], again["_id"]]}})
    collection.insert_one(again | {"_id": "again", "label": 1})
    texts = [say(number % 2) for number in range(FRENCH)]
    for form in ("NFC", "NFD"):
        collection.insert_many(
            {
                "_id": f"{form}-{number}",
                "text": unicodedata.normalize(form, text),
                "label": number % 2,
                "created_at": MIDNIGHT + timedelta(minutes=number),
                "source": form,
            }
            for number, text in enumerate(texts)
        )
    project.write("opinions", OPINIONS, labels={"negative": 0, "good": 1, "neutral": 2})
    second = project.run("retrain", "opinions")

    assert counts(second) == counts(second) | {
        "new": 2 * FRENCH + 1,
        "corrected": 1,
        "edited": 1,
        "deleted": 2,
        "released from quarantine": NEUTRAL,
        "in the collection": TEXTS + NEUTRAL + 2 * FRENCH - 1,
        "duplicates": FRENCH,
        "in quarantine": 0,
        "used": TEXTS + NEUTRAL + FRENCH - 1,
    }
    names = {0: "negative", 1: "good", 2: "neutral"}
    used = project.used("opinions")
    for document in collection.find({"source": {"$nin": ["NFC", "NFD"]}}):
        found = used.pop(str(document["_id"]))
        assert found == (document["text"], names[document["label"]])
    assert {key.partition("-")[2] for key in used} == {str(number) for number in range(FRENCH)}

    answers = [
        [
            (answer.label, answer.probability)
            for answer in classify("opinions", [unicodedata.normalize(form, t) for t in texts])
        ]
        for form in ("NFC", "NFD")
    ]
    assert answers[0] == answers[1]


def test_equal_records_are_all_counted(project: Project) -> None:
    rng = random.Random(3)
    kinds = [
        (status, age, sex)
        for status in ("first", "second", "third", "crew")
        for age in ("adult", "child")
        for sex in ("female", "male")
    ]
    rows = [
        (*kind, int(rng.random() < (0.8 if kind[2] == "female" else 0.2)))
        for kind in kinds
        for _ in range(20)
    ]
    project.write("people", PEOPLE)
    header = ("status", "age", "sex", "label")
    path = write_csv(project.folder / "people.csv", header, rows)

    project.run("seed", "people", "--file", str(path))
    output = project.run("retrain", "people")

    assert counts(output).items() >= {("new", 320), ("duplicates", 0), ("used", 320)}
    assert "no model can exceed an accuracy of" in output
