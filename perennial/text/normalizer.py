"""Text normalisation: raw documents to tokens, equally for training and for serving.

The steps are those that text-classification tutorials teach with NLTK (lower case, URLs,
punctuation, numbers, stop words, WordNet lemmas), each of which can be switched, and the ones that
keep what people express with contractions, negations, ``!`` and ``?``.

Texts are normalised in bulk with Arrow: byte translation and splitting run over whole columns, and
everything that needs Python runs once per distinct word. `TextNormalizer` wraps that for
scikit-learn.
"""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from perennial.concurrency import ahead
from perennial.config.sections.preparation import Contractions, Lemmas, Preparation, StopWords
from perennial.text.arrow import as_texts, slices_of, substitute, translate, without_surrogates
from perennial.text.html import BREAK, TAG
from perennial.text.lemmatizer import load_lemmas
from perennial.text.normal_form import normal_form, normal_forms
from perennial.text.stop_words import NEGATIONS, STOP_WORDS
from perennial.text.tokens import Tokens, ranges

# The switches and their defaults, as a problem's file declares them.
_DEFAULT = Preparation()
_WORDNET_POS = {"noun": "n", "verb": "v", "adjective": "a", "adverb": "r"}
_URL_PATTERN = re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE)
_EMPHASIS_PATTERN = re.compile(r"[!?]|[^!?]+")
_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc"), "'")
_ENDINGS = {"'re": "are", "'ll": "will", "'ve": "have", "'m": "am", "'d": "would", "'s": "'s"}
_IRREGULAR = {"can't": ("can", "not"), "won't": ("will", "not"), "shan't": ("shall", "not")}

# So many bytes of documents are normalised at a time: temporary memory does not grow with the data.
_CHUNK = 1 << 23
# A service sees new words forever (typing errors, names); its memo of words must not.
_MEMO_LIMIT = 500_000
# Longer "words" (keys, encoded files) hardly come twice, and few of them would fill the memory.
MEMO_WORD_LENGTH = 64


class TextNormalizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn raw texts into `Tokens`; stateless, so that training and serving cannot differ.

    Parameters
    ----------
    normal_form : bool
        Write what people do not mean to distinguish in one way: NFC, entities, quotes, characters
        that nobody sees; see `perennial.text.normal_form`.
    lowercase : bool
        Lower-case every word.
    html : bool
        Replace HTML tags by a space.
    urls : bool
        Remove ``http://``, ``https://`` and ``www.`` addresses.
    punctuation : bool
        Replace punctuation and symbols, ASCII or not, by a space.
    numbers : bool
        Remove digit characters.
    stop_words : {"keep", "drop", "drop_except_negations"}
        What happens to NLTK's English stop words.
    lemmas : {"none", "noun", "verb", "adjective", "adverb"}
        Replace each word by what NLTK's ``WordNetLemmatizer`` returns for this part of speech.
    contractions : {"split", "keep", "expand"}
        ``don't`` becomes ``don t``, stays one token, or becomes ``do not``.
    emphasis : bool
        Keep each ``!`` and ``?`` as a token of its own.

    Notes
    -----
    The order is: normal form, tags, URLs, punctuation, lower case, contractions, numbers, stop
    words, lemmas. Tutorials often remove punctuation before URLs, which leaves the pieces of the
    URLs behind.
    """

    def __init__(
        self,
        *,
        normal_form: bool = _DEFAULT.normal_form,
        lowercase: bool = _DEFAULT.lowercase,
        html: bool = _DEFAULT.html,
        urls: bool = _DEFAULT.urls,
        punctuation: bool = _DEFAULT.punctuation,
        numbers: bool = _DEFAULT.numbers,
        stop_words: StopWords = _DEFAULT.stop_words,
        lemmas: Lemmas = _DEFAULT.lemmas,
        contractions: Contractions = _DEFAULT.contractions,
        emphasis: bool = _DEFAULT.emphasis,
    ) -> None:
        self.normal_form = normal_form
        self.lowercase = lowercase
        self.html = html
        self.urls = urls
        self.punctuation = punctuation
        self.numbers = numbers
        self.stop_words = stop_words
        self.lemmas = lemmas
        self.contractions = contractions
        self.emphasis = emphasis

    def fit(self, X: object, y: object = None) -> TextNormalizer:
        """Do nothing; a normaliser learns nothing."""
        return self

    def transform(self, X: object) -> Tokens:
        """Normalise raw texts.

        Parameters
        ----------
        X : sequence of str, Arrow string array, or one-column array or frame of str
            The texts, shape (n_documents,).

        Returns
        -------
        Tokens
            The same documents in the same order; a document may have no token left.
        """
        return normalizer(self.preparation).tokens(as_texts(X))

    @property
    def preparation(self) -> Preparation:
        """The parameters as one hashable value."""
        return Preparation(**{name: getattr(self, name) for name in Preparation.model_fields})

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a normaliser; one that was stored before there was a normal form has none."""
        super().__setstate__({"normal_form": False} | state)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


