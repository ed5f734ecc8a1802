"""`perennial.text.lemmatizer` gives what NLTK's WordNetLemmatizer gives, word for word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.text.lemmatizer import load_lemmas
from tests.perennial.conftest import EVERY
from tests.searches import tried
from tools.build_lemmas import DATA, build_table, single_words

Lemmatize = Callable[[str, str], str]

FILE_NAMES = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}

# What is put after a word, and what is put in the place of its last letter.
ENDINGS = {
    "n": (("s", "es", "ses", "men"), ("ies", "ves", "men")),
    "v": (("s", "es", "ed", "ing"), ("ies", "ied", "ed", "ing")),
    "a": (("er", "est"), ("ier", "iest", "er", "est")),
    "r": (("s", "er", "est"), ("ier", "iest")),
}

SUFFIXES = "s es ses ves xes zes ches shes ies men ed ing er est"

# Short English stems are often in WordNet; arbitrary ones hardly ever.
stems = st.one_of(
    st.text(ascii_lowercase, max_size=4),
    st.text(st.characters(categories=["L", "N"], include_characters="'-.")),
)
words = st.builds(str.__add__, stems, st.sampled_from(["", *SUFFIXES.split()]))


def wordnet_words(nltk_data: Path, pos: str) -> set[str]:
    corpus = nltk_data / "corpora" / "wordnet"
    name = FILE_NAMES[pos]
    return single_words(corpus / f"index.{name}") | single_words(corpus / f"{name}.exc")


def inflections(stems: Iterable[str], pos: str) -> Iterator[str]:
    after, instead = ENDINGS[pos]
    for stem in stems:
        yield from (stem + ending for ending in after)
        yield from (stem[:-1] + ending for ending in instead)


def mismatches(lemmatize: Lemmatize, forms: Iterable[str], pos: str) -> dict[str, tuple[str, str]]:
    ours = load_lemmas().lemmatize
    answers = ((form, ours(form, pos), lemmatize(form, pos)) for form in forms)
    return {form: (our, nltks) for form, our, nltks in answers if our != nltks}


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("pos", FILE_NAMES)
def test_every_word_of_wordnet_has_the_lemma_nltk_gives(
    pos: str, every: int, nltk_data: Path, nltk_says: Lemmatize
) -> None:
    forms = set[str]().union(*(wordnet_words(nltk_data, other) for other in FILE_NAMES))

    assert len(forms) > 80_000
    assert mismatches(nltk_says, sorted(forms)[::every], pos) == {}


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("pos", ENDINGS)
def test_every_inflection_has_the_lemma_nltk_gives(
    pos: str, every: int, nltk_data: Path, nltk_says: Lemmatize
) -> None:
    forms = set(inflections(wordnet_words(nltk_data, pos), pos))

    assert mismatches(nltk_says, sorted(forms)[::every], pos) == {}


@tried(10)
@given(word=words, pos=st.sampled_from("nvasr"))
def test_any_word_at_all_has_the_lemma_nltk_gives(
    nltk_says: Lemmatize, word: str, pos: str
) -> None:
    assert load_lemmas().lemmatize(word, pos) == nltk_says(word, pos)


@pytest.mark.parametrize(
    ("word", "pos", "lemma"),
    [
        ("movies", "n", "movie"),
        ("went", "v", "go"),
        ("better", "a", "good"),
        ("better", "s", "good"),
        ("women", "n", "woman"),
        ("was", "n", "wa"),
        ("us", "n", "u"),
        ("has", "n", "ha"),
        ("Movies", "n", "Movies"),
        ("bases-on-balls", "n", "base_on_balls"),
        ("offer", "a", "offer"),
        ("", "n", ""),
    ],
)
def test_known_lemmas_and_oddities(word: str, pos: str, lemma: str) -> None:
    assert load_lemmas().lemmatize(word, pos) == lemma


def test_words_are_nouns_unless_told_otherwise() -> None:
    assert load_lemmas().lemmatize("leaves") == load_lemmas().lemmatize("leaves", "n")


def test_an_unknown_part_of_speech_is_refused() -> None:
    with pytest.raises(KeyError):
        load_lemmas().lemmatize("movies", "x")


def test_the_table_is_read_once() -> None:
    assert load_lemmas() is load_lemmas()


@pytest.mark.usefixtures("nltk_says")
def test_building_the_table_again_gives_the_committed_bytes(nltk_data: Path) -> None:
    # Compared outside the assert: pytest would try to draw the difference of 280 kB.
    same = build_table(nltk_data) == (DATA / "wordnet_lemmas.xz").read_bytes()
    assert same, "run `python -m tools.build_lemmas` and commit the table"
