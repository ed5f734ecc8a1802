"""What people do not mean to distinguish has one normal form; what they do mean stays."""

from __future__ import annotations

import unicodedata
from html import escape

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.text.normal_form import aligned_normal_form, normal_form, normal_forms
from tests.perennial.examples import many_examples

FRAGMENTS = [
    *(
        "film",
        "caf\u00e9",
        "cafe\u0301",
        "\ud55c\uad6d",
        "\u1112\u1161\u11ab",
        "\u0915\u093f",
        "R&D",
    ),
    *(
        "&amp;",
        "&amp;amp;",
        "&#38;",
        "&#x26;",
        "&",
        "#",
        "amp;",
        "39;",
        "&nbsp;",
        "&#39;",
        "&lt;br&gt;",
    ),
    *("&copy", "&copy;", "&#0;", "&#xD800;", "&#1114112;", "&CounterClockwiseContourIntegral;"),
    *("\u00ad", "\u200b", "\u200c", "\u200d", "\ufeff", "\u202e", "\ufe0f", "\u0e01", "\U000e0067"),
    *("\U0001f468", "\u2764", "\U0001f3f4", "\U000e007f", "\U0001f1eb", "\u20e3", "1"),
    *("'", "`", "\u00b4", "\uff07", "\u2019", "\u201c", "\u00ab", "\u2032", "\u02bc", "\u1fef"),
    *(
        "\ufb01",
        "\uff21",
        "\uff06",
        "\uff1c",
        "\uff76",
        "\uff9e",
        "\U0001d7d3",
        "\u2160",
        "\u00b2",
        "\u0133",
    ),
    *(
        "\x00",
        "\x1b",
        "\x7f",
        "\x85",
        "\x92",
        "\x81",
        " ",
        "\n",
        "\u2028",
        "\u3000",
        "<br />",
        "\ufdfa",
    ),
    *("\u0344", "\u0f73", "\u0f71", "\u0327", "\u212b", "\u0374", "\u037e", "\u0958", "\ufb2c"),
]
texts = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=10).map(
    "".join
)


@pytest.mark.parametrize(
    "alike",
    [
        ["clich\u00e9", "cliche\u0301", "clich&eacute;", "cli\u00adch\u00e9", "cliche&#769;"],
        ["not\u00a0good", "not&nbsp;good", "not&#160;good", "not&amp;nbsp;good", "not&#xA0;good"],
        ["not good", "not\x00good", "not\x7fgood", "not&#0;good", "not\u0081good"],
        ["don't", "don&#39;t", "don&apos;t", "don\u00b4t", "don`t", "don\uff07t", "don\u2019t"],
        ["don't", "don\u02bct", "don\u2032t", "don\x92t", "don&#146;t", "don&rsquo;t", "don&#39t"],
        ["good", "go\u200dod", "go\u200bod", "\ufeffgood", "go\u2060od", "\u202agood\u202c"],
        ["good film", "go&shy;od film", "good \ufb01lm", "\uff47\uff4f\uff4f\uff44 film"],
        ["good 5", "\U0001d420\U0001d428\U0001d428\U0001d41d \uff15", "good \U0001d7d3"],
        ["Rocky II!", "Rocky \u2161\uff01"],
        ["\u30ac", "\uff76\uff9e", "\u30ab\u3099"],
        ["\ud55c", "\u1112\u1161\u11ab"],
        [
            "\"a\" 'b'",
            "\u201ca\u201d \u2018b\u2019",
            "\u00aba\u00bb \u2039b\u203a",
            "&ldquo;a&rdquo; 'b'",
        ],
        ["\u2764", "\u2764\ufe0f"],
        ["AT&T", "AT&amp;T", "AT&amp;amp;amp;T", "AT&#38;#38;T"],
        ["\u0e01 \u0e02", "\u0e01\u200b\u0e02"],
    ],
)
def test_texts_that_people_mean_to_be_the_same_have_one_normal_form(alike: list[str]) -> None:
    assert len(set(map(normal_form, alike))) == 1


@pytest.mark.parametrize(
    "kept",
    [
        *(
            "x\u00b2 and \u00bd",
            "\u2460 and \u24d0",
            "Good",
            "a  b\r\n\tc",
            "<b>bold</b>",
            "<3",
            "AT&T",
        ),
        *("?a=1&copy=2&not=3", "&notanentity;", "R&D;", "`code` and 5\u203211\u2033", "\u00b4"),
        *(
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
            "\u2764\u200d\U0001f525",
            "\u0915\u093f\u0924\u093e\u092c",
        ),
        *(
            "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
            "\U0001f1eb\U0001f1f7",
        ),
        *(
            "\u3131\u3131",
            "\u0e19\u0e49\u0e33",
            "\uff06\uff1c\uff1e",
            "\ufdfa",
            "\ufffd",
            "\u2014",
            "\u2026",
        ),
    ],
)
def test_what_people_may_mean_stays(kept: str) -> None:
    assert normal_form(kept) == kept


@many_examples
@given(texts)
def test_the_normal_form_of_a_normal_form_is_the_same_and_composed(text: str) -> None:
    form = normal_form(text)

    assert normal_form(form) == form
    assert unicodedata.is_normalized("NFC", form)


@many_examples
@given(texts)
def test_neither_decomposed_nor_escaped_texts_differ(text: str) -> None:
    # A character of HTML that stands for another one is one only where its text is no HTML yet.
    form = normal_form(text)

    assert normal_form(unicodedata.normalize("NFD", text)) == form
    assert normal_form(escape(form)) == form


@many_examples
@given(st.lists(texts.map(lambda text: text.encode("utf-8", "replace").decode()), max_size=6))
def test_many_texts_have_the_normal_forms_that_each_of_them_has(several: list[str]) -> None:
    column = pa.array(["before", *several, "after"], pa.large_string()).slice(1, len(several))

    assert normal_forms(column).to_pylist() == [normal_form(text) for text in several]


def test_no_character_is_passed_over_because_of_its_bytes() -> None:
    every = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]

    # With a soft hyphen a text is looked at as a whole.
    for character in every:
        assert normal_form(f"e{character}'") == normal_form(f"e{character}'\u00ad")


@many_examples
@given(texts)
def test_each_character_of_the_normal_form_says_where_it_comes_from(text: str) -> None:
    aligned = aligned_normal_form(text)

    assert aligned.text == normal_form(text)
    places = list(zip(aligned.starts, aligned.ends, strict=True))
    assert len(places) == len(aligned.text)
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert places == sorted(places)
    for character, (start, end) in zip(aligned.text, places, strict=True):
        if end - start == 1 and character.isalnum() and character.isascii():
            assert text[start] == character or not text[start].isascii()


def test_a_text_that_was_encoded_without_end_has_no_entities_left() -> None:
    chained = "&" + "amp;" * 20_000 + "lt;"
    nested = "5"
    for _ in range(1_000):
        nested = f"&#{nested}3;"

    assert normal_form(chained) == "<"
    assert "&" not in normal_form(nested)


@pytest.mark.parametrize("empty", [[], [""], ["", "", "\u00ad"], ["a", "", "b&amp;"]])
def test_empty_texts_are_texts(empty: list[str]) -> None:
    forms = normal_forms(pa.array(empty, pa.large_string()))

    assert forms.to_pylist() == [normal_form(text) for text in empty]
