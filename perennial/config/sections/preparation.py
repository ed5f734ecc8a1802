"""The ``preparations:`` part of a problem: how its texts are normalised."""

from __future__ import annotations

from typing import Literal

from perennial.schema import Schema

StopWords = Literal["keep", "drop", "drop_except_negations"]
Contractions = Literal["split", "keep", "expand"]
Lemmas = Literal["none", "noun", "verb", "adjective", "adverb"]


class Preparation(Schema):
    """Which normalisation steps are on; `perennial.text.normalizer` says what each does."""

    normal_form: bool = True
    lowercase: bool = True
    html: bool = True
    urls: bool = True
    punctuation: bool = True
    numbers: bool = True
    stop_words: StopWords = "drop"
    lemmas: Lemmas = "noun"
    contractions: Contractions = "split"
    emphasis: bool = False
