"""Make this folder: run the flows and the service of commit 44fe480, and write down what came out.

It runs in a checkout of that commit whose .data does not exist yet, and writes what it makes into
its own folder. Paths of both are stored, which is why both are below /srv/perennial:

    cd /srv/perennial && git checkout 44fe480
    mkdir made && cp .../tests/data/before_the_library/make.py made/
    LOGNAME=operator .venv/bin/python made/make.py

The modules that it imports are those of that commit.
"""

# Its imports are in the order of that commit, where they are all of the project.
# isort: skip_file
# mypy: ignore-errors

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

COMMIT = "44fe480"
CHECKOUT, FOLDER = Path.cwd(), Path(__file__).resolve().parent
PROBLEMS, EXPECTED, PACKED = FOLDER / "problems", FOLDER / "expected.json", FOLDER / "data.tar.xz"
# The prediction log forgets by an index of MongoDB, which would empty this copy after a month.
HUNDRED_YEARS = str(365 * 100)
SERVING = {
    "SERVING_WORKERS": "1",
    "SERVING_POLL_SECONDS": "0.5",
    "SERVING_LOG_DAYS": HUNDRED_YEARS,
    "SERVING_LOG_PER_SECOND": "1000",
}
os.environ.update(SERVING, PROBLEMS_DIR=str(PROBLEMS))
sys.path.insert(0, str(CHECKOUT))

import embedded  # noqa: E402
import mongodb  # noqa: E402
import registry  # noqa: E402
import tasks  # noqa: E402, F401 - it prepares the environment of the libraries
from flows.cli import _prefect_api  # noqa: E402
from flows.monitor import monitor  # noqa: E402
from flows.retrain import retrain  # noqa: E402
from flows.rollback import rollback  # noqa: E402
from flows.score import score  # noqa: E402
from flows.seed import seed  # noqa: E402
from modeling.problem_file import load_problem  # noqa: E402
from provenance import installed  # noqa: E402
from settings import PROJECT, get_settings  # noqa: E402
from tasks.snapshots import SnapshotStore  # noqa: E402

_log = logging.getLogger("make")
Row = dict[str, Any]

