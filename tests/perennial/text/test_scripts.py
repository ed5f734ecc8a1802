"""Words are counted in every script, and what suits a language is chosen by its texts."""

from __future__ import annotations

import pyarrow as pa
import pytest

from perennial.text.analyzer import choose_analyzer
from perennial.text.scripts import count_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a good film", 3),
        ("don't", 2),
        ("很好看", 3),
        ("非常好\uff01", 3),
        ("この映画は最高", 7),
        ("ดีมาก", 4),
        ("좋은 영화 입니다", 3),
        ("iPhone很好", 3),
        ("<br />很<br />", 1),
        ("очень хороший фильм", 3),
        ("😀 !", 0),
        ("", 0),
    ],
)
def test_a_word_is_what_stands_between_spaces_or_a_character_where_there_are_none(
    text: str, words: int
) -> None:
    assert count_words(text, 100) == words


def test_no_more_words_are_counted_than_asked_for() -> None:
    assert count_words("很好看" * 1000, 5) == 5


ENGLISH = "It was not what I had hoped for, and yet there is a scene in it that I will keep."
GERMAN = (
    "Der Film war nicht das, was ich mir erhofft hatte, und doch gibt es in der Mitte eine Szene."
)
RUSSIAN = (
    "Фильм оказался не тем, на что я надеялся, но в середине есть сцена, которую я запомню надолго."
)


@pytest.mark.parametrize(
    ("texts", "analyzer"),
    [
        ([ENGLISH], "words"),
        ([GERMAN], "both"),
        ([RUSSIAN], "both"),
        (["这部电影的故事很好看\uff0c演员也不错。"], "characters"),
        (["この映画はとても面白かったです。"], "characters"),
        (["ภาพยนตร์เรื่องนี้สนุกมาก"], "characters"),
        (["my card has not arrived"], "both"),
        (["Jasna Horvat"], "both"),
        ([ENGLISH, ENGLISH, "这部电影"], "words"),
        ([""], "both"),
        ([], "both"),
    ],
)
def test_what_is_counted_suits_the_texts(texts: list[str], analyzer: str) -> None:
    chosen = choose_analyzer(pa.array(texts * 10, pa.large_string()))

    assert chosen.analyzer == analyzer
    assert chosen.reason
