"""What the service writes into the prediction log is what analysis and monitoring read there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perennial.stores.feedback import settle, write_statements
from perennial.stores.prediction_log import (
    Failure,
    Feedback,
    Hour,
    Logged,
    Prediction,
    Traffic,
    count_by_hour,
    count_with_feedback,
    create_indexes,
    delete_predictions,
    find_by_id,
    find_newest,
    open_failures,
    open_predictions,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
LABELS = ["positive", "negative", "positive"]
REQUEST = Logged(
    at=NOON.timestamp(),
    problem="reviews",
    version=2,
    ids=["a", "b", "c"],
    labels=LABELS,
    probabilities=[0.9, 0.8, 0.7],
    inputs=["good", {"stars": 1.0}, "fine"],
    seconds=0.05,
)


@pytest.fixture
def log(collection: Any) -> Any:
    """A database that has no log yet."""
    collection.database.client.drop_database(collection.database.name)
    return collection.database


def write(log: Any, *requests: Logged, with_texts: bool = True) -> None:
    for request in requests:
        open_predictions(log).insert_many(request.documents(with_texts=with_texts))


def feedback(
    prediction_id: str, label: str, *, later: timedelta = timedelta(minutes=90)
) -> Feedback:
    return Feedback((NOON + later).timestamp(), prediction_id, "reviews", 2, label)


def say(log: Any, said: Feedback, sender: str | None = None) -> None:
    """Keep feedback as the service does, on a machine without the problem's file."""
    write_statements(log, [(said, sender)])
    settle(log.client, log, None, said.prediction_id, kept=timedelta(days=1))


def traffic(log: Any, versions: Sequence[int] = (1, 2), since: datetime = NOON) -> Traffic:
    return Traffic(log, "reviews", versions, since)


def test_predictions_are_read_as_they_were_written_with_the_feedback_on_them(log: Any) -> None:
    write(log, REQUEST)

    say(log, feedback("b", "positive"))

    assert find_by_id(open_predictions(log), ["a", "b", "unknown"]) == {
        "a": Prediction("a", "good", "positive", 0.9, None),
        "b": Prediction("b", {"stars": 1.0}, "negative", 0.8, "positive"),
    }
    assert count_with_feedback(log, ["a", "b", "c"]) == 1


def test_the_senders_last_word_on_a_prediction_counts(log: Any) -> None:
    write(log, REQUEST)

    for label in ("negative", "positive"):
        say(log, feedback("a", label))
    say(log, feedback("unknown", "positive"))

    assert find_by_id(open_predictions(log), ["a"])["a"].truth == "positive"
    assert open_predictions(log).count_documents({}) == 3


def test_what_senders_disagree_about_is_no_truth(log: Any) -> None:
    write(log, REQUEST)

    say(log, feedback("a", "negative"), "one")
    say(log, feedback("a", "positive"), "another")

    assert find_by_id(open_predictions(log), ["a"])["a"].truth is None
    assert count_with_feedback(log, ["a", "b", "c"]) == 0


def test_what_was_sent_is_absent_where_texts_are_not_kept(log: Any) -> None:
    write(log, REQUEST, with_texts=False)

    assert {each.input for each in find_by_id(open_predictions(log), ["a", "b"]).values()} == {None}


def test_the_newest_predictions_are_those_of_one_version_and_problem(log: Any) -> None:
    at = [(NOON + timedelta(minutes=minute)).timestamp() for minute in range(5)]
    write(
        log,
        *(REQUEST._replace(at=at[n], ids=[f"{n}"], labels=["x"]) for n in range(3)),
        REQUEST._replace(at=at[3], ids=["other version"], version=1),
        REQUEST._replace(at=at[4], ids=["other problem"], problem="iris"),
    )

    def ids(since: datetime, limit: int) -> list[str]:
        return [each.id for each in find_newest(log, "reviews", 2, since, limit)]

    assert ids(NOON, 10) == ["2", "1", "0"]
    assert ids(NOON, 2) == ["2", "1"]
    assert ids(NOON + timedelta(minutes=1), 10) == ["2", "1"]


def test_predictions_that_are_deleted_are_gone_and_others_stay(log: Any) -> None:
    write(log, REQUEST)

    delete_predictions(log, ["a", "b", "unknown"])

    assert list(find_by_id(open_predictions(log), ["a", "b", "c"])) == ["c"]


def test_feedback_is_counted_for_the_hour_of_its_prediction(log: Any) -> None:
    later = REQUEST._replace(at=(NOON + timedelta(hours=1)).timestamp(), ids=["d", "e", "f"])
    other = REQUEST._replace(ids=["g", "h", "i"], version=1)
    write(log, REQUEST, later, other)
    for each in ("a", "b", "d", "g"):
        say(log, feedback(each, "positive"))

    one = timedelta(hours=1)
    assert count_by_hour(log, "reviews", NOON) == (
        Hour(version=1, start=NOON, right=1, known=1),
        Hour(version=2, start=NOON, right=1, known=2),
        Hour(version=2, start=NOON + one, right=1, known=1),
    )
    assert [hour.start for hour in count_by_hour(log, "reviews", NOON + one)] == [NOON + one]
    assert count_by_hour(log, "iris", NOON) == ()


def test_traffic_counts_labels_and_durations_by_request_and_feedback_by_prediction(
    log: Any,
) -> None:
    write(
        log,
        REQUEST,
        REQUEST._replace(ids=["d", "e", "f"], labels=["negative"] * 3, seconds=None),
        REQUEST._replace(ids=["g"], version=1, seconds=0.5),
        REQUEST._replace(ids=["h"], version=3),
        REQUEST._replace(ids=["i"], problem="iris"),
        REQUEST._replace(ids=["j"], at=(NOON - timedelta(seconds=1)).timestamp()),
    )
    for each in ("a", "b", "i", "j"):
        say(log, feedback(each, "positive"))
    failed = [Failure(NOON.timestamp(), "reviews", version) for version in (2, 2, 3)]
    open_failures(log).insert_many([failure.document() for failure in failed])

    found = traffic(log)

    assert sorted(found.labels()) == [(1, "positive", 1), (2, "negative", 1), (2, "positive", 1)]
    assert sorted(found.durations(per_decade=1)) == [(1, -1, 1), (2, -2, 1)]
    assert sorted(found.agreement()) == [(2, False, 1), (2, True, 1)]
    assert list(found.failures()) == [(2, None, 2)]


def test_entries_of_older_services_without_position_and_duration_are_counted(log: Any) -> None:
    (entry,) = REQUEST._replace(ids=["old"]).documents(with_texts=True)
    del entry["position"], entry["seconds"]
    open_predictions(log).insert_one(entry)

    assert list(traffic(log).labels()) == [(2, "positive", 1)]
    assert list(traffic(log).durations(per_decade=1)) == []


def test_entries_are_forgotten_after_the_time_that_was_set_last(log: Any) -> None:
    create_indexes(log, kept=timedelta(days=30))
    create_indexes(log, kept=timedelta(days=7))

    for collection in (open_predictions(log), open_failures(log)):
        forget = collection.index_information()["forget"]
        assert forget["key"] == [("created_at", 1)]
        assert forget["expireAfterSeconds"] == timedelta(days=7).total_seconds()
    assert "feedback" in open_predictions(log).index_information()