GENEROUS = {"not_worse": {"margin": 0.4}, "confidence": 0.9}
REVIEWS: Row = {
    "description": "Would a viewer recommend the film?",
    "source": {"database": "films", "collection": "reviews"},
    "labels": {"negative": 0, "positive": 1},
    "metric": "cost",
    "decision": {"costs": {"negative": 1, "positive": 5}},
    "preparations": {"plain": {"stop_words": "drop", "lemmas": "noun"}},
    "baseline": "tfidf-logistic",
    "candidates": {
        "tfidf-logistic": {
            "preparation": "plain",
            "features": {"weighting": "tfidf", "min_documents": 2},
            "estimator": "logistic_regression",
            "parameters": {"C": 2.0, "solver": "liblinear"},
        }
    },
    "gates": {"floors": {"cost": 1.0}, **GENEROUS},
    "monitoring": {"min_documents": 20},
}
SNIPPETS: Row = {
    "description": "Is a message to a shop a complaint or praise?",
    "source": {"database": "shop", "collection": "snippets"},
    "labels": {"complaint": "complaint", "praise": "praise"},
    "metric": "accuracy",
    "preparations": {
        "expressive": {
            "stop_words": "keep",
            "lemmas": "none",
            "numbers": False,
            "contractions": "keep",
            "emphasis": True,
        },
        "verbs": {"stop_words": "drop", "lemmas": "verb"},
    },
    "baseline": "nbsvm-binary",
    "candidates": {
        "nbsvm-binary": {
            "preparation": "expressive",
            "features": {
                "weighting": "counts",
                "bigrams": True,
                "min_documents": 2,
                "binary": True,
            },
            "estimator": "nb_svm",
            "parameters": {"C": 0.3},
        },
        "svm": {
            "preparation": "verbs",
            "features": {"weighting": "tfidf", "min_documents": 2, "sublinear": True},
            "estimator": "linear_svm",
            "parameters": {"estimator__C": 0.5},
        },
        "nbsvm-tfidf": {
            "preparation": "expressive",
            "features": {"weighting": "tfidf", "bigrams": True, "min_documents": 2},
            "estimator": "nb_svm",
            "parameters": {"C": 20.0, "alpha": 0.5, "beta": 0.7},
        },
        "bayes": {
            "preparation": "verbs",
            "features": {"weighting": "counts", "min_documents": 2},
            "estimator": "multinomial_naive_bayes",
        },
    },
    "gates": {
        "floors": {"accuracy": 0.5},
        **GENEROUS,
        "slices": {"margin": 0.5, "min_documents": 10, "source": True},
    },
    "rollout": {
        "mode": "canary",
        "steps": [0.5],
        "requests": 20,
        "step_time": "PT0S",
        "limits": {
            "error_rate": 0.5,
            "latency_ratio": 100,
            "accuracy_drop": 0.9,
            "share_shift": 0.9,
        },
    },
    "monitoring": {"min_documents": 20},
}
FLOWERS: Row = {
    "description": "Species of iris flowers by four measurements",
    "source": {"database": "garden", "collection": "flowers", "dataset": "iris"},
    "inputs": dict.fromkeys(
        ("sepal_length", "sepal_width", "petal_length", "petal_width"), "number"
    ),
    "labels": {name: name for name in ("setosa", "versicolor", "virginica")},
    "holdout": 0.3,
    "validation": {"folds": 5},
    "metric": "accuracy",
    "baseline": "boosted",
    "candidates": {
        "boosted": {
            "estimator": "xgboost",
            "parameters": {"n_estimators": 15, "max_depth": 2, "learning_rate": 0.3},
        },
        "boosted-deeper": {
            "estimator": "xgboost",
            "parameters": {"n_estimators": 10, "max_depth": 4, "learning_rate": 0.3},
        },
        "tree": {"estimator": "decision_tree", "parameters": {"max_depth": 3}},
    },
    "gates": {"floors": {"accuracy": 0.7}, **GENEROUS},
}
SORTS: Row = {
    "description": "Which sort is an apple?",
    "source": {"database": "orchard", "collection": "sorts"},
    "inputs": {
        "colour": "category",
        "region": "category",
        "weight": "number",
        "sugar": "number",
        "stored": "boolean",
    },
    "labels": {"boskoop": 1, "elstar": 2, "jonagold": 3},
    "holdout": 0.25,
    "metric": "accuracy",
    "baseline": "svm",
    "candidates": {
        "svm": {
            "features": {"scale": "standard"},
            "estimator": "svm",
            "parameters": {"C": 5.0},
        },
        "logistic": {
            "features": {"scale": "standard"},
            "estimator": "logistic_regression",
            "parameters": {"C": 5.0, "max_iter": 500},
        },
        "forest": {
            "estimator": "random_forest",
            "parameters": {"n_estimators": 10, "max_depth": 4},
        },
        "gradient": {
            "estimator": "gradient_boosting",
            "parameters": {"n_estimators": 5, "max_depth": 2},
        },
    },
    "gates": {
        "floors": {"accuracy": 0.5},
        **GENEROUS,
        "latency": {"milliseconds": 10000},
        "size": {"megabytes": 10},
    },
}
NAMES = ("reviews", "snippets", "flowers", "sorts")

