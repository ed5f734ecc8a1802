"""Make this folder: ingest three times with the code of commit edd7adc, and write down what it saw.

It runs in a checkout of that commit, without any data of its own there, and writes into its folder:

    git worktree add /tmp/before edd7adc && cd /tmp/before
    .venv/bin/python .../tests/data/before_revisions/make.py

The modules that it imports are those of that commit.
"""

# isort: skip_file
# mypy: ignore-errors

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CHECKOUT, FOLDER = Path.cwd(), Path(__file__).resolve().parent
PROBLEMS = FOLDER / "problems"
WORK = TemporaryDirectory()
os.environ.update(
    DATA_DIR=WORK.name, PREFECT_HOME=f"{WORK.name}/prefect", PROBLEMS_DIR=str(PROBLEMS)
)
sys.path.insert(0, str(CHECKOUT))

import tasks  # noqa: E402, F401 - it prepares the environment of the libraries
from bson import json_util  # noqa: E402
from deltalake import DeltaTable  # noqa: E402
from perennial.config.loader import load_problem  # noqa: E402
from perennial.settings import get_settings  # noqa: E402
from perennial.stores import mongodb  # noqa: E402
from perennial.stores.snapshots import SnapshotStore  # noqa: E402
from prefect.logging import disable_run_logger  # noqa: E402
from tasks.data.ingest import ingest  # noqa: E402

Row = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
NOUNS = "film plot ending cast music story camera dialogue scene hero villain score".split()
GOOD = "great warm clever lovely bright honest funny tender".split()
BAD = "dull cold clumsy tedious grim fake boring harsh".split()


def reviews() -> list[list[Row]]:
    """Three arrivals of texts, with unusable ones, copies, and feedback that gave way."""
    rng = random.Random(1)
    rows = []
    for number in range(90):
        label = number % 2
        words = GOOD if label else BAD
        some, noun = rng.sample(words, 2), rng.choice(NOUNS)
        text = f"The {noun} number {number} is {some[0]} and “{some[1]}”, été"
        rows.append({"_id": f"review-{number}", "text": text, "label": label, "source": "made"})
    dated(rows)
    last = rows[-1]["created_at"]

    def given(number: int, row: Row, label: int) -> Row:
        """Return the document that the service made of feedback on a text."""
        return row | {
            "_id": f"feedback:{number:032x}",
            "label": label,
            "source": "feedback",
            "created_at": last + timedelta(minutes=number),
        }

    unusable = [
        rows[0] | {"_id": "short", "text": "Too short"},
        rows[0] | {"_id": "number", "text": 7},
        rows[0] | {"_id": "unlabelled", "text": "Nobody has said how good it is", "label": None},
        rows[0] | {"_id": "odd", "text": "Somebody has said it in a word", "label": "fine"},
        rows[0] | {"_id": "undated", "text": "Nobody has said when it was", "created_at": None},
    ]
    copies = [
        rows[2] | {"_id": "copy", "text": rows[2]["text"].upper(), "created_at": last},
        rows[3] | {"_id": "contrary", "label": 1 - rows[3]["label"], "created_at": last},
    ]
    # The collection has said it before; or says it in the next arrival, the same or the contrary.
    feedback = [
        given(1, rows[5], rows[5]["label"]),
        given(2, rows[70], rows[70]["label"]),
        given(3, rows[71], 1 - rows[71]["label"]),
        given(4, {"text": "Only feedback has ever said that, gladly"}, 1),
    ]
    at = last + timedelta(minutes=30)
    later = [row | {"created_at": at + timedelta(minutes=n)} for n, row in enumerate(rows[60:])]
    third = rows[4] | {"_id": "latest", "label": 7, "created_at": at + timedelta(hours=1)}
    return [[*rows[:40], *unusable], [*rows[40:60], *copies, *feedback], [*later, third]]


def flowers() -> list[list[Row]]:
    """Three arrivals of records, with equal ones and values that are none."""
    rng = random.Random(2)
    rows = []
    for number in range(90):
        label = ("setosa", "virginica")[number % 2]
        middle = 1.5 if label == "setosa" else 5.5
        length = round(rng.gauss(middle, 0.5), 2)
        garden = rng.choice(["north", "south"])
        rows.append(
            {"_id": number, "petal": length, "garden": garden, "wild": number % 3 == 0}
            | {"label": label, "source": "made"}
        )
    dated(rows)
    odd = [rows[0] | {"_id": 1000, "petal": "wide"}, rows[0] | {"_id": 1001, "wild": "yes"}]
    same = [rows[1] | {"_id": 2000}, rows[1] | {"_id": 2001, "label": "setosa"}]
    at = rows[-1]["created_at"] + timedelta(hours=1)
    return [[*rows[:40], *odd], [*rows[40:60], *same], [r | {"created_at": at} for r in rows[60:]]]


def dated(rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        row["created_at"] = START + timedelta(minutes=number)


def contents(store: SnapshotStore, version: int) -> Row:
    """Return what a snapshot said when it was the release of that commit that read it."""
    snapshot = store.find(version)
    rows = store.read(snapshot)
    inputs = "text" if "text" in rows.column_names else "inputs"
    lines = sorted(
        json.dumps([row["id"], row["label"], row[inputs]], sort_keys=True, ensure_ascii=False)
        for row in rows.to_pylist()
    )
    held = store.quarantine(snapshot).to_pylist()
    return {
        "version": version,
        "digest": snapshot.digest,
        "documents": snapshot.documents,
        "watermark": snapshot.watermark.isoformat(),
        "contents_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "quarantine": sorted([row["id"], row["reason"]] for row in held),
        "feedback": len(store.feedback_contents(snapshot)),
    }


def make(name: str, arrivals: list[list[Row]], *, tidied: bool) -> Row:
    problem = load_problem(PROBLEMS / f"{name}.yaml")
    store = SnapshotStore(name, get_settings())
    versions = []
    with mongodb.connect(get_settings()) as client:
        collection = client[problem.source.database][problem.source.collection]
        for number, arrival in enumerate(arrivals):
            if tidied and number == 2:
                # What another program does: a version of the table that is no snapshot.
                DeltaTable(store.uri).optimize.compact()
            collection.insert_many(arrival)
            with disable_run_logger():
                versions.append(ingest.fn(problem).snapshot.version)
        documents = list(collection.find({}))
    (FOLDER / f"{name}.json").write_text(
        json_util.dumps(documents, json_options=json_util.CANONICAL_JSON_OPTIONS, indent=0)
    )
    return {"snapshots": [contents(store, version) for version in versions]}


def main() -> None:
    expected = {
        "reviews": make("reviews", reviews(), tidied=False),
        "flowers": make("flowers", flowers(), tidied=True),
    }
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    with tarfile.open(FOLDER / "snapshots.tar.xz", "w:xz") as archive:
        archive.add(f"{WORK.name}/snapshots", "snapshots")


if __name__ == "__main__":
    main()
