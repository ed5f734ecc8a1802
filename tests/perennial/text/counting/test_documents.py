"""Documents that were counted at several times make the matrix that counting all at once makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perennial.text.counting import documents as counted_documents
from perennial.text.counting.documents import Part, choose_features, count_documents
from perennial.text.ngrams import NgramCounter
from tests.perennial.examples import Documents, documents, many_examples, tokens_of

counters = st.fixed_dictionaries(
    {
        "bigrams": st.booleans(),
        "min_documents": st.integers(1, 3),
        "max_features": st.none() | st.integers(1, 6),
        "binary": st.booleans(),
    }
)


def parts_of(
    training: Documents, owners: list[int], others: list[Documents], *, bigrams: bool
) -> list[Part]:
    """Count each document with those of its owner, among other documents that are not wanted."""
    found = []
    for owner in sorted(set(owners)):
        places = [place for place, each in enumerate(owners) if each == owner]
        before = others[owner]
        counted = count_documents(
            tokens_of([*before, *(training[place] for place in places), *before]), bigrams=bigrams
        )
        rows = len(before) + np.arange(len(places))
        found.append(Part(counted, rows, np.array(places)))
    return found


@many_examples
@given(st.data(), documents, counters, st.integers(1, 7))
def test_counts_of_several_times_are_those_of_once(
    data: st.DataObject, training: Documents, options: dict[str, Any], entries: int
) -> None:
    at_once, of_parts = NgramCounter(**options), NgramCounter(**options)
    try:
        expected = at_once.fit_transform(tokens_of(training))
    except ValueError:
        assume(False)
    n = len(training)
    owners = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    others = data.draw(st.lists(documents, min_size=3, max_size=3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_documents, "_ENTRIES", entries)
        parts = parts_of(training, owners, others, bigrams=options["bigrams"])
        found = of_parts.fit_counted(parts)

    assert of_parts.words_.tolist() == at_once.words_.tolist()
    assert of_parts.keys_.tolist() == at_once.keys_.tolist()
    assert of_parts.keys_.dtype == at_once.keys_.dtype
    assert found.shape == expected.shape
    for part in ("indptr", "indices", "data"):
        assert getattr(found, part).tolist() == getattr(expected, part).tolist()
    assert found.indptr.dtype == expected.indptr.dtype
    assert found.indices.dtype == expected.indices.dtype


@many_examples
@given(st.data(), documents, st.booleans())
def test_what_was_put_together_is_counted_as_one(
    data: st.DataObject, training: Documents, bigrams: bool
) -> None:
    """So that the counts of many times can be kept as those of one."""
    n = len(training)
    owners = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    others = data.draw(st.lists(documents, min_size=3, max_size=3))
    assume(n)
    parts = parts_of(training, owners, others, bigrams=bigrams)

    chosen = choose_features(parts, min_documents=1, max_features=None, binary=False)
    whole = chosen.as_counted()

    rows = np.arange(n)
    again = choose_features(
        [Part(whole, rows, rows)], min_documents=1, max_features=None, binary=False
    )
    assert (again.counts != chosen.counts).nnz == 0
    alone = count_documents(tokens_of(training), bigrams=bigrams)
    names = sorted({word for words in training for word in words})
    of_whole = [whole.words[place] for place in whole.first]
    assert of_whole == [names[place] for place in alone.first.tolist()]
    for part in ("documents", "bounds", "columns", "amounts"):
        assert getattr(whole, part).tolist() == getattr(alone, part).tolist()


def test_too_few_documents_of_each_time_may_be_enough_together() -> None:
    """A word is a feature as soon as enough documents have it, whenever they came."""
    first = count_documents(tokens_of([["good", "film"], ["bad", "film"]]), bigrams=False)
    second = count_documents(tokens_of([["good", "cast"]]), bigrams=False)
    parts = [Part(first, np.arange(2), np.array([0, 2])), Part(second, np.arange(1), np.array([1]))]
    counter = NgramCounter(min_documents=2)

    counts = counter.fit_counted(parts)

    assert counter.get_feature_names_out().tolist() == ["film", "good"]
    assert counts.toarray().tolist() == [[1, 1], [0, 1], [1, 0]]


def test_documents_that_share_no_word_have_no_feature() -> None:
    counted = count_documents(tokens_of([["good"], ["bad"]]), bigrams=True)
    rows = np.arange(2)

    with pytest.raises(ValueError, match="of 2 documents none shares a word"):
        NgramCounter(min_documents=2).fit_counted([Part(counted, rows, rows)])
