"""The normaliser gives the tokens of its documented preparation, alone, in bulk and in pieces."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from benchmarks.tutorial.clean import clean_text
from benchmarks.tutorial.nltk_data import ensure_nltk_data
from perennial.text import normalizer as text_module
from perennial.text.ngrams import NgramCounter
from perennial.text.normal_form import normal_form
from perennial.text.normalizer import (
    Contractions,
    Lemmas,
    Normalizer,
    Preparation,
    StopWords,
    TextNormalizer,
    normalizer,
)
from perennial.text.stop_words import NEGATIONS, STOP_WORDS
from tests.perennial.examples import many_examples, some_examples

Lemmatize = Callable[[str, str], str]

POS = {"noun": "n", "verb": "v", "adjective": "a", "adverb": "r"}
DROPPED: dict[str, frozenset[str]] = {
    "keep": frozenset(),
    "drop": STOP_WORDS,
    "drop_except_negations": STOP_WORDS - NEGATIONS,
}
TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
ADDRESS = re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE)
SURROGATES = re.compile("([\ud800-\udbff][\udc00-\udfff])|[\ud800-\udfff]")
ENDINGS = {"'re": "are", "'ll": "will", "'ve": "have", "'m": "am", "'d": "would"}
IRREGULAR = {"can't": "can not", "won't": "will not", "shan't": "shall not"}

# What goes wrong in texts from the web.
FRAGMENTS = [
    *(
        "Movies",
        "women",
        "was",
        "the",
        "not",
        "THE",
        "better",
        "went",
        "bases-on-balls",
        "web_site",
    ),
    *("DON'T", "don\u2019t", "can't", "Won't", "isn't", "they've", "it's", "rock'n'roll", "'90s"),
    *("http://a.b/c?d=1", "HTTPS://X.Y", "www.imdb.com", "WWW.", "http", "://", "http\u017f://x"),
    *("<br />", "<br/>", "<BR />", "<b class='x'>", "</i>", "<3", "a<b>c", "<", ">", "<b\n>"),
    *("10/10", "2\u00bd", "\u0663", "x\u00b2", "7", "5'11"),
    *("na\u00efve", "CAF\u00c9", "e\u0301", "\u03a3\u0391\u03a3", "\u0130", "\u24b6", "\ufb01"),
    *("\U0001f600", "\u2026", "\u201cgood\u201d", "\u2018x\u2019", "\u02bc", "\u2014", "\ufffd"),
    *("!", "?!", "!!!", "'", '"', "_", ".", ",", "\\", "$", "\uff01"),
    *(" ", "\n", "\t", "\u00a0", "\u2003", "\u3000", "\u2028", "\u200b", "\ufeff", "\u00ad"),
    *("\x00", "\x0b", "\x0c", "\x1c", "\x1f", "\x7f", "\x85", "\ud800", "\udc00"),
    *("&nbsp;", "&#39;", "&amp;lt;b&gt;", "`", "\u00b4", "\x92", "\u200d", "\ufe0f", "\u0301"),
]
# Each of them alone, and each beside a third of the others.
ODDITIES = [
    *FRAGMENTS,
    *(
        f"Good{one}{other}t"
        for position, one in enumerate(FRAGMENTS)
        for other in FRAGMENTS[position % 3 :: 3]
    ),
]
raw_texts = st.builds(
    str.join,
    st.sampled_from(["", " "]),
    st.lists(
        st.one_of(st.sampled_from(FRAGMENTS), st.text(st.characters(), max_size=6)), max_size=12
    ),
)
all_steps = st.builds(
    Preparation,
    normal_form=st.booleans(),
    lowercase=st.booleans(),
    html=st.booleans(),
    urls=st.booleans(),
    punctuation=st.booleans(),
    numbers=st.booleans(),
    stop_words=st.sampled_from(get_args(StopWords)),
    lemmas=st.sampled_from(get_args(Lemmas)),
    contractions=st.sampled_from(get_args(Contractions)),
    emphasis=st.booleans(),
)
# Every switch by itself, and two of the ways in which they are used together.
SWITCHED = [
    {},
    {"normal_form": False},
    {"lowercase": False},
    {"html": False},
    {"urls": False},
    {"punctuation": False},
    {"numbers": False},
    {"stop_words": "keep"},
    {"stop_words": "drop_except_negations"},
    {"lemmas": "none"},
    {"lemmas": "verb"},
    {"lemmas": "adjective"},
    {"lemmas": "adverb"},
    {"contractions": "keep"},
    {"contractions": "expand"},
    {"emphasis": True},
    {"stop_words": "drop_except_negations", "contractions": "expand", "emphasis": True},
    {"stop_words": "keep", "lemmas": "none", "numbers": False, "contractions": "keep"},
]


def step_by_step(text: str, preparation: Preparation, lemmatize: Lemmatize) -> list[str]:
    """Normalise one text in the documented order, one plain pass over it per step."""
    text = SURROGATES.sub(lambda found: _joined(found[1]) if found[1] else "\ufffd", text)
    text = normal_form(text) if preparation.normal_form else text
    if preparation.html:
        text = TAG.sub(" ", text.replace("<br />", " "))
    if preparation.urls:
        text = ADDRESS.sub(" ", text)
    if preparation.punctuation:
        text = "".join(_without_mark(c, preparation) for c in text)
    if preparation.emphasis:
        text = re.sub("([!?])", r" \1 ", text)
    if preparation.lowercase:
        text = text.lower()
    words = [part for word in text.split() for part in _apart(word, preparation)]
    if preparation.numbers:
        words = ["".join(c for c in word if not c.isdigit()) for word in words]
    words = [word for word in words if word and word not in DROPPED[preparation.stop_words]]
    if preparation.lemmas == "none":
        return words
    # Compounds are not in the table of lemmas.
    return [word if "_" in word else lemmatize(word, POS[preparation.lemmas]) for word in words]


def _joined(pair: str) -> str:
    return chr(0x10000 + (ord(pair[0]) - 0xD800) * 0x400 + ord(pair[1]) - 0xDC00)


def _without_mark(c: str, preparation: Preparation) -> str:
    if c in "'\u2018\u2019\u02bc":
        return " " if preparation.contractions == "split" else "'"
    if c in "!?" and preparation.emphasis:
        return c
    mark = c in string.punctuation if c.isascii() else unicodedata.category(c)[0] in "PSC"
    return " " if mark else c


def _apart(word: str, preparation: Preparation) -> list[str]:
    if not preparation.punctuation:
        return [word]
    word = word.strip("'")
    if preparation.contractions != "expand" or "'" not in word:
        return [word]
    if word in IRREGULAR:
        return IRREGULAR[word].split()
    if word.endswith("n't"):
        return [word.removesuffix("n't"), "not"]
    stem, _, ending = word.rpartition("'")
    return [stem, ENDINGS.get(f"'{ending}", f"'{ending}")]


def tokens(texts: object, **steps: object) -> list[list[str]]:
    return list(TextNormalizer(**steps).transform(texts))


@pytest.mark.parametrize("switched", SWITCHED, ids=str)
def test_real_reviews_give_the_tokens_of_the_documented_steps_with_nltk(
    switched: dict[str, object], reviews: list[str], nltk_says: Lemmatize
) -> None:
    expected = [step_by_step(review, Preparation(**switched), nltk_says) for review in reviews]

    assert tokens(reviews, **switched) == expected


@pytest.mark.parametrize("switched", SWITCHED, ids=str)
def test_every_oddity_beside_others_gives_the_tokens_of_the_documented_steps_with_nltk(
    switched: dict[str, object], nltk_says: Lemmatize
) -> None:
    expected = [step_by_step(text, Preparation(**switched), nltk_says) for text in ODDITIES]

    assert tokens(ODDITIES, **switched) == expected


@many_examples
@given(text=raw_texts, preparation=all_steps)
def test_any_text_gives_the_tokens_of_the_documented_steps_with_nltk(
    nltk_says: Lemmatize, text: str, preparation: Preparation
) -> None:
    assert tokens([text], **preparation.model_dump()) == [
        step_by_step(text, preparation, nltk_says)
    ]


@many_examples
@given(texts=st.lists(raw_texts, max_size=5), preparation=all_steps)
def test_a_text_normalises_alike_alone_and_in_bulk(
    texts: list[str], preparation: Preparation
) -> None:
    alone = [normalizer(preparation).words(text) for text in texts]

    assert tokens(texts, **preparation.model_dump()) == alone


@pytest.mark.parametrize("switched", [*SWITCHED[:5], *SWITCHED[-2:]], ids=str)
def test_every_oddity_beside_others_normalises_alike_alone_and_in_bulk(
    switched: dict[str, object],
) -> None:
    alone = [normalizer(Preparation(**switched)).words(text) for text in ODDITIES]

    assert tokens(ODDITIES, **switched) == alone


@pytest.fixture(scope="module")
def tutorial_says(nltk_data: Path) -> Callable[[list[str]], list[list[str]]]:
    assert ensure_nltk_data() == nltk_data

    def clean(texts: list[str]) -> list[list[str]]:
        cleaned = clean_text(pd.Series(texts, dtype=object), stop_words_per_row=False)
        return [text.split() for text in cleaned]

    return clean


@pytest.mark.usefixtures("nltk_says")
def test_plain_preparation_gives_the_tokens_of_the_tutorial_for_real_reviews(
    reviews: list[str], tutorial_says: Callable[[list[str]], list[list[str]]]
) -> None:
    # The tutorial knows no tags and no punctuation beyond ASCII.
    texts = [review.encode("ascii", "ignore").decode().replace("<", "") for review in reviews]

    assert tokens(texts) == tutorial_says(texts)


@pytest.mark.usefixtures("nltk_says")
@some_examples
@given(
    st.lists(
        st.one_of(
            raw_texts.map(lambda text: re.sub("[^\0-\x7f]|<", "", text)),
            st.text(st.characters(codec="ascii", exclude_characters="<")),
        )
    )
)
def test_plain_preparation_gives_the_tokens_of_the_tutorial_for_any_ascii_text(
    tutorial_says: Callable[[list[str]], list[list[str]]], texts: list[str]
) -> None:
    assert tokens(texts, normal_form=False) == tutorial_says(texts)


@pytest.mark.parametrize(
    ("text", "steps", "expected"),
    [
        ("The movies were GOOD.", {}, ["movie", "good"]),
        ("See http://a.b/c?d=e or www.x.org!", {}, ["see"]),
        ("one<br />two<br/>three</p><p>four", {}, ["one", "two", "three", "four"]),
        ("5 < 6 and <3 > 2", {"numbers": False}, ["5", "6", "3", "2"]),
        ("caf\u00e9 \u2014 \u201ctr\u00e8s bon\u201d\u2026", {}, ["caf\u00e9", "tr\u00e8s", "bon"]),
        ("great\u00a0film\u2003indeed", {}, ["great", "film", "indeed"]),
        ("10/10, 2nd \u0663", {"stop_words": "keep"}, ["nd"]),
        ("10/10, 2nd", {"numbers": False}, ["10", "10", "2nd"]),
        ("I don't", {"stop_words": "keep"}, ["i", "don", "t"]),
        ("I don\u2019t", {"stop_words": "keep", "contractions": "keep"}, ["i", "don't"]),
        ("I don't", {"stop_words": "keep", "contractions": "expand"}, ["i", "do", "not"]),
        ("I won't", {"stop_words": "keep", "contractions": "expand"}, ["i", "will", "not"]),
        ("we've", {"stop_words": "keep", "contractions": "expand"}, ["we", "have"]),
        ("'Not' 'good'", {"contractions": "keep"}, ["good"]),
        ("What?! No!!", {"emphasis": True}, ["?", "!", "!", "!"]),
        ("What?! No!!", {}, []),
        ("I do not like it", {"stop_words": "drop_except_negations"}, ["not", "like"]),
        ("The Movies", {"lowercase": False}, ["The", "Movies"]),
        ("she went", {"lemmas": "verb"}, ["go"]),
        ("wait...what", {"punctuation": False}, ["wait...what"]),
        (
            "see <b>www.x.org</b>",
            {"html": False, "urls": False},
            ["see", "b", "www", "x", "org", "b"],
        ),
    ],
)
def test_known_texts(text: str, steps: dict[str, object], expected: list[str]) -> None:
    assert tokens([text], **steps) == [expected]


def test_documents_without_any_word_stay_in_their_places() -> None:
    assert tokens(["", "great", "!!!", "the", "film"]) == [[], ["great"], [], [], ["film"]]
    assert tokens([]) == []
    assert tokens(["", ""]) == [[], []]


# Without these steps the texts are read where they lie, in the middle of a longer column.
IN_PLACE = {"html": False, "urls": False}


@pytest.mark.parametrize("size", [7, 10_000])
@pytest.mark.parametrize("steps", [{}, IN_PLACE], ids=["plain", "in place"])
def test_the_number_of_texts_normalised_at_a_time_cannot_be_seen(
    steps: dict[str, bool], size: int, reviews: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*reviews[:20], "", *reviews[20:30]]
    whole = tokens(texts, **steps)
    monkeypatch.setattr(text_module, "_CHUNK", size)

    assert tokens(texts, **steps) == whole
    assert tokens(texts[:14], **steps) == whole[:14]


@pytest.mark.parametrize("steps", [{}, IN_PLACE], ids=["plain", "in place"])
def test_a_part_of_a_column_is_read_as_that_part(steps: dict[str, bool]) -> None:
    column = pa.array(
        ["outside", "a good film", "", "caf\u00e9", "also outside"], pa.large_string()
    )

    assert tokens(column[1:4], **steps) == [["good", "film"], [], ["caf\u00e9"]]
    assert tokens(column[4:], **steps) == [["also", "outside"]]
    assert tokens(column[2:2], **steps) == []


def test_what_lies_hidden_under_a_missing_text_is_not_read() -> None:
    _, offsets, data = pa.array(["good", "hidden", "film"], pa.large_string()).buffers()
    valid = pa.py_buffer(bytes([0b101]))
    column = pa.LargeStringArray.from_buffers(3, offsets, data, valid)

    assert column.to_pylist() == ["good", None, "film"]
    assert tokens(column) == tokens(column, **IN_PLACE) == [["good"], [], ["film"]]


TEXTS = ["Good <br /> film", "", "see www.x.org \u2026", "a\u00a0bad one", "don't", "so-so"]


@pytest.mark.parametrize(
    "hold",
    [
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        lambda texts: np.array(texts, dtype=object)[:, None],
        lambda texts: [[text] for text in texts],
        lambda texts: pd.Series(texts, index=range(10, 16)),
        lambda texts: pd.Series(texts, dtype=object),
        lambda texts: pd.Series(texts, dtype="category"),
        lambda texts: pd.DataFrame({"text": texts}),
        pa.array,
        lambda texts: pa.array(texts, pa.large_string()),
        lambda texts: pa.array(texts).dictionary_encode(),
        lambda texts: pa.array(["<x>", *texts, "www.y.org"], pa.large_string())[1:-1],
        lambda texts: pa.array(["<x>", *texts, "www.y.org"])[1:-1],
        lambda texts: pa.chunked_array([texts[:2], [], texts[2:]]),
        lambda texts: pa.chunked_array([texts], pa.large_string()),
        lambda texts: pa.chunked_array([["no", *texts[:4]], texts[4:]]).slice(1),
        lambda texts: pa.table({"text": texts})["text"],
    ],
)
def test_texts_may_be_held_in_many_ways(hold: Callable[[list[str]], object]) -> None:
    assert tokens(hold(TEXTS)) == [["good", "film"], [], ["see"], ["bad", "one"], [], []]


@pytest.mark.parametrize(
    "hold", [pa.array, lambda texts: pa.chunked_array([texts]), lambda t: pa.array(["x", *t])[1:]]
)
def test_a_missing_text_of_an_arrow_column_is_an_empty_document(
    hold: Callable[[list[str | None]], object],
) -> None:
    assert tokens(hold(["good", None, "film", None])) == [["good"], [], ["film"], []]
    assert tokens(hold([None])) == [[]]


def test_an_empty_column_gives_no_documents() -> None:
    assert tokens(pa.chunked_array([], pa.string())) == []
    assert tokens(pa.array([], pa.large_string())) == []
    assert tokens(pd.Series([], dtype=object)) == []


def test_surrogates_without_a_partner_do_no_harm_to_their_neighbours() -> None:
    texts = ["good \ud800film", "\udc00", "fine", "\ud83d\ude00"]

    assert tokens(texts) == [["good", "film"], [], ["fine"], []]
    assert tokens(texts[:1], punctuation=False) == [["good", "\ufffdfilm"]]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (["good", "bad", 3], "got int at position 2"),
        (["good", b"bad"], "got bytes at position 1"),
        (np.array([["good"], [1.5]], dtype=object), "got float at position 1"),
        (pd.Series(["good", 7], dtype=object), "got int at position 1"),
        (pd.DataFrame({"text": ["good"], "label": ["positive"]}), r"array of shape \(1, 2\)"),
        ("good", "put it into a list"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_text_is_refused_with_its_position(wrong: object, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        TextNormalizer().transform(wrong)


def test_an_arrow_column_of_numbers_is_refused_like_a_list_of_numbers() -> None:
    with pytest.raises(TypeError):
        TextNormalizer().transform(pa.array([1, 2]))


def test_the_memo_of_words_stays_bounded_and_nobody_sees_it(
    reviews: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tokens(reviews[:5])
    monkeypatch.setattr(text_module, "_MEMO_LIMIT", 10)
    forgetful = Normalizer(Preparation())
    sizes = []

    seen = []
    for review in reviews[:5]:
        seen.append(forgetful.words(review))
        sizes.append(len(forgetful._memo))

    assert seen == expected
    assert 0 < max(sizes) <= 10
    assert list(forgetful.tokens(pa.array(reviews[:5], pa.large_string()))) == expected
    assert len(forgetful._memo) <= 10


def test_a_normaliser_that_was_stored_before_there_was_a_normal_form_has_none() -> None:
    stored = TextNormalizer().__getstate__()
    del stored["normal_form"]

    old = TextNormalizer.__new__(TextNormalizer)
    old.__setstate__(stored)

    text = "cafe\u0301 don&#39;t"
    assert old.get_params() == TextNormalizer(normal_form=False).get_params()
    assert list(old.transform([text])) == tokens([text], normal_form=False)
    assert list(old.transform([text])) != tokens([text])


@given(preparation=all_steps)
@some_examples
def test_a_clone_has_the_same_parameters_and_steps(preparation: Preparation) -> None:
    original = TextNormalizer(**preparation.model_dump())

    copy = clone(original)

    assert copy is not original
    assert copy.get_params() == original.get_params() == preparation.model_dump()
    assert copy.preparation == preparation


def test_its_defaults_are_those_of_the_steps() -> None:
    assert TextNormalizer().preparation == Preparation()
    assert set(TextNormalizer().get_params()) == set(Preparation.model_fields)


def test_changed_parameters_take_effect_at_once() -> None:
    normalize = TextNormalizer()
    normalize.transform(["the movies"])

    normalize.set_params(stop_words="keep", lemmas="none")

    assert list(normalize.transform(["the movies"])) == [["the", "movies"]]


def test_it_works_inside_a_pipeline_that_can_switch_its_steps() -> None:
    pipeline = Pipeline([("normalize", TextNormalizer()), ("count", NgramCounter())])

    plain = pipeline.fit(["the good movies"]).named_steps["count"].get_feature_names_out()
    pipeline.set_params(normalize__stop_words="keep")
    kept = pipeline.fit(["the good movies"]).named_steps["count"].get_feature_names_out()

    assert plain.tolist() == ["good", "movie"]
    assert kept.tolist() == ["good", "movie", "the"]


def test_it_needs_no_fit() -> None:
    unfitted, fitted = TextNormalizer(), TextNormalizer().fit(["something else"])

    check_is_fitted(unfitted)
    assert list(unfitted.transform(TEXTS)) == list(fitted.transform(TEXTS))


def test_stop_words_are_the_179_of_nltk() -> None:
    digest = hashlib.sha256("\n".join(sorted(STOP_WORDS)).encode()).hexdigest()

    assert len(STOP_WORDS) == 179
    assert digest.startswith("63c081f949766b37"), "not the list of NLTK any more"


def test_negations_are_stop_words_that_turn_the_meaning() -> None:
    contracted = {word for word in STOP_WORDS if "n't" in word}

    assert NEGATIONS <= STOP_WORDS
    assert {"no", "not", "nor"} <= NEGATIONS
    assert contracted <= NEGATIONS
    assert {word.removesuffix("'t") for word in contracted} <= NEGATIONS
    assert {"d", "s", "ll", "ma", "o", "any", "only", "again", "the", "can"}.isdisjoint(NEGATIONS)


@pytest.mark.parametrize("contractions", get_args(Contractions))
@pytest.mark.parametrize(
    "negated",
    ["don't", "isn't", "won't", "can't", "shan't", "wasn't", "cannot", "not", "nor", "never"],
)
def test_a_negation_leaves_a_trace_when_other_stop_words_are_dropped(
    negated: str, contractions: Contractions
) -> None:
    steps = {"stop_words": "drop_except_negations", "contractions": contractions}

    negative, positive = tokens([f"I {negated} recommend it", "I do recommend it"], **steps)

    assert positive == ["recommend"]
    assert negative != positive
