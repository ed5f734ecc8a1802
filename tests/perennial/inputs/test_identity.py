"""Copies of an input have one identity, and what a model could tell apart has two."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.problem import Problem
from perennial.hashing import HASH_BYTES
from perennial.inputs.base import TextInputs
from perennial.inputs.identity import CURRENT_IDENTITY, content_hash, content_hashes
from perennial.inputs.records import TabularInputs
from perennial.text.normal_form import normal_form
from tests.perennial.examples import many_examples, some_examples

ORIGINAL = 'I don\'t like this film: 2/10. Na\u00efve, at "best"!'
ENTITIES = ORIGINAL.replace("\u00ef", "&iuml;").replace("'", "&#39;").replace('"', "&quot;")
PIECES = [
    *("Great", "film", "caf\u00e9", "cafe\u0301", "<br />", "<b>", "<", "&lt;", "&nbsp;", "&amp;"),
    *(
        "!",
        "!!!",
        "...",
        "\u2026",
        ".",
        ",",
        ":)",
        "-5",
        "\u2212",
        "\u2014",
        "'",
        "\u2019",
        "\u201c",
    ),
    *(" ", "  ", "\n", "\t", "\u00a0", "\u2028", "\x85", "\x1f", "\u00ad", "\u200b", "\0", "\x92"),
    *("\u0130", "\u1e9e", "\u03a3", "\ufb01", "\U0001f44d", "\u0939\u093f", "\u3002", "C++"),
]
texts = st.lists(
    st.one_of(
        st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    ),
    max_size=8,
).map("".join)


def identity(text: str) -> bytes:
    return content_hash(text, CURRENT_IDENTITY)


@pytest.mark.parametrize(
    "copy",
    [
        *(
            ORIGINAL.lower(),
            ORIGINAL.upper(),
            f"  {ORIGINAL}\r\n\r\n",
            f"<p class='x'>{ORIGINAL}</p>",
        ),
        *(ORIGINAL.replace(" ", "  \u00a0"), ORIGINAL.replace(" ", "<br />"), ENTITIES),
        ORIGINAL.replace(" ", "\n"),
        unicodedata.normalize("NFD", ORIGINAL),
        ORIGINAL.replace("'", "\u2019").replace(' "', " \u201c").replace('"!', "\u201d!"),
        ORIGINAL.replace("'", "\u00b4").replace("like", "li\u00adke").replace("film", "\ufb01lm"),
        ORIGINAL.replace("I ", "\ufeffI\0").replace("this", "th\u200dis"),
    ],
)
def test_copies_have_one_identity(copy: str) -> None:
    assert identity(copy) == identity(ORIGINAL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("Great film.", "great film"), ("Great film...", "Great film"), ("5.", "5")),
        *(("Great!!!!!", "Great!!"), ("Why??? No", "Why?? No"), ("well\u2026 no", "well... no")),
        *(("one \u2014 two", "one - two"), ("\u22125 degrees", "-5 degrees")),
        *(
            ("Stra\u00dfe", "STRASSE"),
            ("\u4e0d\u597d\u3002", "\u4e0d\u597d"),
            ("\u2764\ufe0f", "\u2764"),
        ),
    ],
)
def test_marks_that_nobody_means_are_not_content(one: str, other: str) -> None:
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("C++", "C#"), ("C", "C++"), ("-5", "5"), ("1.50", "150"), ("1-0", "10"), ("4.5", "45")),
        *((":)", ":("), (":-)", ";-)"), ("\U0001f44d", "\U0001f44e"), ("\U0001f600", "")),
        *(("now here", "nowhere"), ("no table", "notable"), ("n o", "no"), ("a.b", "ab")),
        *(
            ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u0928\u0926"),
            ("\u0915\u093f", "\u0915\u0940"),
        ),
        *(
            ("x\u00b2", "x2"),
            ("resume", "r\u00e9sum\u00e9"),
            ("Great!", "Great"),
            ("Great!", "Great!!"),
        ),
        *(
            ("Great?", "Great!"),
            ("5 < 6 > 4 films", "5 < 6 > 3 films"),
            ("5%", "5"),
            ("$5", "\u20ac5"),
        ),
        *(("...", "!!!"), (".", "..."), ("\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469")),
        *(("#good", "good"), ("it's", "its"), ("5'", '5"'), ("1,5", "15"), ("(a)", "a")),
    ],
)
def test_what_a_model_could_tell_apart_has_two_identities(one: str, other: str) -> None:
    assert identity(one) != identity(other)


@many_examples
@given(texts)
def test_the_normal_form_case_and_white_space_are_not_content(text: str) -> None:
    assert identity(normal_form(text)) == identity(text)
    assert identity(unicodedata.normalize("NFD", text)) == identity(text)
    assert identity(f"\n {text}\u00a0") == identity(text)
    assert len(identity(text)) == HASH_BYTES


@many_examples
@given(st.lists(texts, max_size=6), st.sampled_from([1, CURRENT_IDENTITY]))
def test_many_texts_have_the_identities_that_each_of_them_has(
    several: list[str], version: int
) -> None:
    column = pa.chunked_array([several[:2], several[2:]], pa.string())

    found = content_hashes(column, version)

    assert found.type == pa.binary(HASH_BYTES)
    assert found.to_pylist() == [content_hash(text, version) for text in several]


def test_the_identities_of_known_texts_never_change() -> None:
    mixed = "Stra\u00dfe <br /> \u041a\u0418\u041d\u041e \u2014 4,2 &amp; \U0001f44d\ufe0f!!!"
    known = {
        "A great film.": "b4e2a3577302c117b32efc8fd1cde17a",
        ORIGINAL: "d8cc264b622f51974d6c15f34810f2cd",
        mixed: "3502ee51bc890ced52993079fe74b7d2",
    }

    assert {text: identity(text).hex() for text in known} == known


def test_french_texts_in_both_forms_of_unicode_are_each_other_s_duplicates() -> None:
    nouns = (
        "th\u00e9\u00e2tre",
        "cin\u00e9ma",
        "no\u00ebl",
        "gar\u00e7on",
        "ma\u00eftre",
        "\u0153uvre",
    )
    verbs = ("\u00e9tait", "para\u00eet", "d\u00e9\u00e7oit", "pla\u00eet", "\u00e9meut")
    words = ("tr\u00e8s", "\u00e0 peine", "d\u00e9j\u00e0", "peut-\u00eatre", "bient\u00f4t")
    composed = [
        f"Le {noun} {verb} {word}, n\u00b0 {n}."
        for noun in nouns
        for verb in verbs
        for word in words
        for n in (1, 2)
    ]
    decomposed = [unicodedata.normalize("NFD", text) for text in composed]
    assert len({*composed, *decomposed}) == 600

    hashes = content_hashes([*composed, *decomposed], CURRENT_IDENTITY).to_pylist()

    assert len(set(hashes)) == 300
    assert hashes[:300] == hashes[300:]


def test_an_identity_of_a_later_release_is_refused_with_the_versions_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"identity is version 3, .* knows versions 1 to 2"):
        content_hashes(["a"], 3)
    with pytest.raises(ValueError, match="identity is version 0"):
        content_hash("a", 0)


def test_a_problem_s_texts_have_version_1_until_another_is_asked_for(problem: Problem) -> None:
    inputs = TextInputs(problem)
    column = pa.array(["C++ is good", "C# is good"], pa.large_string())

    assert inputs.content_hash("C++ is good") == inputs.content_hash("C# is good")
    assert len(set(inputs.content_hashes(column, 1).to_pylist())) == 1
    assert len(set(inputs.content_hashes(column, CURRENT_IDENTITY).to_pylist())) == 2


@some_examples
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), st.floats(0, 1))
def test_records_have_the_identity_of_their_values(colour: str, width: float) -> None:
    inputs = TabularInputs({"colour": "category", "width": "number"})
    record = {"colour": colour, "width": width}
    column = pa.array([record, record | {"width": width + 1}], inputs.column.type)

    for version in (1, CURRENT_IDENTITY):
        same, other = inputs.content_hashes(column, version).to_pylist()
        assert same == inputs.content_hash(record, version) != other


def test_one_category_in_two_encodings_has_one_identity_in_version_2() -> None:
    inputs = TabularInputs({"colour": "category"})
    values = ["d\u00e9j\u00e0 vu", "de\u0301ja\u0300 vu ", "d&eacute;j&agrave;&nbsp;vu"]
    column = pa.array([{"colour": value} for value in values], inputs.column.type)

    assert len(set(inputs.content_hashes(column, 1).to_pylist())) == 3
    assert len(set(inputs.content_hashes(column, CURRENT_IDENTITY).to_pylist())) == 1
    assert inputs.content_hash({"colour": "A"}, 2) != inputs.content_hash({"colour": "a"}, 2)
