"""Slices: every document is in its place, and intervals hold for all slices at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perennial.config.problem import Problem
from perennial.gates.base import Evidence
from perennial.gates.slices import Slice, Slices, compare_slices, slices_of, traits_of
from perennial.metrics import Predictions
from tests.perennial.examples import right_at, some_examples
from tests.perennial.gates.gated import (
    LONG,
    PRODUCTION,
    SHORT,
    WORSE_ON_SHORT,
    asking,
    named,
    right_in,
    verdict,
)


def test_a_challenger_that_is_better_overall_but_worse_on_a_slice_is_kept_out_and_the_slice_named(
    problem: Problem,
) -> None:
    asked = asking(problem, slices={"margin": 0.02, "min_documents": 100})

    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, {"slices": (SHORT, LONG)})

    assert named(found, "better than Production").passed
    assert found.outcome == "kept"
    assert [gate.name for gate in found.failed] == ["slice short"]
    assert "slice short: accuracy -0.1000 [" in found.reason
    assert named(found, "slice long").found.endswith("on 500 documents")


def test_a_slice_may_be_worse_by_less_than_the_margin(problem: Problem) -> None:
    asked = asking(problem, slices={"margin": 0.15, "min_documents": 100})

    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, {"slices": (SHORT, LONG)})

    assert found.outcome == "promoted"


def test_a_slice_with_few_documents_is_named_as_not_judged(problem: Problem) -> None:
    asked = asking(problem, slices={"margin": 0.02, "min_documents": 201})

    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, {"slices": (SHORT, LONG)})

    assert found.outcome == "promoted"
    assert named(found, "slices not judged").found == "short (200)"


def test_a_metric_that_a_slice_does_not_have_leaves_it_unjudged(problem: Problem) -> None:
    odd = Slice("odd", np.arange(700) % 2 == 1)
    asked = asking(problem, slices={"margin": 0.02}).model_copy(update={"metric": "roc_auc"})

    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, {"slices": (odd, LONG)})

    assert named(found, "slices not judged").found == "odd (350)"
    assert named(found, "slice long").passed


@pytest.mark.slow
def test_equal_models_fail_on_some_slice_at_most_5_times_of_100(problem: Problem) -> None:
    asked = asking(problem, slices={"margin": 0.02, "min_documents": 100})
    parts = tuple(Slice(f"{part}", np.arange(1000) % 10 == part) for part in range(10))
    models = [right_at(0.85, documents=1000, seed=seed) for seed in range(120)]

    failed = [
        any(gate.name.startswith("slice ") for gate in found.failed)
        for found in (
            verdict(asked, one, other, {"slices": parts})
            for one, other in zip(models[::2], models[1::2], strict=True)
        )
    ]

    assert sum(failed) <= 0.05 * len(failed)


def test_the_more_slices_are_judged_the_wider_are_their_intervals() -> None:
    asked = Slices(margin=0.02, min_documents=1)
    evidence = Evidence("accuracy", 0.95, 42, WORSE_ON_SHORT)

    (alone,) = compare_slices(asked, [SHORT], evidence, PRODUCTION)
    among_many, *_ = compare_slices(asked, [SHORT, *[LONG] * 9], evidence, PRODUCTION)

    assert alone.gain is not None
    assert among_many.gain is not None
    assert among_many.gain.low < alone.gain.low
    assert among_many.gain.high > alone.gain.high


def test_once_a_slice_is_proved_to_be_worse_the_others_are_judged_as_if_it_were_not_there() -> None:
    third = [Slice(f"{part}", np.arange(600) % 3 == part) for part in range(3)]
    production = right_in(600, (third[0], 0.9), (third[1], 0.9), (third[2], 0.9))
    challenger = right_in(600, (third[0], 0.5), (third[1], 0.87), (third[2], 0.9))
    asked = Slices(margin=0.01, min_documents=1)

    with_worse = compare_slices(asked, third, evidence_of(challenger), production)
    without = compare_slices(asked, third[1:], evidence_of(challenger), production)

    assert [each.gain for each in with_worse[1:]] == [each.gain for each in without]


def evidence_of(challenger: Predictions) -> Evidence:
    return Evidence("accuracy", 0.95, 42, challenger)


def table(lengths: Sequence[int], sources: Sequence[str | None], fields: Sequence[Any]) -> pa.Table:
    return pa.table(
        {
            "length": pa.array(lengths, pa.int64()),
            "source": pa.array(sources, pa.string()),
            "fields": pa.array(
                [None if each is None else list(each.items()) for each in fields],
                pa.map_(pa.string(), pa.string()),
            ),
        }
    )


def test_a_value_is_one_slice_however_its_letters_are_composed() -> None:
    traits = table([1, 2], ["caf\u00e9", "cafe\u0301"], [None, None])

    (only,) = slices_of(Slices(margin=0.1, source=True), traits)

    assert only.rows.tolist() == [True, True]


def test_documents_are_sliced_by_length_by_source_and_by_field() -> None:
    traits = table(
        [10, 499, 500, 9000],
        ["imdb", "imdb", "web", None],
        [{"country": "DE"}, {"country": "FR"}, {}, None],
    )
    asked = Slices(margin=0.1, source=True, fields=("country",), text_length=(0, 500))

    found = {part.name: np.flatnonzero(part.rows).tolist() for part in slices_of(asked, traits)}

    assert found == {
        "0 to 499 characters": [0, 1],
        "500 or more characters": [2, 3],
        "source (none)": [3],
        "source imdb": [0, 1],
        "source web": [2],
        "country (none)": [2, 3],
        "country DE": [0],
        "country FR": [1],
    }


@some_examples
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=60),
    asked=st.one_of(
        st.integers(2, 6),
        st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True).map(sorted).map(tuple),
    ),
)
def test_every_document_is_in_exactly_one_slice_of_its_length(
    lengths: list[int], asked: Any
) -> None:
    traits = table(lengths, [None] * len(lengths), [None] * len(lengths))

    parts = slices_of(Slices(margin=0.1, text_length=asked), traits)

    assert np.sum([part.rows for part in parts], axis=0).tolist() == [1] * len(lengths)
    assert all(len(part) for part in parts)


def test_quantiles_share_the_documents_out_evenly() -> None:
    traits = table(list(range(1000)), [None] * 1000, [None] * 1000)

    parts = slices_of(Slices(margin=0.1, text_length=4), traits)

    assert [len(part) for part in parts] == [250, 250, 250, 250]


def test_traits_are_kept_as_texts_whatever_the_document_holds() -> None:
    document = {"stars": 5, "is_new": True, "film": {"country": "DE"}, "none": None, "s": "\ud800"}

    found = traits_of(document, ["stars", "is_new", "film.country", "none", "absent.x", "s"])

    assert found == {"stars": "5", "is_new": "true", "film.country": "DE", "s": "?"}


@pytest.mark.parametrize(
    ("slices", "says"),
    [
        ({"margin": 0.0}, "greater than 0"),
        ({"margin": 0.1, "text_length": 1}, "greater than or equal to 2"),
        ({"margin": 0.1, "text_length": [500, 0]}, "should rise"),
    ],
)
def test_slices_that_make_no_sense_are_refused(slices: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Slices.model_validate(slices)
