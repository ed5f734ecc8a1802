"""`NgramCounter` counts as scikit-learn's `CountVectorizer` does for the same tokens."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils import estimator_checks
from skops import io as skops

from perennial.registry.artifact import TRUSTED_TYPES
from perennial.text.counting import blocks as ngram_blocks
from perennial.text.counting.blocks import Blocks
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.text.tokens import Tokens
from tests.perennial.examples import (
    Documents,
    documents,
    many_examples,
    some_examples,
    tokens_of,
)

DOCUMENTS = [
    ["good", "film", "good", "cast"],
    ["bad", "film"],
    [],
    ["good", "cast", "not", "good"],
    ["film", "film", "film", "not"],
]

counters = st.fixed_dictionaries(
    {"bigrams": st.booleans(), "min_documents": st.integers(1, 3), "binary": st.booleans()}
)


def reference(
    *, bigrams: bool = False, min_documents: int = 1, binary: bool = False, **limits: int
) -> CountVectorizer:
    return CountVectorizer(
        tokenizer=list,
        preprocessor=list,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, 2) if bigrams else (1, 1),
        min_df=min_documents,
        binary=binary,
        **limits,
    )


def by_name(
    names: NDArray[np.object_], matrix: sparse.sparray
) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names sorted and the columns in that order: scikit-learn mixes n-grams."""
    assert matrix.shape[1] == len(names)
    order = np.argsort(names)
    return names[order].tolist(), matrix.toarray()[:, order]


def assert_same(
    ours: tuple[list[str], NDArray[np.float64]], theirs: tuple[list[str], NDArray[np.float64]]
) -> None:
    assert ours[0] == theirs[0]
    np.testing.assert_array_equal(ours[1], theirs[1])


@many_examples
@given(training=documents, others=documents, parameters=counters)
def test_counts_are_those_of_scikit_learn_in_training_and_for_new_documents(
    training: Documents, others: Documents, parameters: dict[str, int]
) -> None:
    theirs = reference(**parameters)
    try:
        expected = theirs.fit_transform(training)
    except ValueError:
        with pytest.raises(ValueError, match="no feature is left"):
            NgramCounter(**parameters).fit(tokens_of(training))
        return
    ours = NgramCounter(**parameters)

    counts = ours.fit_transform(tokens_of(training))

    names, their_names = ours.get_feature_names_out(), theirs.get_feature_names_out()
    assert_same(by_name(names, counts), by_name(their_names, expected))
    for texts in (training, others):
        found, wanted = ours.transform(tokens_of(texts)), theirs.transform(texts)
        assert_same(by_name(names, found), by_name(their_names, wanted))


@pytest.mark.parametrize("binary", [False, True])
@given(training=documents, bigrams=st.booleans(), limit=st.integers(1, 8))
@some_examples
def test_the_most_frequent_features_are_kept_as_scikit_learn_keeps_them(
    binary: bool, training: Documents, bigrams: bool, limit: int
) -> None:
    assume(any(training))
    everything = reference(bigrams=bigrams, binary=binary)
    totals = everything.fit_transform(training).sum(axis=0).A1
    ours = NgramCounter(bigrams=bigrams, binary=binary, max_features=limit)

    counts = ours.fit_transform(tokens_of(training))

    names = ours.get_feature_names_out().tolist()
    kept = [totals[everything.vocabulary_[name]] for name in names]
    # Which of the features with equal totals stay is nobody's promise.
    assert sorted(kept, reverse=True) == sorted(totals, reverse=True)[:limit]
    wanted = everything.transform(training)[:, [everything.vocabulary_[name] for name in names]]
    np.testing.assert_array_equal(counts.toarray(), wanted.toarray())


def test_frequent_features_must_still_be_in_enough_documents() -> None:
    counter = NgramCounter(min_documents=2, max_features=2)

    counter.fit(tokens_of([["x"] * 9, ["a", "b"], ["b", "a"], ["b", "c", "a", "a"], ["c"]]))

    assert counter.get_feature_names_out().tolist() == ["a", "b"]


@many_examples
@given(st.data())
def test_the_order_of_documents_changes_nothing_but_the_order_of_rows(data: st.DataObject) -> None:
    training = data.draw(documents.filter(any))
    order = data.draw(st.permutations(range(len(training))))
    parameters = data.draw(
        st.fixed_dictionaries(
            {"bigrams": st.booleans(), "max_features": st.sampled_from([None, 1, 3])}
        )
    )
    one, other = NgramCounter(**parameters), NgramCounter(**parameters)

    matrix = one.fit_transform(tokens_of(training))
    shuffled = other.fit_transform(tokens_of([training[row] for row in order]))

    assert one.get_feature_names_out().tolist() == other.get_feature_names_out().tolist()
    np.testing.assert_array_equal(one.keys_, other.keys_)
    np.testing.assert_array_equal(matrix.toarray()[order], shuffled.toarray())


