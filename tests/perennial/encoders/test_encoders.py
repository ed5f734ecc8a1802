"""Columns as matrices: categories, texts and lists of words, and what stands for missing ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from perennial.encoders.blocks import leading, stored_whole
from perennial.encoders.categories import MISSING, UNKNOWN, CategoryEncoder
from perennial.encoders.imputer import FieldImputer
from perennial.encoders.target import CategoryTargetEncoder
from perennial.encoders.texts import TextEncoder
from perennial.encoders.words import WordsEncoder

values = st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=1, max_size=40)
texts = st.lists(st.text("abc de.!äé", max_size=30) | st.text(max_size=12), min_size=3, max_size=60)


@given(values, st.integers(1, 4), st.integers(1, 4))
def test_rare_and_unknown_categories_have_one_column_in_common(
    seen: list[str], least: int, most: int
) -> None:
    encoder = CategoryEncoder(min_documents=least, max_categories=most).fit(seen)

    matrix = encoder.transform([*seen, "never seen"]).toarray()

    assert matrix.shape == (len(seen) + 1, encoder.width)
    assert len(encoder.names()) == encoder.width
    assert len([value for value in encoder.values_ if value != MISSING]) <= most
    for value, row in zip(seen, matrix, strict=False):
        assert row.sum() == 1
        is_rare = value not in encoder.values_
        assert is_rare == bool(encoder.groups_rare_ and row[-1])
        assert is_rare or seen.count(value) >= least or value == MISSING
    assert matrix[-1].sum() == encoder.groups_rare_


def test_a_missing_category_is_told_from_a_rare_and_from_an_unknown_one() -> None:
    encoder = CategoryEncoder(min_documents=2).fit(["a", "a", "rare", MISSING])

    assert encoder.names() == ["(missing)", "a", "(rare)"]
    assert encoder.numbers([MISSING, "a", "rare", "new"]).tolist() == [0, 1, 2, 2]
    assert CategoryEncoder().fit(["a"]).numbers([MISSING, "new"]).tolist() == [UNKNOWN, UNKNOWN]


def test_many_categories_need_memory_for_documents_and_not_for_columns() -> None:
    names = [f"customer {number}" for number in range(16_000)]

    matrix = CategoryEncoder().fit(names).transform(names)

    assert matrix.shape == (16_000, 16_000)
    assert matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes < 1_000_000


@pytest.mark.parametrize("analyzer", ["auto", "words", "characters", "both"])
@given(seen=texts)
def test_a_text_alone_is_encoded_as_among_many(analyzer: Any, seen: list[str]) -> None:
    encoder = TextEncoder(analyzer=analyzer, min_documents=1)
    many = encoder.fit_transform([*seen, *[""] * 32])

    for row, text in enumerate(seen):
        alone = encoder.transform([text])
        np.testing.assert_allclose(alone.toarray()[0], many[[row]].toarray()[0], atol=1e-12)
    assert len(encoder.names()) == many.shape[1]


def test_words_are_weighed_as_scikit_learn_weighs_them() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    seen = ["red green blue", "red red red", "green blue", "blue blue red"] * 10
    ours = TextEncoder(analyzer="words", min_documents=1)
    peer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)

    matrix, expected = ours.fit_transform(seen), peer.fit_transform(seen)

    order = [ours.names().index(name) for name in peer.get_feature_names_out()]
    np.testing.assert_allclose(matrix.toarray()[:, order], expected.toarray())


@pytest.mark.parametrize(
    ("seen", "analyzer"),
    [
        (["libfoo-dev", "python3-bar"], "characters"),
        (["这部电影非常好看我很喜欢这个故事", "太无聊了浪费时间不推荐给任何人看"], "characters"),
        (["the printer is on fire again", "my screen stays black"], "words"),
    ],
)
def test_names_and_scripts_without_spaces_are_read_by_characters(
    seen: list[str], analyzer: str
) -> None:
    encoder = TextEncoder(min_documents=1)

    encoder.fit_transform(seen)

    assert (encoder.counter_ is None) == (analyzer == "characters")
    assert (encoder.hashed_ is None) == (analyzer == "words")


def test_a_list_of_words_has_a_column_for_each_whatever_their_order() -> None:
    encoder = WordsEncoder()

    matrix = encoder.fit_transform([["new", "urgent"], ["new"], [], [""]])

    assert encoder.names() == ["(missing)", "new", "urgent"]
    assert matrix.toarray().tolist() == [[0, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert encoder.transform([["urgent", "new", "new", "unknown"]]).toarray().tolist() == [
        [0, 1, 1]
    ]


numbers = st.floats(-1e6, 1e6) | st.just(np.nan)


@given(st.lists(st.tuples(numbers, numbers, st.sampled_from([0.0, 1.0])), min_size=1, max_size=20))
def test_a_sparse_matrix_is_imputed_like_a_dense_one(rows: list[tuple[float, ...]]) -> None:
    dense = np.array(rows)
    thin = sparse.csr_array(
        sparse.hstack([stored_whole(dense[:, :2]), sparse.csr_array(dense[:, 2:])], format="csr")
    )

    one, other = FieldImputer(2), FieldImputer(2)
    expected, found = one.fit_transform(dense), other.fit_transform(thin)

    assert not np.isnan(expected).any()
    np.testing.assert_array_equal(found.toarray(), expected)
    assert one.origins_.tolist() == other.origins_.tolist()
    marked = [column for column in (0, 1) if np.isnan(dense[:, column]).any()]
    assert one.origins_.tolist() == [0, 1, 2, *marked]


def test_medians_stand_for_missing_numbers_and_an_indicator_says_where() -> None:
    imputer = FieldImputer(1).fit(np.array([[1.0], [3.0], [np.nan], [5.0]]))

    assert imputer.transform(np.array([[np.nan], [7.0]])).tolist() == [[3, 1], [7, 0]]


def test_a_category_of_one_document_does_not_tell_its_own_label() -> None:
    chance = np.random.default_rng(0)
    codes = np.arange(400, dtype=np.float64)[:, None]
    labels = chance.choice(["a", "b"], 400)

    encoder = CategoryTargetEncoder(1, random_state=0)
    shares = encoder.fit_transform(codes, labels)

    # What is learned from has the share of all documents of other folds, within chance.
    assert np.ptp(shares) < 0.1
    assert encoder.transform(np.array([[-1.0]]))[0, 0] == pytest.approx((labels == "b").mean())


def test_zeros_of_numbers_are_stored_beside_what_is_sparse() -> None:
    matrix = stored_whole(np.array([[0.0, 2.0], [np.nan, 0.0]]))

    assert matrix.nnz == 4
    np.testing.assert_array_equal(leading(matrix, 1), [[0.0], [np.nan]])
