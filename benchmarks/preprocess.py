"""Preprocessing: our normaliser and counter against NLTK and CountVectorizer.

python -m benchmarks.preprocess

Both sides turn the 25,000 IMDb reviews into the same tokens (lower case, URLs, punctuation,
numbers, stop words, noun lemmas) and those into a matrix of unigram counts, each with the texts
as it gets them in its pipeline: an Arrow array for us, a pandas series for the peer. The peer
cleans them with one pandas `apply` per step, as tutorials teach it.

Each measurement is a process of its own; imports and reading the texts are not timed. *Cold* is
our first pass, reading of the lemma table included; *warm* is the second. The peer has its
WordNet loaded before its time starts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Any
from unicodedata import category

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse

from benchmarks.common import interleave, medians, parser, read_reviews, write_json
from perennial.text.normal_form import normal_form

OURS, COPIED, ONCE = "ours", "peer, stop words per row", "peer, stop words once"


@dataclass(frozen=True)
class Counted:
    """The documents as one side sees them: words, and counts of them."""

    words: NDArray[np.object_]
    counts: sparse.csr_array


@dataclass(frozen=True)
class Measured:
    """The seconds of one pass or two, and what came out of the last one."""

    seconds: dict[str, float]
    tokens: list[str] = field(repr=False)
    counted: Counted = field(repr=False)


@dataclass(frozen=True)
class Agreement:
    """How far the two sides do the same.

    Attributes
    ----------
    documents, outside_ascii : int
        All documents, and those that are not ASCII alone.
    different : int
        Documents with other tokens.
    unexplained : int
        Those of them that still differ when the peer gets texts in normal form and without what
        only we know for punctuation or digits, that is, outside ASCII.
    same_counts : bool
        Whether the counts of the documents with the same tokens are equal.
    """

    documents: int
    outside_ascii: int
    different: int
    unexplained: int
    same_counts: bool


def measure_ours() -> Measured:
    """Go from texts to counts twice; the first time nothing is remembered."""
    from perennial.text.ngrams import NgramCounter
    from perennial.text.normalizer import TextNormalizer

    texts = read_reviews()["text"].combine_chunks()
    seconds: dict[str, float] = {}
    for temperature in ("cold", "warm"):
        start = time.perf_counter()
        tokens = TextNormalizer(html=False).transform(texts)
        normalised = time.perf_counter()
        counter = NgramCounter()
        counts = counter.fit_transform(tokens)
        counted = time.perf_counter()
        seconds |= {f"normalise {temperature}": normalised - start}
        seconds |= {f"matrix {temperature}": counted - start}
    joined = [" ".join(words) for words in tokens]
    return Measured(seconds, joined, Counted(counter.get_feature_names_out(), counts))


def measure_peer(*, stop_words_per_row: bool) -> Measured:
    """Go from texts to counts as the tutorials do."""
    import pandas as pd
    from sklearn.feature_extraction.text import CountVectorizer

    from benchmarks.tutorial.clean import clean_text

    _load_corpora()
    texts = pd.Series(read_reviews()["text"].to_pylist())
    start = time.perf_counter()
    cleaned = clean_text(texts, stop_words_per_row=stop_words_per_row)
    normalised = time.perf_counter()
    # Its own pattern would drop words of one letter, which are tokens here.
    vectorizer = CountVectorizer(token_pattern=r"\S+", lowercase=False)  # noqa: S106
    counts = vectorizer.fit_transform(cleaned)
    counted = time.perf_counter()
    seconds = {"normalise": normalised - start, "matrix": counted - start}
    names = vectorizer.get_feature_names_out()
    return Measured(seconds, cleaned.to_list(), Counted(names, sparse.csr_array(counts)))


def _load_corpora() -> None:
    """Let NLTK find its corpora, and read WordNet into memory."""
    import nltk

    from benchmarks.tutorial.clean import lemmatize
    from benchmarks.tutorial.nltk_data import ensure_nltk_data

    nltk.data.path.insert(0, str(ensure_nltk_data()))
    lemmatize("films")


def compare(ours: Measured, peer: Measured) -> Agreement:
    """Compare tokens document by document, and the counts of all documents that agree."""
    texts = read_reviews()["text"].to_pylist()
    pairs = zip(ours.tokens, peer.tokens, strict=True)
    same = np.array([mine == other for mine, other in pairs])
    different = np.flatnonzero(~same)
    explained = _clean_plain([normal_form(texts[i]) for i in different])
    return Agreement(
        documents=len(texts),
        outside_ascii=sum(not text.isascii() for text in texts),
        different=len(different),
        unexplained=sum(
            ours.tokens[i] != found for i, found in zip(different, explained, strict=True)
        ),
        same_counts=_equal(_restrict(ours.counted, same), _restrict(peer.counted, same)),
    )


def _clean_plain(texts: list[str]) -> list[str]:
    """Let the peer clean texts that have no punctuation and special digits outside ASCII."""
    import pandas as pd

    from benchmarks.tutorial.clean import clean_text

    _load_corpora()
    cleaned: list[str] = clean_text(pd.Series([_plain(text) for text in texts])).to_list()
    return cleaned


def _plain(text: str) -> str:
    """Replace marks, symbols and control characters outside ASCII, and drop superscript digits."""
    return "".join(
        c if c.isascii() else "" if c.isdigit() else " " if category(c)[0] in "PSC" else c
        for c in text
    )


def _restrict(counted: Counted, rows: NDArray[np.bool_]) -> Counted:
    """Keep some documents, and the words that occur in them."""
    counts = counted.counts[np.flatnonzero(rows)]
    used = np.unique(counts.indices)
    return Counted(counted.words[used], counts[:, used])


def _equal(ours: Counted, peer: Counted) -> bool:
    return np.array_equal(ours.words, peer.words) and (ours.counts != peer.counts).nnz == 0


def _apart(measure: Callable[[], Measured]) -> Measured:
    """Measure in a new process, whose memory holds nothing of an earlier round."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(measure).result()