def test_a_vocabulary_with_words_that_no_document_has_changes_nothing() -> None:
    tokens = tokens_of(DOCUMENTS)
    rows = np.array([0, 1])

    taken = NgramCounter(bigrams=True).fit_transform(tokens.take(rows))
    alone = NgramCounter(bigrams=True).fit_transform(tokens_of(DOCUMENTS[:2]))

    np.testing.assert_array_equal(taken.toarray(), alone.toarray())


def test_a_feature_is_named_by_its_words() -> None:
    counter = NgramCounter(bigrams=True, min_documents=2).fit(tokens_of(DOCUMENTS))

    names = counter.get_feature_names_out().tolist()

    assert names == ["cast", "film", "good", "not", "good cast"]


def test_words_that_training_did_not_have_count_for_nothing() -> None:
    counter = NgramCounter(bigrams=True).fit(tokens_of([["good", "film"]]))

    counts = counter.transform(tokens_of([["good", "new", "film"], ["new"], ["good", "film"]]))

    assert counter.get_feature_names_out().tolist() == ["film", "good", "good film"]
    assert counts.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]


def test_a_bigram_does_not_reach_into_the_next_document() -> None:
    counter = NgramCounter(bigrams=True).fit(tokens_of([["a"], ["b", "c"]]))

    assert counter.get_feature_names_out().tolist() == ["a", "b", "c", "b c"]


@pytest.mark.parametrize("size", [1, 300])
def test_few_and_many_documents_at_once_are_counted_alike(size: int) -> None:
    counter = NgramCounter(bigrams=True).fit(tokens_of(DOCUMENTS))
    single = counter.transform(tokens_of(DOCUMENTS)).toarray()

    many = counter.transform(tokens_of(DOCUMENTS * size)).toarray()

    np.testing.assert_array_equal(many, np.tile(single, (size, 1)))


@some_examples
@given(documents, documents, counters, st.integers(0, 3), st.integers(1, 9), st.integers(1, 5))
def test_documents_are_counted_by_blocks_as_they_are_at_once(
    training: Documents,
    others: Documents,
    options: dict[str, Any],
    bits: int,
    tokens: int,
    merged: int,
) -> None:
    at_once, by_blocks = NgramCounter(**options), NgramCounter(**options)
    try:
        expected = at_once.fit_transform(tokens_of(training))
    except ValueError:
        assume(False)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("BITS", bits), ("TOKENS", tokens)):
            patch.setattr(ngram_blocks, f"_BLOCK_{name}", value)
        patch.setattr(ngram_blocks, "_MERGED", merged)
        found = by_blocks.fit_transform(tokens_of(training))
        later = by_blocks.transform(tokens_of(others))

    assert by_blocks.keys_.tolist() == at_once.keys_.tolist()
    for matrix, wanted in ((found, expected), (later, at_once.transform(tokens_of(others)))):
        assert matrix.shape == wanted.shape
        assert matrix.dtype == wanted.dtype
        for part in ("indptr", "indices", "data"):
            assert getattr(matrix, part).tolist() == getattr(wanted, part).tolist()


@pytest.mark.parametrize("bigrams", [False, True])
def test_ten_million_documents_with_a_million_words_are_counted(bigrams: bool) -> None:
    size, words = 10**7, 1_050_000
    ids = np.arange(size, dtype=np.int32) % words
    vocabulary = tuple(f"w{number}" for number in range(words))
    # Two words a document: one pair in a hundred documents is the same one.
    ids[::200], ids[1::200] = 3, 5
    tokens = Tokens(ids, np.arange(0, size + 1, 2 if bigrams else 1), vocabulary)
    counter = NgramCounter(bigrams=bigrams, min_documents=50_000, max_features=1_000)

    counts = counter.fit_transform(tokens)

    names = ["w3", "w3 w5", "w5"] if bigrams else ["w3", "w5"]
    assert sorted(counter.get_feature_names_out()) == names
    assert counts.shape == (len(tokens), len(names))
    assert counts.sum(axis=0).min() >= size // 200


def test_more_words_than_any_language_has_leave_room_for_few_documents_at_once() -> None:
    """The number of a pair of two words and that of a document are in one number of 63 bits."""
    most = 2**31 - 1
    rank = np.array([most - 1, most - 2, 0], np.int32)
    tokens = Tokens(np.array([0, 1, 0, 2, 2, 0, 1], np.int32), np.array([0, 3, 4, 7]), "abc")

    blocks = Blocks(tokens, rank, most, bigrams=True, binary=False)
    keys = np.unique(np.concatenate([block.keys for block in blocks]))

    pairs = [(most - 1, most - 2), (most - 2, most - 1), (0, most - 1)]
    expected = [0, most - 2, most - 1, *(most + a * most + b for a, b in pairs)]
    assert keys.tolist() == sorted(expected)