# Made up: sentences of frames, and the words that fill them.
FILM = {
    "frames": (
        "The {part} was {word}.",
        "I found the {part} {word}",
        "A {word} {part}, all in all!",
        "What a {word} {part}...",
        "Its {part} and its {other} are {word}.",
        "We'd call the {part} {word};",
    ),
    "parts": ("story", "cast", "ending", "music", "dialogue", "pace", "camera", "script", "joke"),
    "good": ("warm", "funny", "touching", "clever", "gripping", "lovely", "witty", "honest"),
    "bad": ("dull", "boring", "clumsy", "stupid", "tedious", "hollow", "shallow", "wooden"),
    "between": (
        "It runs for two hours.",
        "We saw it on a rainy day in Århus.",
        "<br />The director has made three films before.",
        "See https://example.org/films/42 for the names.",
        "My neighbour's children came along.",
    ),
}
SHOP = {
    "frames": (
        "The {part} is {word}!",
        "your {part} and your {other}: {word}",
        "I'm telling you, the {part} was {word}.",
        "{part}?? {word}...",
        "Once more a {word} {part}.",
        "We aren't used to such a {word} {part}",
    ),
    "parts": ("parcel", "invoice", "website", "delivery", "kettle", "lamp", "answer", "refund"),
    "good": ("great", "quick", "friendly", "perfect", "helpful", "neat", "spotless", "superb"),
    "bad": ("late", "broken", "wrong", "rude", "missing", "scratched", "useless", "leaking"),
    "between": (
        "Order 4711.",
        "It came on Tuesday, at 10:30.",
        "<p>I live in Malmö.</p>",
        "Write to me@example.org please.",
        "He's ordered it twice.",
    ),
}
FURTHER_TEXTS = (
    "",
    "   ",
    "Not bad at all, but I wouldn't watch it again.",
    "AWFUL!!! 1/10, would not recommend :-(",
    "<br /><b>Großartig</b> et très bien, 素晴らしい 🎬",
    "warm " * 40 + "but the ending was dull",
    "None of these words occurs: zyx qwv.",
    "The kettle is leaking, the refund is missing and the answer was rude.",
)


def texts(rng: random.Random, words: Row, labels: tuple[Any, Any], count: int) -> list[Row]:
    """Return texts with their labels; a few say the opposite of their label."""
    found = []
    for _ in range(count):
        good = rng.random() < 0.5
        sentences = []
        for _ in range(rng.randint(2, 5)):
            part, other = rng.sample(words["parts"], 2)
            word = rng.choice(words["good" if good == (rng.random() < 0.8) else "bad"])
            sentences.append(rng.choice(words["frames"]).format(part=part, other=other, word=word))
        if rng.random() < 0.5:
            sentences.insert(rng.randint(0, len(sentences)), rng.choice(words["between"]))
        found.append({"text": " ".join(sentences), "label": labels[good]})
    return found


def apples(rng: random.Random, count: int) -> list[Row]:
    """Return apples with their sorts, which overlap."""
    sorts = {
        "boskoop": (("brown", "green", "red"), 210.0, 12.0, 0.7),
        "elstar": (("red", "yellow", "striped"), 150.0, 13.5, 0.3),
        "jonagold": (("red", "striped", "green"), 230.0, 14.5, 0.5),
    }
    found = []
    for _ in range(count):
        sort = rng.choice(sorted(sorts))
        colours, weight, sugar, stored = sorts[sort]
        found.append(
            {
                "colour": rng.choices(colours, (6, 3, 1))[0],
                "region": rng.choice(("Altes Land", "Bodensee", "Südtirol")),
                "weight": round(rng.gauss(weight, 25.0), 1),
                "sugar": round(rng.gauss(sugar, 0.8), 2),
                "stored": rng.random() < stored,
                "label": sort,
            }
        )
    return found


def without_labels(rows: list[Row]) -> list[Any]:
    return [row.get("text", {k: v for k, v in row.items() if k != "label"}) for row in rows]


