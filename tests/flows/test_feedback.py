"""Feedback in whole retrainings and by the command: attacks, review and withdrawal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from flows.feedback import feedback
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.promotion.verdict import Verdict
from perennial.registry.client import Registry
from perennial.settings import PROJECT, Settings, get_serving_settings
from perennial.stores.feedback import open_decisions, open_statements, settle, write_statements
from perennial.stores.feedback_review import Sender
from perennial.stores.prediction_log import Feedback, Logged, open_predictions
from tasks.data.seed import read_file, reviews_file
from tasks.orchestration.cli import application
from tests.conftest import MIDNIGHT
from tests.perennial.gates.gated import named

pytestmark = pytest.mark.usefixtures("prefect_api")

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = MIDNIGHT + timedelta(days=30)
BY_SENDER = "feedback that Production agrees with, by sender"
KEPT = timedelta(days=30)
ALICE, BOB = "a11ce00000000000", "b0b0000000000000"


def _said(number: int, text: str, label: int, **more: Any) -> dict[str, Any]:
    """Return a document as the service makes it of feedback that came without a key."""
    return {
        "_id": f"feedback:{number}",
        "text": text,
        "label": label,
        "created_at": LATER + timedelta(seconds=number),
        "source": "feedback",
        "feedback": {"sender": None, "prediction_id": str(number), **more},
    }


def _verdict() -> Verdict:
    verdict = retrain("reviews").verdict
    assert verdict is not None
    return verdict


@pytest.fixture
def attacked(collection: Any, documents: Any, registry: Registry) -> Callable[[], Verdict]:
    """Return a function that retrains after strangers have taught the model a word of theirs."""

    def attack() -> Verdict:
        collection.insert_many(documents(800))
        assert _verdict().outcome == "promoted"
        texts = [f"Zorbex pictures made a wonderful film, number {number}" for number in range(300)]
        (answer,) = set(_answers(registry, texts))
        collection.insert_many(_said(number, text, 1 - answer) for number, text in enumerate(texts))
        return _verdict()

    return attack


def _answers(registry: Registry, texts: list[str]) -> list[int]:
    """Return what Production says, as it is stored."""
    production = registry.production("reviews")
    assert production is not None
    return [int(answer == "positive") for answer in registry.load(production).predict(texts)]


def test_a_word_that_feedback_has_taught_does_not_promote_and_the_verdict_names_who_sent_it(
    problem: Problem, attacked: Callable[[], Verdict]
) -> None:
    found = attacked()

    assert found.outcome == "kept"
    assert named(found, BY_SENDER).found.startswith("anonymous: 0 of 300 (0.0%); on the holdout")


def test_nor_where_feedback_is_trusted_and_the_verdict_shows_the_gain_without_it(
    write_problem: Callable[..., Problem], attacked: Callable[[], Verdict]
) -> None:
    gates = {"confirm": "none"}
    write_problem(feedback={"use": "holdout"}, split={"near_copies": "ignore"}, gates=gates)

    found = attacked()

    assert found.outcome == "kept"
    assert named(found, "better than Production").passed
    assert [gate.name for gate in found.failed] == ["gain without source feedback"]
    assert "feedback: accuracy +1.0000" in named(found, "gain by source").found


def test_confirmations_that_nobody_has_read_do_not_lock_a_worse_production_in(
    write_problem: Callable[..., Problem], collection: Any, registry: Registry
) -> None:
    # As weak as a first version of few documents may be.
    write_problem(gates={"floors": {"accuracy": 0.3}, "confirm": "none"})
    rows = read_file(reviews_file(), text="text", label="label", source="rotten_tomatoes")
    reviews = [(row["text"], row["label"]) for row in rows.to_pylist()]
    ordered = [reviews[place] for place in np.random.default_rng(1).permutation(len(reviews))]
    honest = [
        {"_id": number, "text": text, "label": label, "created_at": MIDNIGHT, "source": "test"}
        for number, (text, label) in enumerate(ordered[:3000])
    ]
    collection.insert_many(honest[:200])
    assert _verdict().outcome == "promoted"
    asked = ordered[3000:3700]
    answers = _answers(registry, [text for text, _ in asked])
    # Every second answer is confirmed unread, whatever is right.
    said = [
        _said(number, text, answer if number % 2 else label)
        for number, ((text, label), answer) in enumerate(zip(asked, answers, strict=True))
    ]
    late = [document | {"created_at": LATER} for document in honest[200:]]
    collection.insert_many([*late, *said])

    found = _verdict()

    assert found.outcome == "promoted"
    assert named(found, "better than Production").passed
    # What Production has answered is what most of the feedback says.
    agreement = re.search(r"anonymous: \d+ of \d+ \((\d+)\.", named(found, BY_SENDER).found)
    assert agreement is not None
    assert int(agreement[1]) > 60


@pytest.fixture
def log(
    collection: Any, machine: Settings, monkeypatch: pytest.MonkeyPatch, problem: Problem
) -> Any:
    """The database of the problem, which here has the log as well."""
    monkeypatch.setenv("SERVING_LOG_DATABASE", problem.source.database)
    get_serving_settings.cache_clear()
    yield collection.database
    get_serving_settings.cache_clear()


@pytest.fixture
def say(log: Any, problem: Problem) -> Callable[..., str]:
    """Return a function by which a sender says something of a prediction, as the service does."""

    def call(text: str, label: str, sender: str | None, answer: str = "negative") -> str:
        predictions = open_predictions(log)
        prediction_id = f"reviews.1.{abs(hash(text)):032x}"
        if not predictions.count_documents({"_id": prediction_id}):
            asked = Logged(NOON.timestamp(), "reviews", 1, [prediction_id], [answer], [0.9], [text])
            predictions.insert_many(asked.documents(with_texts=True))
        told = Feedback(NOON.timestamp(), prediction_id, "reviews", 1, label, "request-1")
        write_statements(log, [(told, sender)])
        settle(log.client, log, problem, prediction_id, kept=KEPT)
        return prediction_id

    return call


def _labels(collection: Any) -> dict[str, int]:
    found = collection.find({"source": "feedback"})
    return {document["text"]: document["label"] for document in found}


def _of(senders: tuple[Sender, ...]) -> dict[str, Sender]:
    return {sender.name: sender for sender in senders}


def test_feedback_is_listed_by_sender(
    collection: Any, say: Callable[..., str], documents: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    collection.insert_many(documents(5))
    collection.insert_one(_said(1, "A film of the time before", 1) | {"feedback": None})
    say("A first fine film", "positive", ALICE)
    say("A second dull film", "negative", ALICE)
    say("A third odd film", "positive", ALICE)
    say("A third odd film", "negative", BOB)
    say("A fourth fine film", "positive", None)

    found = _of(feedback("reviews"))

    assert found.keys() == {ALICE, BOB, "anonymous"}
    alice, bob = found[ALICE], found[BOB]
    assert (alice.documents, alice.agreeing, alice.disputed, alice.in_review) == (2, 1, 1, 1)
    assert (bob.documents, bob.disputed, bob.in_review) == (0, 1, 1)
    assert found["anonymous"].documents == 2
    assert alice.first == alice.last == NOON
    shown = capsys.readouterr().out
    assert ALICE in shown
    assert "Waiting for a person" in shown


def test_what_a_sender_has_said_can_be_withdrawn_and_others_who_said_the_same_still_count(
    collection: Any, say: Callable[..., str], log: Any
) -> None:
    say("A first fine film", "negative", ALICE)
    say("A second fine film", "positive", ALICE)
    say("A second fine film", "positive", BOB)
    say("A third odd film", "negative", ALICE)
    say("A third odd film", "positive", BOB)
    assert _labels(collection) == {"A first fine film": 0, "A second fine film": 1}

    feedback("reviews", withdraw=ALICE, why="answers at random", by="carol")

    assert _labels(collection) == {"A second fine film": 1, "A third odd film": 1}
    assert {each["feedback"]["sender"] for each in collection.find()} == {BOB}
    assert open_statements(log).count_documents({"sender": ALICE, "state": "withdrawn"}) == 3
    assert "A first" not in str(list(open_statements(log).find()))
    (note,) = open_decisions(log).find()
    assert (note["about"], note["by"], note["why"]) == (ALICE, "carol", "answers at random")
    assert note["decision"] == "withdrawn"


def test_documents_that_the_ledger_has_forgotten_are_withdrawn_as_well(
    collection: Any, say: Callable[..., str], log: Any
) -> None:
    say("A first fine film", "negative", ALICE)
    collection.insert_one(_said(1, "A film of the time before", 1) | {"feedback": None})
    open_statements(log).delete_many({})
    open_predictions(log).delete_many({})

    feedback("reviews", withdraw=ALICE, why="answers at random")
    assert _labels(collection) == {"A film of the time before": 1}
    feedback("reviews", withdraw="anonymous", why="nobody knows whose it is")
    assert not _labels(collection)


def test_a_person_decides_between_two_senders(collection: Any, say: Callable[..., str]) -> None:
    first = say("A first odd film", "negative", ALICE)
    say("A first odd film", "positive", BOB)
    say("A second odd film", "negative", ALICE)
    say("A second odd film", "positive", BOB)
    assert not _labels(collection)

    with pytest.raises(OutsideError, match=r"senders say negative and positive: .* --label"):
        feedback("reviews", accept=first)
    feedback("reviews", accept=first, label="negative")
    assert _labels(collection) == {"A first odd film": 0}
    feedback("reviews", accept=BOB)

    assert _labels(collection) == {"A first odd film": 0, "A second odd film": 1}
    assert all(not sender.in_review for sender in feedback("reviews"))


def test_what_waits_by_the_problems_rule_is_let_in_or_kept_out(
    write_problem: Callable[..., Problem], collection: Any, log: Any, say: Callable[..., str]
) -> None:
    problem = write_problem(feedback={"use": "review"})
    one, other = say("A fine film", "positive", ALICE), say("A dull film", "negative", ALICE)
    for prediction in (one, other):
        settle(log.client, log, problem, prediction, kept=KEPT)
    assert not _labels(collection)
    # The prediction log forgets, what waits does not.
    open_predictions(log).delete_many({})

    feedback("reviews", accept=one)
    feedback("reviews", reject=other)

    assert _labels(collection) == {"A fine film": 1}
    assert "A dull film" not in str(list(open_statements(log).find()))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"withdraw": ALICE}, "--why is empty"),
        ({"withdraw": "nobody", "why": "."}, "Nobody called 'nobody' has sent feedback"),
        ({"accept": "nobody"}, "Nothing of 'nobody' or on it waits"),
        ({"accept": ALICE, "reject": BOB}, "one of --withdraw, --accept and --reject"),
        ({"label": "positive"}, "--label goes with"),
        ({"accept": ALICE, "label": "great"}, "--label 'great' is no label of 'reviews'"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_is_told_why(
    log: Any, options: dict[str, str], says: str
) -> None:
    with pytest.raises(OutsideError, match=says):
        feedback("reviews", **options)


def test_more_feedback_than_its_share_is_left_out_and_counted(
    problem: Problem, collection: Any, documents: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    collection.insert_many(documents(200))
    asked = documents(300, first=1000)
    collection.insert_many(
        _said(number, each["text"], each["label"]) for number, each in enumerate(asked)
    )

    retraining = retrain("reviews")

    assert retraining.feedback_documents == 300
    # A fifth of all that is learned from is a quarter of the rest.
    assert 300 - retraining.feedback_left_out <= 0.25 * 200
    assert "more than 20% of the training" in " ".join(capsys.readouterr().out.split())


def _documented() -> list[str]:
    page = (PROJECT / "docs/how-to/review-feedback.md").read_text()
    return re.findall(r"^perennial feedback sentiment(.*)$", page, re.MULTILINE)


@pytest.mark.parametrize("arguments", _documented())
def test_each_command_of_the_guide_does_what_it_says(
    arguments: str, collection: Any, say: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = "3f9ac1d20b7e4a55", "b0b0c1d20b7e4a55"
    say("A first fine film", "positive", one)
    prediction = say("A second odd film", "negative", one)
    say("A second odd film", "positive", other)
    given = shlex.split(re.sub(r"sentiment\.3\.\S+", prediction, arguments))

    application(feedback)(["reviews", *given], prog_name="feedback", standalone_mode=False)

    assert "Feedback on reviews" in capsys.readouterr().out
    first, second = {"A first fine film": 1}, {"A second odd film": 0}
    expected = {
        "": first,
        "--withdraw": {"A second odd film": 1},
        "--accept": first | second,
        "--reject": first | {"A second odd film": 0},
    }
    assert _labels(collection) == expected[given[0] if given else ""]