def test_documents_without_tokens_are_empty_rows() -> None:
    counter = NgramCounter().fit(tokens_of(DOCUMENTS))

    assert counter.transform(tokens_of([[], []])).toarray().tolist() == [[0] * 5] * 2
    assert counter.transform(tokens_of([])).shape == (0, 5)


@pytest.mark.parametrize(
    ("training", "min_documents"),
    [([], 1), ([[], []], 1), ([["a", "a", "a"], ["b"]], 2), (DOCUMENTS, 4)],
)
def test_when_no_feature_is_left_it_says_so(training: Documents, min_documents: int) -> None:
    counter = NgramCounter(min_documents=min_documents)

    with pytest.raises(ValueError, match=f"no feature is left.*min_documents={min_documents}"):
        counter.fit(tokens_of(training))


def test_counting_before_fitting_is_refused() -> None:
    with pytest.raises(NotFittedError):
        NgramCounter().transform(tokens_of(DOCUMENTS))
    with pytest.raises(NotFittedError):
        NgramCounter().get_feature_names_out()


def test_the_matrix_is_one_that_scikit_learn_takes_as_it_is() -> None:
    matrix = NgramCounter(bigrams=True).fit_transform(tokens_of(DOCUMENTS))

    assert isinstance(matrix, sparse.csr_array)
    assert matrix.dtype == np.float64
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    assert matrix.has_canonical_format
    assert (matrix.data > 0).all()


def saved_with_skops(counter: NgramCounter) -> NgramCounter:
    return skops.loads(skops.dumps(counter), trusted=list(TRUSTED_TYPES))


def saved_with_pickle(counter: NgramCounter) -> NgramCounter:
    return pickle.loads(pickle.dumps(counter))


@pytest.mark.parametrize("save", [saved_with_skops, saved_with_pickle])
@pytest.mark.parametrize("parameters", [{}, {"bigrams": True, "min_documents": 2, "binary": True}])
def test_a_saved_counter_counts_as_before(
    save: Callable[[NgramCounter], NgramCounter], parameters: dict[str, int]
) -> None:
    training = [*DOCUMENTS, ["caf\u00e9", "\U0001f600", "caf\u00e9"], ["caf\u00e9", "\U0001f600"]]
    counter = NgramCounter(**parameters).fit(tokens_of(training))
    others = tokens_of([*training, ["good", "new", "caf\u00e9"]])

    restored = save(counter)

    assert restored.get_params() == counter.get_params()
    assert restored.get_feature_names_out().tolist() == counter.get_feature_names_out().tolist()
    assert (restored.transform(others) != counter.transform(others)).nnz == 0
    again = restored.fit_transform(others).toarray()
    np.testing.assert_array_equal(again, clone(counter).fit_transform(others).toarray())


@pytest.mark.parametrize("save", [saved_with_skops, saved_with_pickle])
def test_a_counter_saved_before_fitting_can_be_fitted(
    save: Callable[[NgramCounter], NgramCounter],
) -> None:
    restored = save(NgramCounter(bigrams=True))

    assert restored.get_params() == NgramCounter(bigrams=True).get_params()
    assert restored.fit(tokens_of([["a", "b"]])).get_feature_names_out().tolist()[-1] == "a b"


def test_fitting_learns_what_fitting_and_counting_learns() -> None:
    tokens = tokens_of(DOCUMENTS)
    fitted = NgramCounter(bigrams=True).fit(tokens)

    counts = NgramCounter(bigrams=True).fit_transform(tokens)

    assert (fitted.transform(tokens) != counts).nnz == 0


def test_fitting_again_forgets_what_was_learned_before() -> None:
    counter = NgramCounter().fit(tokens_of([["old"]]))

    counter.fit(tokens_of([["new"]]))

    assert counter.get_feature_names_out().tolist() == ["new"]
    assert counter.transform(tokens_of([["old", "new"]])).toarray().tolist() == [[1]]


def test_counting_leaves_the_tokens_as_they_were() -> None:
    tokens = tokens_of(DOCUMENTS)
    before = Tokens(tokens.ids.copy(), tokens.offsets.copy(), tuple(tokens.vocabulary))

    NgramCounter(bigrams=True, binary=True).fit(tokens).transform(tokens)

    assert list(tokens) == list(before)


@pytest.mark.parametrize("estimator", [NgramCounter(), TextNormalizer()], ids=repr)
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_mixin_order,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimators_unfitted,
    ],
)
def test_every_check_of_scikit_learn_that_needs_no_numbers_passes(
    check: Callable[[str, BaseEstimator], None], estimator: BaseEstimator
) -> None:
    check(type(estimator).__name__, estimator)
