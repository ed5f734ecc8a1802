"""Candidates for unknown data: what suits its language and its labels, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate
from perennial.packages.extras import Extra
from perennial.text.analyzer import choose_analyzer
from tests.perennial.profile.tables import choices, draft

N = 150
ENGLISH = (
    *("the", "money", "that", "you", "have", "sent", "to", "me", "is", "not"),
    *("on", "it", "yet"),
)
RUSSIAN = (
    *("деньги", "которые", "вы", "мне", "отправили", "ещё"),
    *("не", "пришли", "на", "счёт", "банке"),
)

# With letters as frequent as in the language.
SAID_IN_ENGLISH = (
    "the money that you have sent to me is not on my account yet and nobody could say when it will "
    "be there please tell me what has happened and whether there is anything else to do about this "
    "because the rest of the family also needs their cards for a longer journey in spring"
)
CHINESE = ("这本书写得很好", "内容也不错", "质量太差", "非常失望", "下次还会来", "房间很干净")


def _drafted(words: Sequence[str], length: int, labels: int) -> tuple[Problem, list[str]]:
    texts = [" ".join(choices(words, length, seed)) for seed in range(N)]
    names = [f"label {place}" for place in range(labels)]
    found = draft({"text": texts, "label": choices(names, N)}, label="label", text="text")
    return found.problem, texts


@pytest.mark.parametrize("words", [ENGLISH, RUSSIAN], ids=["English", "Russian"])
@pytest.mark.parametrize("length", [6, 60])
@pytest.mark.parametrize("labels", [2, 4])
def test_no_model_is_fitted_twice(words: Sequence[str], length: int, labels: int) -> None:
    problem, texts = _drafted(words, length, labels)
    counted: Any = choose_analyzer(pa.array(texts, pa.large_string())).analyzer

    candidates = problem.with_analyzer(counted).candidates.values()

    written = [str(each.model_dump()) for each in candidates]
    assert len(set(written)) == len(written) >= 3


def test_longer_texts_of_many_labels_are_also_counted_by_characters() -> None:
    short, _ = _drafted(ENGLISH, 6, 4)
    long, _ = _drafted(ENGLISH, 60, 4)

    assert "svm-both" in long.candidates
    assert "svm-both" not in short.candidates


def test_punctuation_stays_in_other_languages_with_spaces_than_english() -> None:
    english, _ = _drafted(ENGLISH, 20, 2)
    russian, _ = _drafted(RUSSIAN, 20, 2)

    assert english.preparations["plain"].punctuation
    chinese, _ = _drafted(CHINESE, 20, 2)
    assert not russian.preparations["plain"].punctuation
    assert chinese.preparations["plain"].punctuation


def _embedding(length: int, missing: Callable[[Extra], list[str]], **changes: Any) -> str | None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("perennial.profile.candidates.missing_for", missing)
        for name, value in changes.items():
            patched.setattr(f"perennial.profile.candidates.{name}", value)
        problem, _ = _drafted(SAID_IN_ENGLISH.split(), length, 4)
    candidate = problem.candidates.get("embedded")
    assert candidate is None or isinstance(candidate, Candidate)
    return None if candidate is None else candidate.features.embedding


def test_sentences_are_read_as_a_whole_where_that_is_installed_and_takes_two_minutes() -> None:
    def without(*extras: str) -> Callable[[Extra], list[str]]:
        return lambda extra: ["a package"] if extra in extras else []

    assert _embedding(20, without()) == "sentence"
    assert _embedding(20, without("embeddings")) == "sentence"
    assert _embedding(20, without("sentences")) == "static"
    assert _embedding(20, without("embeddings", "sentences")) is None
    # Two of these seconds are the reading of 150 texts of 28 parts.
    assert _embedding(20, without(), _SECONDS=2.5) == "sentence"
    assert _embedding(20, without(), _SECONDS=1.5) == "static"
    assert _embedding(20, without("embeddings"), _SECONDS=1.5) is None


def test_other_languages_than_english_get_no_vectors_of_english() -> None:
    problem, _ = _drafted(RUSSIAN, 20, 4)

    assert "embedded" not in problem.candidates
