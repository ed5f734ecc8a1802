"""The language of texts is found where it is clear, and of few texts, too."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.profile.languages import likely_language


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_short_texts_tell_that_they_are_english(
    seed: int, snippets: list[tuple[str, int]]
) -> None:
    drawn = np.random.default_rng(seed).permutation(len(snippets))[:100]

    assert likely_language([snippets[place][0] for place in drawn]) == "English"


DUTCH = (
    "De bank heeft het geld van de rekening of de kaart niet op tijd gestuurd, en dat is niet de "
    "eerste keer dat ik hierop moet wachten met mijn hele familie."
)
GERMAN = (
    "Das Geld, das Sie mir geschickt haben, ist noch nicht auf dem Konto, und niemand konnte mir "
    "sagen, wann es da ist und was ich sonst noch tun kann."
)
SPANISH = (
    "El dinero que me ha enviado no ha llegado a mi cuenta, y nadie ha podido decirme cuando llega "
    "o que puedo hacer con la tarjeta de mi familia."
)


@pytest.mark.parametrize("text", [DUTCH, GERMAN, SPANISH], ids=["Dutch", "German", "Spanish"])
def test_other_languages_are_not_taken_for_english(text: str) -> None:
    assert likely_language([text] * 3) != "English"


def test_a_few_words_tell_no_language() -> None:
    assert likely_language(["the film", "and that"]) is None
