"""Near-copies share a representative, other texts do not, and what comes later changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from perennial.inputs import near_copies
from perennial.inputs.identity import CURRENT_IDENTITY, content_hashes
from perennial.inputs.near_copies import (
    SKETCH_BYTES,
    Groups,
    grouped,
    representatives,
    sketches,
)
from tests.perennial.examples import some_examples


def made_up(seed: int, count: int, length: int) -> list[str]:
    """Return texts of so many words; as in any language, a few words are most of them."""
    rng = random.Random(seed)
    words = _words(rng, 2_000).split()
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return [" ".join(rng.choices(words, weights, k=length)) for _ in range(count)]


def _words(rng: random.Random, count: int) -> str:
    return " ".join(
        "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9)))
        for _ in range(count)
    )


def found(texts: Sequence[str], order: Sequence[int] | None = None) -> NDArray[np.intp]:
    """Return the representatives of texts, by default in their order."""
    hashes = content_hashes(texts, CURRENT_IDENTITY)
    return representatives(sketches(texts), hashes, range(len(texts)) if order is None else order)


def with_another_word(text: str, rng: random.Random) -> str:
    words = text.split()
    words[rng.randrange(len(words))] = _words(rng, 1)
    return " ".join(words)


def with_a_typing_error(text: str, rng: random.Random) -> str:
    place = rng.randrange(len(text) - 1)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def with_an_address(text: str, rng: random.Random) -> str:
    return f"{text} https://www.example.org/{_words(rng, 1)}/{rng.randrange(10**6)}?from=mail"


def with_a_signature(text: str, rng: random.Random) -> str:
    return f"{text}\n-- \n{_words(rng, 2).title()}\nsent from my phone"


@pytest.mark.parametrize("length", [15, 60, 250], ids=["a sentence", "a comment", "a review"])
@pytest.mark.parametrize(
    "change", [with_another_word, with_a_typing_error, with_an_address, with_a_signature]
)
def test_near_copies_are_found_and_different_texts_are_not(
    change: Callable[[str, random.Random], str], length: int
) -> None:
    rng = random.Random(length)
    originals = made_up(1, 600, length)
    changed = [change(text, rng) for text in originals]

    representative = found([*originals, *changed])

    assert representative[:600].tolist() == list(range(600))
    assert np.mean(representative[600:] == np.arange(600)) >= 0.99


@pytest.mark.parametrize(
    "different",
    [
        ("not good film", "not bad film", "not good movie", "a good film", "very good film"),
        ("I liked it a lot", "I liked it not a lot", "I hated it a lot"),
        ("", " ", "<br />"),
        ("\U0001f44d" * 50, "\U0001f44e" * 50, "ha" * 50, "ho" * 50, "!" * 50),
        ("\u5f88\u597d\u770b", "\u4e0d\u597d\u770b", "\u5f88\u96be\u770b"),
    ],
)
def test_texts_of_a_few_words_are_compared_by_content_alone(different: tuple[str, ...]) -> None:
    assert sketches(different).null_count == len(different)
    alone = content_hashes(different, CURRENT_IDENTITY).to_pylist()
    assert len(set(found(different).tolist())) == len(set(alone))


def test_near_copies_are_found_in_scripts_without_spaces_and_beyond_latin() -> None:
    chinese = (
        "\u8fd9\u90e8\u7535\u5f71\u7684\u5267\u60c5\u975e\u5e38\u7cbe\u5f69\uff0c\u6f14\u5458\u7684"
        "\u8868\u6f14\u4e5f\u5f88\u51fa\u8272\uff0c\u6211\u5f3a\u70c8\u63a8\u8350\u7ed9\u6240\u6709"
        "\u559c\u6b22\u79d1\u5e7b\u7684\u670b\u53cb\u4eec\u4e00\u8d77\u53bb\u770b"
    )
    russian = (
        "\u041e\u0447\u0435\u043d\u044c \u0445\u043e\u0440\u043e\u0448\u0438\u0439 "
        "\u0444\u0438\u043b\u044c\u043c, \u0441\u043e\u0432\u0435\u0442\u0443\u044e "
        "\u0432\u0441\u0435\u043c \u043f\u043e\u0441\u043c\u043e\u0442\u0440\u0435\u0442\u044c"
    )

    representative = found(
        [
            chinese,
            russian,
            f"{chinese}\uff01\uff01",
            f"{russian}, \u043f\u0440\u0430\u0432\u0434\u0430",
        ]
    )

    assert representative.tolist() == [0, 1, 0, 1]


edits = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(
            [None, with_another_word, with_a_typing_error, with_an_address, with_a_signature]
        ),
        st.integers(0, 50),
    ),
    max_size=25,
)
ORIGINALS = [*made_up(2, 4, 20), "a short one", "Another short one"]


def collection(
    made: list[tuple[int, Callable[[str, random.Random], str] | None, int]],
) -> list[str]:
    return [
        ORIGINALS[which] if change is None else change(ORIGINALS[which], random.Random(seed))
        for which, change, seed in made
    ]


@some_examples
@given(edits, st.integers(0, 25))
def test_representatives_stay_when_documents_are_appended(
    made: list[tuple[int, Callable[[str, random.Random], str] | None, int]], before: int
) -> None:
    texts = collection(made)

    assert found(texts)[:before].tolist() == found(texts[:before]).tolist()


@some_examples
@given(edits, edits, st.integers(0, 25))
def test_groups_that_are_known_change_nothing_but_how_many_documents_are_compared(
    made: list[tuple[int, Callable[[str, random.Random], str] | None, int]],
    others: list[tuple[int, Callable[[str, random.Random], str] | None, int]],
    before: int,
) -> None:
    """Those may be known of the same documents, of fewer, or of others from some place on."""
    texts = collection(made)
    then = [*texts[:before], *collection(others)]

    def of(some: Sequence[str], known: Groups | None) -> tuple[list[int], Groups]:
        hashes = content_hashes(some, CURRENT_IDENTITY)
        order = [place // 3 for place in range(len(some))]
        representative, groups = grouped(sketches(some), hashes, order, known)
        return representative.tolist(), groups

    assert of(texts, of(then, None)[1])[0] == of(texts, None)[0]


@some_examples
@given(edits, st.randoms(use_true_random=False))
def test_representatives_do_not_depend_on_the_order_of_the_rows(
    made: list[tuple[int, Callable[[str, random.Random], str] | None, int]], rng: random.Random
) -> None:
    texts = collection(made)
    rows = list(range(len(texts)))
    rng.shuffle(rows)
    # Several documents come at one time.
    order = [row // 3 for row in range(len(texts))]

    straight = found(texts, order)
    shuffled = found([texts[row] for row in rows], [order[row] for row in rows])

    hashes = content_hashes(texts, CURRENT_IDENTITY).to_pylist()
    assert [hashes[straight[row]] for row in rows] == [hashes[rows[each]] for each in shuffled]


@some_examples
@given(edits)
def test_copies_share_a_representative_that_is_its_own(
    made: list[tuple[int, Callable[[str, random.Random], str] | None, int]],
) -> None:
    texts = [*collection(made), *(text.upper() for text in collection(made))]
    representative = found(texts)

    assert representative[: len(made)].tolist() == representative[len(made) :].tolist()
    assert representative[representative].tolist() == representative.tolist()
    assert (representative <= np.arange(len(texts))).all()


def test_documents_without_a_sketch_are_compared_by_content_alone() -> None:
    text = made_up(3, 1, 30)[0]
    texts = [text, f"{text} indeed", text, f"{text} indeed"]
    hashes = content_hashes(texts, CURRENT_IDENTITY)
    with_sketches = sketches(texts)
    none = pa.nulls(4, pa.binary(SKETCH_BYTES))
    columns = pa.chunked_array([with_sketches[:1], none[1:3], with_sketches[3:]])

    assert representatives(with_sketches, hashes, range(4)).tolist() == [0, 0, 0, 0]
    assert representatives(none, hashes, range(4)).tolist() == [0, 1, 0, 1]
    assert representatives(columns, pa.chunked_array([hashes]), range(4)).tolist() == [0, 1, 0, 1]
    assert representatives(with_sketches, hashes, [4, 3, 2, 1]).tolist() == [3, 3, 3, 3]
    nothing = [], CURRENT_IDENTITY
    assert representatives(sketches([]), content_hashes(*nothing), []).tolist() == []


def test_the_sketch_of_a_known_text_never_changes() -> None:
    text = "The plot surprised my whole family until the very last minute, 10/10."

    (sketch,) = sketches([text]).to_pylist()

    assert sketches([text.upper(), f"<p>{text}</p> http://a.b"]).to_pylist() == [sketch, sketch]
    assert sketch.hex()[:64] == "34ab940000000073000001003b00be7700240000a20000d77257005100008e00"


@some_examples
@given(st.lists(st.sampled_from(ORIGINALS), max_size=20), st.integers(1, 7))
def test_how_many_sketches_are_worked_on_at_once_changes_nothing(
    texts: list[str], at_once: int
) -> None:
    expected = found(texts).tolist()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_copies, "_CHUNK", at_once)
        assert found(texts).tolist() == expected