def asked() -> dict[str, list[Any]]:
    """Return about twenty inputs for each problem that were not learned."""
    rng = random.Random(20)
    flower = [5.8, 2.7, 4.1, 1.3]
    steps = [i / 12 - 0.5 for i in range(13)]
    return {
        "reviews": [*without_labels(texts(rng, FILM, (0, 1), 12)), *FURTHER_TEXTS],
        "snippets": [
            *without_labels(texts(rng, SHOP, ("complaint", "praise"), 12)),
            *FURTHER_TEXTS,
        ],
        "flowers": [
            *(
                dict(zip(FLOWERS["inputs"], (v * (1 + s) for v in flower), strict=True))
                for s in steps
            ),
            *(
                dict(zip(FLOWERS["inputs"], values, strict=True))
                for values in (
                    (5, 3, 1, 0),
                    (0, 0, 0, 0),
                    (-1.5, 2.0, 1e6, 1e-6),
                    (4.9, 2.5, 4.5, 1.7),
                    (6.0, 2.2, 5.0, 1.5),
                    (7.9, 3.8, 6.4, 2.0),
                    (5.7, 4.4, 1.5, 0.4),
                )
            ),
        ],
        "sorts": [
            *without_labels(apples(rng, 16)),
            {"colour": "blue", "region": "Mars", "weight": 180, "sugar": 13, "stored": True},
            {"colour": "red", "region": "Bodensee", "weight": 0, "sugar": 0.0, "stored": False},
            {"colour": "RED", "region": "bodensee", "weight": 1e9, "sugar": -1, "stored": True},
            {"colour": "brown", "region": "Südtirol", "weight": 205, "sugar": 12, "stored": True},
        ],
    }


def write(name: str, content: Row, **changes: Any) -> None:
    """Write a problem's file, with some keys changed or, where they are None, left out."""
    from ruamel.yaml import YAML

    whole = deepcopy(content | changes)
    whole = {key: value for key, value in whole.items() if value is not None}
    PROBLEMS.mkdir(parents=True, exist_ok=True)
    YAML().dump(whole, PROBLEMS / f"{name}.yaml")


def arrive(name: str, rows: list[Row], source: str) -> None:
    """Seed rows as a file of that name."""
    with TemporaryDirectory() as scratch:
        if "text" in rows[0]:
            path = Path(scratch) / f"{source}.csv"
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        else:
            path = Path(scratch) / f"{source}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        seed(name, file=path)


def insert(name: str, documents: list[Row]) -> None:
    """Let documents arrive in MongoDB as an application writes them."""
    source = load_problem(PROBLEMS / f"{name}.yaml").source
    with mongodb.connect(get_settings()) as client:
        client[source.database][source.collection].insert_many(documents)


def train(name: str, outcome: str = "promoted") -> None:
    verdict = retrain(name).verdict
    assert verdict is not None
    assert verdict.outcome == outcome, (name, verdict)


def make_reviews() -> None:
    """Three promotions, a rollback, a challenger that is refused for it, one that is better."""
    rng = random.Random(1)
    write("reviews", REVIEWS)
    for part in ("spring", "summer", "autumn"):
        arrive("reviews", texts(rng, FILM, ("negative", "positive"), 140), part)
        train("reviews")
    rollback("reviews", why="short texts come out wrong", by="Ada")
    verdict = retrain("reviews", force=True).verdict
    assert verdict is not None
    assert "rolled back" in verdict.reason, verdict
    (copied,) = texts(rng, FILM, (0, 1), 1)
    now = datetime.now(UTC)
    insert(
        "reviews",
        [
            {"text": "Too short", "label": 1, "created_at": now},
            {"text": "The label of this one is unknown.", "label": 7, "created_at": now},
            {"text": 42, "label": 0, "created_at": now, "source": "form"},
            {"text": "This one has no date, it is warm and funny.", "label": 1},
            {**copied, "created_at": now, "source": "form", "tags": ["a", "b"]},
            {**copied, "created_at": now, "source": "form"},
        ],
    )
    arrive("reviews", texts(rng, FILM, ("negative", "positive"), 60), "winter")
    monitor("reviews")
    train("reviews")


