"""Splits that fit the data, through whole retrainings: time, rare labels, and what moved since."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from flows.reproduce import reproduce
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import Registry
from tests.conftest import MIDNIGHT, SMALL_PROBLEM

pytestmark = pytest.mark.usefixtures("prefect_api")

BAYES = {"bow-bayes": SMALL_PROBLEM["candidates"]["bow-bayes"]}
# Two, of which each takes many labels, so that validation chooses.
MANY = BAYES | {
    "tfidf-logistic": SMALL_PROBLEM["candidates"]["tfidf-logistic"]
    | {"parameters": {"max_iter": 200}}
}
# Texts made from one template are all near-copies of each other.
BY_TIME = {"by": "time", "near_copies": "ignore"}
NO_FLOOR = {"floors": {"accuracy": 0.01}, "confirm": "none"}


def spelled(number: int) -> str:
    """Return a number as a word, which no preparation takes apart."""
    return "x" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


def drifting(weeks: range, each: int = 20) -> list[dict[str, Any]]:
    """Return documents in words that change each week, but for a few that stay."""
    rng = np.random.default_rng(weeks.start)
    made = []
    for week in weeks:
        for number in range(each):
            label = number % 2
            week_word = f"{('gadget', 'widget')[label]}{spelled(week)}"
            # A third of the documents have a word that stays, and it is right four times of five.
            stays = label if rng.random() < 0.8 else 1 - label
            old_word = ("dreadful", "splendid")[stays] if rng.random() < 0.33 else "something"
            entry = spelled(week * each + number)
            text = f"{week_word} {week_word} {old_word} entry {entry}"
            made.append(
                {
                    "_id": f"{week}-{number}",
                    "text": text,
                    "label": label,
                    "created_at": MIDNIGHT + timedelta(weeks=week, minutes=number),
                }
            )
    return made


def figure(retraining: Any) -> float:
    return float(retraining.evaluation.metrics["accuracy"].value)


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_random_split_of_drifting_classes_overstates_what_the_split_by_time_says(
    write_problem: Callable[..., Problem],
    collection: Any,
    registry: Registry,
    client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_problem(candidates=BAYES, gates=NO_FLOOR, split={"near_copies": "ignore"})
    collection.insert_many(drifting(range(30)))
    random = retrain("reviews")
    shown_random = words(capsys.readouterr().out)
    write_problem(candidates=BAYES, gates=NO_FLOOR, split=BY_TIME)
    late = retrain("reviews")
    shown_late = words(capsys.readouterr().out)

    future = drifting(range(30, 36))
    assert late.verdict is not None
    model = registry.load(registry.version("reviews", late.verdict.challenger))
    said = model.predict([document["text"] for document in future])
    true = ["negative" if document["label"] == 0 else "positive" for document in future]
    truth = float((said == true).mean())

    assert figure(random) - figure(late) >= 0.05
    assert abs(figure(late) - truth) < abs(figure(random) - truth)
    # Whoever reads the report sees which split was used.
    assert "Split by content" in shown_random
    assert "Split by time, the holdout was created after 2026-" in shown_late
    run = client.get_run(late.run_id)
    assert run.data.params["split.by"] == "time"
    assert run.data.metrics["split.holdout"] == 120

    # Production has learned from newer documents than those: nothing can be said yet.
    assert late.verdict.outcome == "kept"
    assert re.match(r"unseen documents: \d of 120 holdout doc", late.verdict.reason)
    version = registry.version("reviews", late.verdict.challenger)
    assert (version.split, registry.version("reviews", 1).split) == ("time", "content")
    assert version.split_cut is not None
    # New ones come, and it can.
    collection.insert_many(future)
    compared = retrain("reviews").verdict
    assert compared is not None
    assert "better than Production" in {gate.name for gate in compared.gates}
    assert "is reproduced" in reproduce("reviews", late.verdict.challenger)


def test_texts_of_one_template_are_told_from_too_few_documents(
    write_problem: Callable[..., Problem], collection: Any
) -> None:
    write_problem(candidates=BAYES, gates=NO_FLOOR)
    collection.insert_many(
        {
            "_id": f"{label}-{number}",
            "text": f"{template} The number of my order is {spelled(number)}.",
            "label": label,
            "created_at": MIDNIGHT,
        }
        for label, template in enumerate(
            (
                "Nothing has arrived for weeks and nobody ever answers when I call your office.",
                "What a lovely parcel, wrapped with such care and here a day before the date!",
            )
        )
        for number in range(30)
    )

    with pytest.raises(OutsideError) as raised:
        retrain("reviews")

    assert "all of them near-copies of one another" in str(raised.value)
    assert "write split: {near_copies: ignore} in problems/reviews.yaml" in str(raised.value)
    write_problem(candidates=BAYES, gates=NO_FLOOR, split={"near_copies": "ignore"})
    assert retrain("reviews").verdict is not None


def news(sizes: list[int], *, first: int = 0) -> list[dict[str, Any]]:
    """Return so many documents about each topic."""
    return [
        {
            "_id": f"{topic}-{number}",
            "text": f"a {spelled(topic)} is a {spelled(topic)}, entry {number}",
            "label": f"t{topic}",
            "created_at": MIDNIGHT + timedelta(minutes=number),
        }
        for topic, size in enumerate(sizes)
        for number in range(first, first + size)
    ]


def test_one_rare_class_of_fifty_two_does_not_end_the_run(
    write_problem: Callable[..., Problem],
    collection: Any,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = {f"t{topic}": f"t{topic}" for topic in range(52)}
    spec = {"labels": labels, "candidates": MANY, "gates": NO_FLOOR}
    write_problem(**spec)
    collection.insert_many(news([8] * 49 + [6, 2, 1]))

    with pytest.raises(OutsideError) as refused:
        retrain("reviews")
    said = str(refused.value)
    assert "labelled t51: t51 has 1, and a label needs 2 different ones" in said
    assert "rare_labels: {below: 2, do: drop} in problems/reviews.yaml" in said

    # As the message says.
    write_problem(**spec, rare_labels={"below": 2, "do": "drop"})
    first = retrain("reviews")
    shown = words(capsys.readouterr().out)
    assert first.verdict is not None
    assert first.verdict.outcome == "promoted"
    production = registry.load(registry.version("reviews", 1))
    assert sorted(production.classes_) == sorted(set(labels) - {"t51"})
    assert "Split by content" in shown
    assert first.split is not None
    assert any("are dropped: t51 (1); documents left out: 1." in n for n in first.split.notes)
    # One of its two documents is learned from, the other one judged on.
    assert first.evaluation is not None
    seen = first.evaluation.predictions
    assert (seen.truth == seen.classes.index("t50")).sum() == 1

    write_problem(**spec, rare_labels={"below": 8, "do": "merge", "into": "rest"})
    second = retrain("reviews")
    assert second.verdict is not None
    assert second.verdict.production == 1
    assert "better than Production" in {gate.name for gate in second.verdict.gates}
    merged = registry.load(registry.version("reviews", 2))
    assert set(merged.classes_) == {f"t{topic}" for topic in range(49)} | {"rest"}
    assert second.split is not None
    assert any("into rest: t49 (6), t50 (2), t51 (1)." in n for n in second.split.notes)
    assert "is reproduced" in reproduce("reviews", 2)

    write_problem(**spec, rare_labels={"below": 8, "do": "refuse"})
    with pytest.raises(OutsideError, match=r"fewer than 8 documents: t49 \(6\), t50 \(2\), t51"):
        retrain("reviews")


def test_a_label_that_has_become_common_is_known_to_the_next_version(
    write_problem: Callable[..., Problem], collection: Any
) -> None:
    labels = {f"t{topic}": f"t{topic}" for topic in range(4)}
    rare = {"below": 8, "do": "drop"}
    write_problem(labels=labels, candidates=BAYES, gates=NO_FLOOR, rare_labels=rare)
    collection.insert_many(news([60, 60, 60, 5]))
    first = retrain("reviews")
    collection.insert_many(news([0, 0, 0, 60], first=100))

    second = retrain("reviews", rescan=True)

    assert first.evaluation is not None
    assert second.evaluation is not None
    assert second.verdict is not None
    assert first.evaluation.predictions.classes == ("t0", "t1", "t2")
    assert second.evaluation.predictions.classes == tuple(labels)
    # Production does not know the label, and is wrong on its documents.
    assert (second.verdict.outcome, second.verdict.production) == ("promoted", 1)


def test_a_class_that_ended_long_ago_is_named_with_the_way_out(
    write_problem: Callable[..., Problem], collection: Any
) -> None:
    write_problem(candidates=BAYES, split=BY_TIME)
    documents = drifting(range(10))
    collection.insert_many(
        document | {"label": 0}
        if document["created_at"] > MIDNIGHT + timedelta(weeks=2)
        else document
        for document in documents
    )

    with pytest.raises(OutsideError) as refused:
        retrain("reviews")

    said = str(refused.value)
    assert (
        "Among the 40 holdout documents of snapshot 0 there is no document labelled positive"
        in said
    )
    assert "positive has 21, the newest of 2026-01-15 00:" in said or "positive has 2" in said
    assert "set split.since in problems/reviews.yaml" in said


@pytest.mark.parametrize("split", [{"by": "group", "field": "source"}, {"by": "time"}])
def test_where_all_is_one_group_or_of_one_moment_nobody_is_told_to_leave_out_every_label(
    split: dict[str, str], write_problem: Any, collection: Any, documents: Any
) -> None:
    collection.insert_many([each | {"created_at": MIDNIGHT} for each in documents(40)])
    write_problem(split=split)

    with pytest.raises(OutsideError, match="Among the 0 holdout documents") as failure:
        retrain("reviews")

    assert "rare_labels" not in str(failure.value)
    assert "or divide by content by removing split " in str(failure.value)