def figures_of(measured: dict[str, list[Measured]], agreement: Agreement) -> dict[str, Any]:
    """Return what is written as JSON."""
    seconds = {name: medians([m.seconds for m in rounds]) for name, rounds in measured.items()}
    ours, copied, once = (seconds[name] for name in (OURS, COPIED, ONCE))
    return {
        "ratio": copied["normalise"] / ours["normalise cold"],
        "ratio_warm": copied["normalise"] / ours["normalise warm"],
        "ratio_stop_words_once": once["normalise"] / ours["normalise cold"],
        "ratio_matrix": copied["matrix"] / ours["matrix cold"],
        "ratio_matrix_warm": copied["matrix"] / ours["matrix warm"],
        "ratio_matrix_stop_words_once": once["matrix"] / ours["matrix cold"],
        "seconds": seconds,
        "rounds": len(measured[OURS]),
        "agreement": vars(agreement),
    }


def show(figures: dict[str, Any], agreement: Agreement) -> None:
    """Print the figures and the agreement."""
    table = Table(
        title=f"{agreement.documents:,} film reviews, median of {figures['rounds']} rounds",
        title_justify="left",
    )
    for name in ("", "texts to tokens, s", "x", "texts to counts, s", "x"):
        table.add_column(name, justify="right" if name else "left")
    best = figures["seconds"][OURS]
    for name, seconds in figures["seconds"].items():
        for way in ("cold", "warm") if name == OURS else ("",):
            tokens, counts = (seconds[f"{work} {way}".strip()] for work in ("normalise", "matrix"))
            table.add_row(
                f"{name} {way}",
                f"{tokens:.2f}",
                f"{tokens / best['normalise cold']:.1f}",
                f"{counts:.2f}",
                f"{counts / best['matrix cold']:.1f}",
            )
    share = agreement.different / agreement.documents
    Console().print(
        table,
        f"{agreement.different:,} documents ({share:.1%}) have other tokens, all but "
        f"{agreement.unexplained} of them for two reasons: we bring texts into a normal form, and "
        "dashes, symbols and superscript digits outside ASCII are punctuation and digits for us, "
        f"and letters for the peer ({agreement.outside_ascii:,} documents are not ASCII alone). "
        "The counts of all "
        f"other documents are {'equal' if agreement.same_counts else 'NOT EQUAL'}.",
    )


def main() -> None:
    """Measure, compare, and exit with 1 if the two sides do not do the same."""
    options = parser(__doc__).parse_args()
    ways: dict[str, Callable[[], Measured]] = {
        OURS: measure_ours,
        COPIED: partial(measure_peer, stop_words_per_row=True),
        ONCE: partial(measure_peer, stop_words_per_row=False),
    }
    measured = interleave(options.rounds, {name: partial(_apart, w) for name, w in ways.items()})
    agreement = compare(measured[OURS][0], measured[ONCE][0])
    figures = figures_of(measured, agreement)
    write_json(options.json, figures)
    show(figures, agreement)
    if agreement.unexplained or not agreement.same_counts:
        sys.exit("The two sides do not do the same work; the ratios mean nothing.")


if __name__ == "__main__":
    main()