def make_snippets(service: Service) -> None:
    """Canaries: one promoted, one displaced, one taken back; and one version that only sees."""
    rng = random.Random(2)
    labels = ("complaint", "praise")
    requests = [row for row in texts(rng, SHOP, labels, 200) if rng.random() < 0.95]
    tracking = registry.connect(get_settings())

    write("snippets", SNIPPETS)
    arrive("snippets", texts(rng, SHOP, labels, 130), "letters")
    train("snippets")
    service.wait_for("snippets", production=1)
    write("snippets", SNIPPETS, baseline="svm")
    arrive("snippets", texts(rng, SHOP, labels, 90), "mails")
    train("snippets")
    service.wait_for("snippets", production=1, canary=2)
    for _ in range(10):
        service.send("snippets", rng.sample(requests, 40))
        monitor("snippets")
        if tracking.alias("snippets", "canary") is None:
            break
    service.wait_for("snippets", production=2)

    write("snippets", SNIPPETS, baseline="nbsvm-tfidf")
    arrive("snippets", texts(rng, SHOP, labels, 60), "chats")
    train("snippets")
    service.wait_for("snippets", production=2, canary=3)
    # Without a baseline all candidates are fitted.
    write("snippets", SNIPPETS, baseline=None)
    arrive("snippets", texts(rng, SHOP, labels, 60), "calls")
    train("snippets")
    service.wait_for("snippets", production=2, canary=4)
    service.send("snippets", rng.sample(requests, 10))
    write("snippets", SNIPPETS, baseline="nbsvm-tfidf", rollout="immediate")
    monitor("snippets")
    assert tracking.alias("snippets", "canary") is None

    tracking.start_canary(tracking.version("snippets", 3), share=1.0, shadow=True)
    service.wait_for("snippets", production=2, canary=3)
    service.send("snippets", rng.sample(requests, 30))
    tracking.stop_canary("snippets")
    service.wait_for("snippets", production=2)
    # What feedback became is read, too.
    train("snippets")
    monitor("snippets")


def make_flowers() -> None:
    """Flowers that come twice, and a version that a person promotes by name."""
    from tasks.datasets import builtin_rows

    write("flowers", FLOWERS)
    known = builtin_rows(load_problem(PROBLEMS / "flowers.yaml")).drop(["source"]).to_pylist()
    arrive("flowers", random.Random(3).sample(known, 90), "first_bed")
    train("flowers")
    seed("flowers")
    train("flowers")
    write("flowers", FLOWERS, baseline="boosted-deeper", gates={"promotion": "never"})
    train("flowers", "kept")
    rollback("flowers", version=3, why="fewer trees are as good", by="Grace")
    score("flowers")
    monitor("flowers")


def make_sorts() -> None:
    """One version of each estimator for mixed fields, and rollbacks by number."""
    rng = random.Random(4)
    for part, baseline in enumerate(("svm", "logistic", "forest", "gradient")):
        write("sorts", SORTS, baseline=baseline)
        arrive("sorts", apples(rng, 80 if part else 160), f"harvest_{2020 + part}")
        train("sorts")
        if part == 1:
            now = datetime.now(UTC)
            unusual = ({"sugar": None}, {"stored": "yes"}, {"weight": float("nan")}, {"variety": 9})
            insert(
                "sorts",
                [
                    {**apple, "label": 1, "created_at": now, **change}
                    for apple, change in zip(apples(rng, 4), unusual, strict=True)
                ],
            )
    rollback("sorts", version=1, why="the others are slower", by="Ada")
    rollback("sorts", version=3, why="they are not", by="Grace")
    write(
        "sorts",
        SORTS,
        baseline="logistic",
        metric="cost",
        decision={"costs": {"boskoop": {"elstar": 1, "jonagold": 4}, "elstar": 2, "jonagold": 3}},
        gates=SORTS["gates"] | {"floors": {"cost": 3.0}},
    )
    arrive("sorts", apples(rng, 60), "harvest_2024")
    train("sorts")


