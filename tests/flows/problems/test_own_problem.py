"""A problem of one's own: from a file or a collection to a version, without an edit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from flows.retrain import retrain
from flows.seed import seed
from perennial.config.loader import load_problem
from perennial.settings import Settings
from tasks.profiling.check import check_collection
from tasks.profiling.declare import declare

pytestmark = pytest.mark.usefixtures("prefect_api")

_WORDS = {
    "normal": ("please change my address", "how do I print a bill", "thanks for the quick help"),
    "urgent": ("nobody can pay today", "the whole shop is down", "every order fails at once"),
}


@pytest.fixture
def name(machine: Settings, mongodb_server: str) -> Iterator[str]:
    """The name of a problem, whose collection is gone afterwards."""
    from pymongo import MongoClient

    found = f"own-{uuid4().hex[:12]}"
    yield found
    with MongoClient(mongodb_server) as client:
        client["perennial"].drop_collection(found)


def tickets(count: int) -> list[tuple[str, str]]:
    return [
        (f"{texts[n % 3]}, says customer {n} of street {n * 7}", label)
        for n in range(count)
        for label, texts in _WORDS.items()
    ]


def test_texts_of_a_file_become_a_version(name: str, machine: Settings, tmp_path: Path) -> None:
    file = tmp_path / "tickets.csv"
    file.write_text("body;urgency\n" + "".join(f"{text};{label}\n" for text, label in tickets(150)))

    declared = declare(machine, name, file=file)
    seeded = seed(name, file=file)
    retraining = retrain(name)

    assert declared.next_steps[0] == f"perennial seed {name} --file {file}"
    assert (seeded.documents, seeded.added, seeded.quarantined) == (300, 300, 0)
    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted", retraining.verdict


def test_records_with_holes_become_a_version(name: str, machine: Settings, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    lines = ["id,age,plan,active,remark,churn"]
    for n in range(400):
        age = "" if n % 9 == 0 else str(20 + n % 50)
        leaves = n % 3 == 0
        plan = ("gold", "basic", "?")[n % 2 if not leaves else 1 + n % 2]
        lines.append(
            f"{n},{age},{plan},{n % 2},{'never again' if leaves else 'all is well'} {n},"
            f"{'yes' if leaves else 'no'}"
        )
    file.write_text("\n".join(lines))

    declare(machine, name, file=file)
    seeded = seed(name, file=file)
    trial = check_collection(machine, load_problem(machine.problem_file(name)))
    retraining = retrain(name)

    assert seeded.quarantined == 0
    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted", retraining.verdict
    assert trial is not None
    assert trial.split is not None
    assert retraining.split is not None
    assert (trial.split.training, trial.split.holdout) == (
        retraining.split.training,
        retraining.split.holdout,
    )


def test_a_collection_becomes_a_problem_with_its_own_types(
    name: str, machine: Settings, mongodb_server: str
) -> None:
    from pymongo import MongoClient

    start = datetime(2026, 1, 1, tzinfo=UTC)
    with MongoClient(mongodb_server) as client:
        client["perennial"][name].insert_many(
            {
                "size": n % 11,
                "place": {"city": ("Ulm", "Bern")[n % 2]},
                "at": start + timedelta(hours=n),
                "label": n % 2,
            }
            for n in range(120)
        )

    declared = declare(machine, name, collection=f"perennial.{name}")

    problem = load_problem(declared.path)
    assert problem.source.fields.created_at == "at"
    assert dict(problem.labels) == {"0": 0, "1": 1}
    trial = check_collection(machine, problem)
    assert trial is not None
    assert (trial.used, trial.quarantined) == (120, 0)
    assert re.fullmatch(rf"perennial retrain {name}", declared.next_steps[0])
