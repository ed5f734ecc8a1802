"""Feedback among the training documents: no more than its share, and of nobody all of it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.sections.feedback import FeedbackRules, provenance_field
from perennial.documents.feedback import newest_feedback, senders_of, within_share

SENDERS = st.lists(st.sampled_from(["a", "b", "c", None]), max_size=60)


def table(others: int, senders: list[str | None]) -> pa.Table:
    count = others + len(senders)
    noon = datetime(2026, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "id": pa.array(
                [f"ours-{number}" for number in range(others)]
                + [f"feedback:{number}" for number in range(len(senders))],
                pa.string(),
            ),
            "source": pa.array([None] * count, pa.string()),
            "content": pa.array(
                [number.to_bytes(16, "big") for number in range(count)], pa.binary()
            ),
            "created_at": pa.array(
                [noon + timedelta(minutes=number) for number in range(count)],
                pa.timestamp("us", "UTC"),
            ),
            "sender": pa.array([None] * others + senders, pa.string()),
        }
    )


@given(others=st.integers(0, 60), senders=SENDERS, share=st.floats(0.01, 0.99))
def test_feedback_is_at_most_its_share_and_as_much_of_it_as_may_be(
    others: int, senders: list[str | None], share: float
) -> None:
    documents, rules = table(others, senders), FeedbackRules(max_share=share)

    kept = within_share(documents, rules)

    assert kept[:others].all()
    feedback = int(kept[others:].sum())
    assert feedback <= share * (others + feedback) + 1e-6
    more = feedback + 1
    assert feedback == len(senders) or more > share * (others + more) - 1e-6


@given(others=st.integers(0, 60), senders=SENDERS, share=st.floats(0.01, 0.99))
def test_no_sender_crowds_out_another(others: int, senders: list[str | None], share: float) -> None:
    kept = within_share(table(others, senders), FeedbackRules(max_share=share))[others:]

    had = Counter(senders)
    has = Counter(each for each, is_kept in zip(senders, kept, strict=True) if is_kept)
    shortened = [name for name in had if has[name] < had[name]]
    for name in shortened:
        # Whoever lost something has as much as anybody, but for what cannot be divided.
        assert has[name] >= max(has.values(), default=0) - 1


@given(others=st.integers(0, 60), senders=SENDERS, seed=st.integers(0, 100))
def test_the_same_documents_are_kept_in_whatever_order_they_are_read(
    others: int, senders: list[str | None], seed: int
) -> None:
    documents, rules = table(others, senders), FeedbackRules()
    order = np.random.default_rng(seed).permutation(len(documents))

    kept = within_share(documents, rules)
    again = within_share(documents.take(pa.array(order, pa.int64())), rules)

    assert (again == kept[order]).all()


@pytest.mark.parametrize("rules", [FeedbackRules(use="holdout"), FeedbackRules(max_share=1)])
def test_what_is_trusted_or_not_limited_is_learned_from_whole(rules: FeedbackRules) -> None:
    assert within_share(table(1, ["a"] * 50), rules).all()


def test_a_snapshot_of_the_time_before_senders_were_kept_has_an_anonymous_one() -> None:
    documents = table(80, ["a"] * 50).drop_columns(["sender"])

    assert within_share(documents, FeedbackRules()).sum() == 100
    rows = np.arange(len(documents)) >= 80
    assert set(senders_of(documents, rows)) == {"anonymous"}
    assert set(newest_feedback(documents)["sender"].to_pylist()) == {"anonymous"}


def test_the_newest_feedback_is_shown() -> None:
    found = newest_feedback(table(3, ["a", None]))

    assert found["id"].to_pylist() == ["feedback:1", "feedback:0"]
    assert found["sender"].to_pylist() == ["anonymous", "a"]


def test_the_sender_stands_beside_a_field_of_the_same_name() -> None:
    assert provenance_field(["text", "label"]) == "feedback"
    assert provenance_field(["feedback"]) == "perennial_feedback"
    assert provenance_field(["feedback.stars"]) == "perennial_feedback"


@pytest.mark.parametrize("share", [0, 1.1, -0.1, "much"])
def test_a_share_that_is_none_is_refused(share: object) -> None:
    with pytest.raises(ValueError, match="max_share"):
        FeedbackRules.model_validate({"max_share": share})
