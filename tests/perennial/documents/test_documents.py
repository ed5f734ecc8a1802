"""Which documents are copies of one another, and on which side they fall."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from perennial.documents.documents import in_holdout, in_validation, snapshot_digest
from perennial.hashing import HASH_BYTES
from perennial.inputs.identity import content_hash
from perennial.stores.snapshots.earlier_layout import row_digests
from tests.perennial.examples import some_examples

ORIGINAL = "I don't like this film: 2/10. Na\u00efve, at best!"


@pytest.mark.parametrize(
    "copy",
    [
        ORIGINAL.lower(),
        ORIGINAL.upper(),
        f"  {ORIGINAL}\n\n",
        ORIGINAL.replace(" ", "  \u00a0"),
        ORIGINAL.replace(" ", "<br />"),
        f"<p class='x'>{ORIGINAL}</p>",
        ORIGINAL.replace("'", "\u2019"),
        ORIGINAL.replace("!", " \u2014 !!! \U0001f600"),
        ORIGINAL.replace(",", "").replace(":", "..."),
    ],
)
def test_copies_have_the_same_content(copy: str) -> None:
    assert content_hash(copy) == content_hash(ORIGINAL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A good film", "A bad film"),
        ("I rate it 2/10", "I rate it 3/10"),
        ("I like it", "I like it not"),
        ("one two three", "three two one"),
        ("the resume", "the r\u00e9sum\u00e9"),
        ("5 < 6 > 4 films", "5 < 6 > 3 films"),
    ],
)
def test_different_texts_have_different_content(one: str, other: str) -> None:
    assert content_hash(one) != content_hash(other)


words = st.lists(st.text("abcXYZ019", min_size=1, max_size=5), min_size=1, max_size=6)
between = st.sampled_from(
    [" ", "  ", "\n", ", ", "... ", "<br />", " <i>", "\u2014", "\u00a0", "_"]
)


@some_examples
@given(words=words, first=between, second=between)
def test_what_stands_between_the_words_is_not_content(
    words: list[str], first: str, second: str
) -> None:
    assert content_hash(first.join(words)) == content_hash(second.join(words).swapcase())


@some_examples
@given(st.text())
def test_content_is_hashed_alike_with_and_without_letters_beyond_ascii_around(text: str) -> None:
    ascii_only = text.encode("ascii", "ignore").decode()

    assert content_hash(ascii_only) == content_hash(f"\u201c{ascii_only}\u201d")
    assert len(content_hash(text)) == HASH_BYTES


def test_the_content_of_known_texts_never_changes() -> None:
    known = {
        "A great film.": "2653f9f10bd78d92c405dbbe7ff40bb0",
        ORIGINAL: "607111dac04269efbaeec641bd126a06",
        "Stra\u00dfe <br /> \u041a\u0418\u041d\u041e 42": "c06aaed980f9471be04f370ed539f920",
    }

    assert {text: content_hash(text).hex() for text in known} == known


def hashes_of(texts: list[str]) -> pa.FixedSizeBinaryArray:
    return pa.array(map(content_hash, texts), pa.binary(HASH_BYTES))


@pytest.fixture(scope="module")
def many_hashes() -> pa.FixedSizeBinaryArray:
    return hashes_of([f"film {number}" for number in range(20_000)])


def test_known_texts_stay_on_their_side_of_the_split() -> None:
    films = hashes_of([f"This is the film {number}." for number in range(20)])

    assert np.flatnonzero(in_holdout(films, 0.2)).tolist() == [0, 7, 9, 10, 14]
    validation = np.flatnonzero(in_validation(films, 0.3)).tolist()
    assert validation == [2, 6, 7, 10, 11, 15, 16, 17]


@pytest.mark.parametrize("choose", [in_holdout, in_validation])
def test_the_side_of_a_document_depends_on_its_content_alone(
    choose: Callable[[pa.FixedSizeBinaryArray, float], NDArray[np.bool_]],
    many_hashes: pa.FixedSizeBinaryArray,
) -> None:
    order = np.random.default_rng(1).permutation(len(many_hashes))[:500]

    alone = [choose(many_hashes.slice(row, 1), 0.2)[0] for row in order.tolist()]

    assert choose(many_hashes, 0.2)[order].tolist() == alone
    assert choose(many_hashes[:0], 0.2).tolist() == []


@pytest.mark.parametrize("choose", [in_holdout, in_validation])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_chosen_share_is_the_one_asked_for(
    choose: Callable[[pa.FixedSizeBinaryArray, float], NDArray[np.bool_]],
    share: float,
    many_hashes: pa.FixedSizeBinaryArray,
) -> None:
    deviation = (share * (1 - share) / len(many_hashes)) ** 0.5

    assert choose(many_hashes, share).mean() == pytest.approx(share, abs=4 * deviation)


def test_a_larger_share_takes_more_and_gives_nothing_back(
    many_hashes: pa.FixedSizeBinaryArray,
) -> None:
    small, large = in_holdout(many_hashes, 0.1), in_holdout(many_hashes, 0.2)

    assert (large | ~small).all()


def test_validation_is_chosen_independently_of_the_holdout(
    many_hashes: pa.FixedSizeBinaryArray,
) -> None:
    holdout, validation = in_holdout(many_hashes, 0.3), in_validation(many_hashes, 0.3)

    both = (holdout & validation).mean()

    assert both == pytest.approx(0.09, abs=4 * (0.09 * 0.91 / len(many_hashes)) ** 0.5)


def digest_of(*rows: tuple[str, str, str]) -> str:
    columns = zip(("id", "label", "text"), zip(*rows, strict=True), strict=True)
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns})
    return snapshot_digest(row_digests(table))


ROWS = [("1", "positive", "A great film."), ("2", "negative", "A bad film."), ("3", "positive", "")]


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_a_snapshot_has_the_same_digest_in_any_order(order: tuple[int, ...]) -> None:
    assert digest_of(*(ROWS[row] for row in order)) == digest_of(*ROWS)


@pytest.mark.parametrize(
    "row",
    [
        ("4", "positive", "A great film."),
        ("1", "negative", "A great film."),
        ("1", "positive", "A great film!"),
        ("1", "positive", "a great film."),
        ("1p", "ositive", "A great film."),
        ("1", "positiveA", " great film."),
    ],
)
def test_a_change_of_id_label_or_text_changes_the_digest(row: tuple[str, str, str]) -> None:
    assert digest_of(row, *ROWS[1:]) != digest_of(*ROWS)


def test_a_document_more_or_less_changes_the_digest() -> None:
    assert digest_of(*ROWS[:2]) != digest_of(*ROWS)
    assert digest_of(*ROWS, ROWS[0]) != digest_of(*ROWS)


def test_a_zero_character_cannot_hide_a_change() -> None:
    one = ("1", "positive", "positive\0A great film.")
    other = ("1\0positive", "positive", "A great film.")

    assert digest_of(one) != digest_of(other)


def test_the_digest_of_known_documents_never_changes() -> None:
    assert digest_of(*ROWS) == "d686c79f4a946cc7ebe304305bd2fb84"