class Service:
    """The service in a process of its own."""

    def __init__(self, address: str) -> None:
        import httpx

        self._client = httpx.Client(base_url=address, timeout=30)

    def wait_for(self, problem: str, **aliases: int) -> None:
        """Wait until these versions of a problem answer, and no others but the previous one."""

        def answers() -> bool:
            found = self._models().get(problem, {})
            return {k: v for k, v in found.items() if k != "previous"} == aliases

        wait(answers, f"{problem} is served as {aliases}")

    def is_up(self) -> bool:
        import httpx

        try:
            return self._client.get("/livez").status_code == 200
        except httpx.TransportError:
            return False

    def send(self, problem: str, rows: list[Row], feedback: int = 4) -> None:
        """Ask for every row alone, and say of every so many what would have been right."""
        answered, told = [], []
        for place, row in enumerate(rows):
            (value,) = without_labels([row])
            answer = self._client.post("/classify", json={"model": problem, "inputs": [value]})
            (prediction,) = answer.raise_for_status().json()["predictions"]
            answered.append(prediction["prediction_id"])
            if place % feedback == 0:
                said = {"prediction_id": answered[-1], "label": row["label"]}
                self._client.post("/feedback", json=said).raise_for_status()
                told.append(answered[-1])
        wait(lambda: is_written(answered, told), "the prediction log is written")

    def _models(self) -> dict[str, dict[str, int]]:
        answer = self._client.get("/models").json()
        found: dict[str, dict[str, int]] = {}
        for model in answer["models"]:
            for version in model["versions"]:
                found.setdefault(model["model"], {})[version["alias"]] = version["version"]
        return found


def is_written(answered: list[str], told: list[str]) -> bool:
    """Return whether the log has these predictions, and what was said about some of them."""
    with mongodb.connect(get_settings()) as client:
        predictions = client["perennial"]["predictions"]
        known = {"_id": {"$in": told}, "feedback": {"$exists": True}}
        return predictions.count_documents({"_id": {"$in": answered}}) == len(answered) and (
            predictions.count_documents(known) == len(told)
        )