@cache
def normalizer(preparation: Preparation) -> Normalizer:
    """Return the process-wide normaliser of this preparation, with its memo of words."""
    return Normalizer(preparation)


@dataclass(frozen=True, eq=False)
class _Words:
    """The raw words of some texts, each distinct one once, and where each text's words begin."""

    encoded: pa.DictionaryArray
    bounds: NDArray[np.int64]


class Normalizer:
    """The normalisation itself: texts to raw words in bulk, raw words to tokens by memo."""

    def __init__(self, preparation: Preparation) -> None:
        self.preparation = preparation
        self._table = _byte_table(preparation)
        self._lemmatize = load_lemmas().lemmatize
        self._pos = _WORDNET_POS.get(preparation.lemmas)
        self._dropped = {
            "keep": frozenset[str](),
            "drop": STOP_WORDS,
            "drop_except_negations": STOP_WORDS - NEGATIONS,
        }[preparation.stop_words]
        self._memo: dict[str, tuple[str, ...]] = {}

    def tokens(self, texts: pa.LargeStringArray) -> Tokens:
        """Normalise many texts; see `TextNormalizer.transform`."""
        vocabulary: dict[str, int] = {}
        slices = list(slices_of(texts, _CHUNK))
        split = map(self._split, slices)
        chunks = [
            self._chunk(words, vocabulary) for words in (ahead(split) if slices[1:] else split)
        ]
        ids = [ids for ids, _ in chunks] or [np.empty(0, np.int32)]
        lengths = [lengths for _, lengths in chunks] or [np.empty(0, np.int64)]
        offsets = np.concatenate(([0], np.cumsum(np.concatenate(lengths))))
        return Tokens(np.concatenate(ids), offsets.astype(np.int64), tuple(vocabulary))

    def words(self, text: str) -> list[str]:
        """Normalise one text; the same tokens as `tokens` gives for it, sooner for a short text."""
        return [token for word in self.raw_words(text) for token in self.expand(word)]

    def raw_words(self, text: str) -> list[str]:
        """Split one text into raw words, each of which `expand` turns into tokens."""
        cleaned = self._clean(without_surrogates(text))
        return cleaned.encode().translate(self._table).decode().split()

    def blanked(self, text: str) -> str:
        """Return a text without lone surrogates with all that is no part of a token made a space.

        It is in normal form already, if the preparation has one. Its length stays, and so does the
        place of every word, for those who want to show it. The tokens of a text are those of the
        words of its blanked form.
        """
        if self.preparation.html:
            text = TAG.sub(_spaces, text.replace(BREAK, " " * len(BREAK)))
        if self.preparation.urls:
            text = _URL_PATTERN.sub(_spaces, text)
        text = text.translate(dict(enumerate(self._table[:128])))
        return self._without_marks(text)

    def parts(self, word: str) -> list[str]:
        """Split a blanked word so that each ``!`` and ``?`` stands alone where they are tokens."""
        return _EMPHASIS_PATTERN.findall(word) if self.preparation.emphasis else [word]

    def expand(self, word: str) -> tuple[str, ...]:
        """Return the tokens that one whitespace-free raw word stands for, none or more."""
        tokens = self._memo.get(word)
        if tokens is None:
            tokens = self.tokens_of(word)
            if len(word) <= MEMO_WORD_LENGTH:
                if len(self._memo) >= _MEMO_LIMIT:
                    self._memo.clear()
                self._memo[word] = tokens
        return tokens

    def _split(self, texts: pa.LargeStringArray) -> _Words:
        """Split texts into raw words, which are the work of Arrow alone."""
        words = pc.ascii_split_whitespace(translate(self._clean_column(texts), self._table))
        bounds = words.offsets.to_numpy() - words.offsets[0].as_py()
        return _Words(words.flatten().dictionary_encode(), bounds)

    def tokens_of(self, word: str) -> tuple[str, ...]:
        """Do what `expand` does without its memo, for those who keep their own."""
        if word.isascii() and word.isalpha():
            return self._finish(word)
        if not word.isascii():
            word = self._plain(word)
        return tuple(
            token
            for piece in word.split()
            for part in self.parts(piece)
            for token in (self._contraction(part) if "'" in part else (part,))
            for token in self._finish(token)
        )

    def _chunk(
        self, words: _Words, vocabulary: dict[str, int]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return token ids (extending `vocabulary`) and the number of tokens of each text."""
        expanded = [self.expand(word) for word in words.encoded.dictionary.to_pylist()]
        flat = [vocabulary.setdefault(t, len(vocabulary)) for tokens in expanded for t in tokens]
        counts = np.fromiter(map(len, expanded), np.int64, len(expanded))
        starts = np.cumsum(counts) - counts

        word_ids = words.encoded.indices.to_numpy()
        word_counts = counts[word_ids]
        ids = np.asarray(flat, np.int32)[ranges(starts[word_ids], word_counts)]
        before = np.concatenate(([0], np.cumsum(word_counts)))
        return ids, np.diff(before[words.bounds])

    def _clean(self, text: str) -> str:
        if self.preparation.normal_form:
            text = normal_form(text)
        if self.preparation.html and "<" in text:
            text = text.replace(BREAK, " ")
            if "<" in text:
                text = TAG.sub(" ", text)
        return (
            _URL_PATTERN.sub(" ", text) if self.preparation.urls and _may_have_url(text) else text
        )

    def _clean_column(self, texts: pa.LargeStringArray) -> pa.LargeStringArray:
        if self.preparation.normal_form:
            texts = normal_forms(texts)
        if self.preparation.html:
            texts = pc.replace_substring(texts, BREAK, " ")
            texts = substitute(TAG, texts, pc.match_substring(texts, "<"))
        if self.preparation.urls:
            suspects = pc.or_(
                pc.match_substring(texts, "://"),
                pc.match_substring(texts, "www.", ignore_case=True),
            )
            texts = substitute(_URL_PATTERN, texts, suspects)
        return texts

    def _plain(self, word: str) -> str:
        """Apply to a word outside ASCII what the byte table did to ASCII."""
        word = self._without_marks(word)
        return word.lower() if self.preparation.lowercase else word

    def _without_marks(self, text: str) -> str:
        if not self.preparation.punctuation or text.isascii():
            return text
        text = _without_punctuation(text)
        return text.replace("'", " ") if self.preparation.contractions == "split" else text

    def _contraction(self, word: str) -> Iterable[str]:
        if not self.preparation.punctuation:
            return (word,)
        word = word.strip("'")
        if self.preparation.contractions != "expand" or "'" not in word:
            return (word,)
        if word in _IRREGULAR:
            return _IRREGULAR[word]
        if word.endswith("n't"):
            return word[:-3], "not"
        stem, apostrophe, ending = word.rpartition("'")
        return stem, _ENDINGS.get(apostrophe + ending, apostrophe + ending)

    def _finish(self, token: str) -> tuple[str, ...]:
        if self.preparation.numbers and not token.isalpha():
            token = "".join(c for c in token if not c.isdigit())
        if not token or token in self._dropped:
            return ()
        if self._pos is not None:
            token = self._lemmatize(token, self._pos)
        return (sys.intern(token),)


def _spaces(match: re.Match[str]) -> str:
    return " " * (match.end() - match.start())


def _may_have_url(text: str) -> bool:
    return "://" in text or "www." in text.lower()


def _byte_table(preparation: Preparation) -> bytes:
    """Return the 256-byte table that lower-cases ASCII and turns its punctuation into spaces."""
    table = bytearray(range(256))
    # str.split takes these four as white space, Arrow's ASCII split does not.
    spaces = {0x1C, 0x1D, 0x1E, 0x1F}
    if preparation.punctuation:
        kept = ("'" if preparation.contractions != "split" else "") + (
            "!?" if preparation.emphasis else ""
        )
        spaces |= set(string.punctuation.encode()) - set(kept.encode())
    for byte in spaces:
        table[byte] = 0x20
    if preparation.lowercase:
        for upper, lower in zip(string.ascii_uppercase, string.ascii_lowercase, strict=True):
            table[ord(upper)] = ord(lower)
    return bytes(table)


def _without_punctuation(word: str) -> str:
    """Replace punctuation marks, symbols and control characters beyond ASCII by spaces."""
    return "".join(
        " " if c > "\x7f" and unicodedata.category(c)[0] in "PSC" else c
        for c in word.translate(_APOSTROPHES)
    )
