"""Writes the table of `perennial.text.lemmatizer` from WordNet: `python -m tools.build_lemmas`."""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.wordnet import ensure_wordnet, nltk_lemmatize

DATA = Path(__file__).resolve().parents[1] / "perennial" / "text" / "data"

_FILE_NAMES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}


def build_table(nltk_data: Path) -> bytes:
    """Return the bytes of `wordnet_lemmas.xz`, the same ones for the same WordNet.

    `perennial.text.lemmatizer` describes the format. NLTK itself says which words are irregular.
    """
    corpus = nltk_data / "corpora" / "wordnet"
    lemmatize = nltk_lemmatize(nltk_data)
    lines = []
    for pos, name in _FILE_NAMES.items():
        lemmas = single_words(corpus / f"index.{name}")
        exceptions = single_words(corpus / f"{name}.exc")
        answers = {word: lemmatize(word, pos) for word in sorted(lemmas | exceptions)}
        lines += [" ".join(sorted(lemmas)), " ".join(_irregular_pairs(answers, lemmas))]
    return lzma.compress("".join(f"{line}\n" for line in lines).encode())


def single_words(path: Path) -> set[str]:
    """Return what the lines of an index or exception file of WordNet begin with, no compounds."""
    lines = path.read_text(encoding="utf-8").splitlines()
    # Lines that begin with a space are the licence.
    words = {line.split()[0] for line in lines if not line.startswith(" ")}
    return {word for word in words if "_" not in word}


def _irregular_pairs(answers: dict[str, str], lemmas: set[str]) -> Iterator[str]:
    """Yield word and lemma in turn for all words but the lemmas that are their own lemma."""
    for word, lemma in answers.items():
        if word not in lemmas or lemma != word:
            yield word
            yield lemma


def main() -> None:
    """Write the table and WordNet's licence beside it."""
    nltk_data = ensure_wordnet()
    DATA.mkdir(exist_ok=True)
    table = DATA / "wordnet_lemmas.xz"
    table.write_bytes(build_table(nltk_data))
    shutil.copyfile(nltk_data / "corpora" / "wordnet" / "LICENSE", DATA / "LICENSE-WORDNET")
    print(f"{table}: {table.stat().st_size} bytes")


if __name__ == "__main__":
    main()