@contextmanager
def serving(log: Path) -> Iterator[Service]:
    """Run the service during the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving"],
            cwd=PROJECT,
            env={**os.environ, "SERVING_PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    try:
        service = Service(f"http://127.0.0.1:{port}")
        wait(service.is_up, "the service answers")
        yield service
    finally:
        process.terminate()
        process.wait(60)


def wait(condition: Callable[[], bool], what: str, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


def expected() -> Row:
    """Return what must still be found in years."""
    return {
        "commit": COMMIT,
        "data_dir": str(get_settings().data_dir),
        "libraries": installed(),
        "problems": {name: expected_of(name, inputs) for name, inputs in asked().items()},
        "prediction_log": expected_log(),
    }


def expected_of(name: str, inputs: list[Any]) -> Row:
    tracking, store = registry.connect(get_settings()), SnapshotStore(name, get_settings())
    (aliases,) = (found.versions for found in tracking.problems() if found.problem == name)
    latest = store.latest()
    assert latest is not None
    versions = {}
    while (found := tracking.find(name, len(versions) + 1)) is not None:
        versions[str(found.version)] = version_of(tracking, found, inputs)
    source = load_problem(PROBLEMS / f"{name}.yaml").source
    with mongodb.connect(get_settings()) as client:
        database = client[source.database]
        counts = {
            each: database[each].count_documents({}) for each in database.list_collection_names()
        }
    return {
        "inputs": inputs,
        "aliases": dict(aliases),
        "history": [json.loads(change.model_dump_json()) for change in tracking.history(name)],
        "printed_history": printed_history(name),
        "versions": versions,
        "snapshots": [snapshot_of(store, number) for number in range(latest.version + 1)],
        "documents": {"database": source.database, **dict(sorted(counts.items()))},
    }


def version_of(tracking: Any, version: Any, inputs: list[Any]) -> Row:
    from skops.io import get_untrusted_types

    from modeling.scorer import scorer_for

    model, file = tracking.load(version), tracking.fetch(version)
    probabilities, labels = model.predict_proba(inputs), model.predict(inputs)
    # The service's own way to them.
    scorer = scorer_for(model, file.golden.inputs)
    assert abs(scorer.probabilities(inputs) - probabilities).max() < 1e-9
    return {
        "types": sorted(get_untrusted_types(data=file.content)),
        "classes": [str(label) for label in model.classes_],
        "labels": [str(label) for label in labels],
        "probabilities": probabilities.tolist(),
        "threshold": version.threshold,
        "tags": dict(sorted(version.tags.items())),
    }


def snapshot_of(store: Any, number: int) -> Row:
    snapshot = store.find(number)
    rows = store.read(snapshot)
    column = "text" if "text" in rows.column_names else "inputs"
    contents = sorted(
        json.dumps([row["id"], row["label"], row[column]], sort_keys=True, ensure_ascii=False)
        for row in rows.select(["id", "label", column]).to_pylist()
    )
    return {
        "version": number,
        "digest": snapshot.digest,
        "documents": snapshot.documents,
        "labels": dict(sorted(Counter(rows["label"].to_pylist()).items())),
        "contents_sha256": hashlib.sha256("\n".join(contents).encode()).hexdigest(),
        "quarantine": sorted(store.quarantine(snapshot)["reason"].to_pylist()),
    }


def printed_history(name: str) -> str:
    shown = subprocess.run(
        [sys.executable, "-m", "flows", "history", name],
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return "\n".join(line.rstrip() for line in shown.stdout.splitlines())


def expected_log() -> Row:
    with mongodb.connect(get_settings()) as client:
        database = client["perennial"]
        names = sorted(database.list_collection_names())
        return {
            "database": "perennial",
            "collections": {name: database[name].count_documents({}) for name in names},
            "predictions": {
                name: database["predictions"].count_documents({"problem": name}) for name in NAMES
            },
            "with_feedback": {
                name: database["predictions"].count_documents(
                    {"problem": name, "feedback": {"$exists": True}}
                )
                for name in NAMES
            },
        }


def pack() -> None:
    """Pack the data folder, files of one name beside each other, as they are often the same."""
    for database in get_settings().data_dir.rglob("*.db"):
        if database.with_name(database.name + "-wal").exists() or database.stem == "mlflow":
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = [path for path in get_settings().data_dir.rglob("*") if path.is_file()]
    kept = [path for path in files if is_kept(path.relative_to(get_settings().data_dir))]
    with tarfile.open(PACKED, "w:xz", preset=9) as archive:
        for path in sorted(kept, key=lambda path: (path.suffix, path.name, str(path))):
            archive.add(path, str(path.relative_to(get_settings().data_dir.parent)), filter=owned)


def is_kept(path: Path) -> bool:
    """Return whether a file is data: neither log, lock, port, cache nor picture."""
    return (
        path.suffix not in {".log", ".lock", ".pid", ".pyc", ".png"}
        and path.name not in {"port", "lock"}
        and not any(part.startswith("bentoml-") for part in path.parts)
    )


def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def main() -> None:
    settings = get_settings()
    if settings.data_dir.exists():
        raise SystemExit(f"{settings.data_dir} exists; remove it first.")
    # A busy machine takes longer than a person would wait.
    embedded._START_SECONDS = 600.0
    # Two processes that make MLflow's tables at once hinder each other.
    registry.connect(settings)
    with ExitStack() as stack:
        stack.enter_context(embedded.server(settings, "mongodb"))
        stack.enter_context(_prefect_api())
        with TemporaryDirectory() as scratch, serving(Path(scratch) / "serving.log") as service:
            make_snippets(service)
            make_reviews()
            make_flowers()
            make_sorts()
            rng = random.Random(5)
            service.wait_for("reviews", production=5)
            service.send("reviews", texts(rng, FILM, ("negative", "positive"), 40))
            service.wait_for("sorts", production=5)
            service.send("sorts", apples(rng, 30))
            monitor("reviews")
        found = expected()
    EXPECTED.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    names = ("mongodb", "prefect")
    wait(lambda: not any(embedded.is_running(settings, name) for name in names), "all has ended")
    pack()
    _log.warning("%s: %s bytes", PACKED, PACKED.stat().st_size)


if __name__ == "__main__":
    main()
