"""Character n-grams are scikit-learn's for the same tokens, alone and beside words."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from perennial.text.characters import CharacterCounter
from perennial.text.ngrams import NgramCounter
from perennial.text.words_and_characters import WordAndCharacterCounter
from tests.perennial.examples import Documents, some_examples, tokens_of

WORDS = ["a", "film", "films", "gut", "guten", "电影", "这部电影不好", "é", "ภาพยนตร์"]
documents = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), min_size=1, max_size=6
)


@some_examples
@given(
    documents,
    st.sampled_from([(1, 1), (1, 4), (2, 3), (3, 10)]),
    st.integers(1, 2),
    st.booleans(),
)
def test_the_counts_are_those_of_scikit_learn_without_lone_spaces(
    texts: Documents, lengths: tuple[int, int], least: int, binary: bool
) -> None:
    theirs = CountVectorizer(
        analyzer="char_wb", ngram_range=lengths, min_df=least, lowercase=False, binary=binary
    )
    ours = CharacterCounter(
        shortest=lengths[0], longest=lengths[1], min_documents=least, binary=binary
    )
    joined = [" ".join(words) for words in texts]
    try:
        expected = theirs.fit_transform(joined).toarray()
    except ValueError:
        with pytest.raises(ValueError, match="no feature is left"):
            ours.fit(tokens_of(texts))
        return
    names = theirs.get_feature_names_out()
    # Scikit-learn counts a word that is shorter than an n-gram as one, once for each length.
    kept = [place for place, name in enumerate(names) if name != " " and len(name) >= lengths[0]]
    kept = [place for place in kept if not _is_whole_word(names[place], lengths)]
    if not kept:
        return

    found = ours.fit_transform(tokens_of(texts)).toarray()

    columns = {name: place for place, name in enumerate(ours.get_feature_names_out())}
    for place in kept:
        np.testing.assert_array_equal(found[:, columns[names[place]]], expected[:, place])


def _is_whole_word(name: str, lengths: tuple[int, int]) -> bool:
    return name.startswith(" ") and name.endswith(" ") and len(name) <= lengths[1]


@some_examples
@given(documents, documents)
def test_later_documents_have_the_same_features(texts: Documents, later: Documents) -> None:
    counter = WordAndCharacterCounter(bigrams=True).fit(tokens_of(texts))

    again = counter.transform(tokens_of(texts))
    found = counter.transform(tokens_of([*later, [], ["ÿ"]]))

    np.testing.assert_array_equal(
        again.toarray(), counter.fit_transform(tokens_of(texts)).toarray()
    )
    assert found.shape == (len(later) + 2, len(counter.get_feature_names_out()))
    assert found[[-2, -1]].nnz == 0


@some_examples
@given(documents, st.randoms())
def test_the_order_of_the_documents_does_not_matter(texts: Documents, random: Any) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)
    one, other = (WordAndCharacterCounter(min_documents=1) for _ in range(2))

    one.fit(tokens_of(texts))
    other.fit(tokens_of(shuffled))

    assert one.get_feature_names_out().tolist() == other.get_feature_names_out().tolist()


def test_counting_leaves_the_tokens_as_they_are() -> None:
    tokens = tokens_of([["b", "a", "b"], ["a"]])
    before = tokens.ids.tolist()

    CharacterCounter().fit_transform(tokens)

    assert tokens.ids.tolist() == before


def test_words_and_characters_are_what_both_counters_count() -> None:
    tokens = tokens_of([["good", "film"], ["good", "films"], ["bad", "film"]])
    words, characters = (
        NgramCounter(bigrams=True, min_documents=2),
        CharacterCounter(shortest=2, longest=3, min_documents=2),
    )
    both = WordAndCharacterCounter(bigrams=True, shortest=2, longest=3, min_documents=2)

    found = both.fit_transform(tokens).toarray()

    expected = np.hstack([each.fit_transform(tokens).toarray() for each in (words, characters)])
    np.testing.assert_array_equal(found, expected)
    assert both.get_feature_names_out().tolist()[:2] == ["film", "good"]


@pytest.mark.parametrize("counter", [CharacterCounter, WordAndCharacterCounter])
def test_the_most_frequent_features_are_kept(counter: Any) -> None:
    tokens = tokens_of([["aa", "aa", "b"], ["aa", "c"]])
    everything = counter().fit(tokens)
    totals = everything.transform(tokens).sum(axis=0)

    few = counter(max_features=3).fit(tokens)

    kept = set(few.get_feature_names_out())
    names = everything.get_feature_names_out()
    assert len(kept) == 3
    least = min(total for name, total in zip(names, totals, strict=True) if name in kept)
    assert all(
        total <= least for name, total in zip(names, totals, strict=True) if name not in kept
    )
    assert few.transform(tokens).shape == (2, 3)


def test_a_counter_comes_back_from_a_file_as_it_was() -> None:
    tokens = tokens_of([["这部电影不好", "film"], ["film", "é"]])
    counter = WordAndCharacterCounter().fit(tokens)

    found = pickle.loads(pickle.dumps(counter))

    assert found.get_feature_names_out().tolist() == counter.get_feature_names_out().tolist()
    assert abs(found.transform(tokens) - counter.transform(tokens)).max() == 0


def test_nothing_shared_by_enough_documents_is_said() -> None:
    with pytest.raises(ValueError, match="shares a group of characters with 1 others"):
        CharacterCounter(min_documents=2).fit(tokens_of([["ab"], ["cd"]]))
