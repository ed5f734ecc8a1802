"""Occlusion: what a part of an input contributes is what changes without it.

It explains any model that gives probabilities, by asking it again with each part left out (Zeiler
and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014). The work is bounded,
whatever the length of a text or the number of fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.concurrency import Steps
from perennial.inference.contribution import Contribution

Floats = NDArray[np.float64]
Span = tuple[int, int]

# So many parts of a text are left out, one after the other: of longer ones several words at once.
_MOST_PARTS = 128
# So many characters are scored in one step, and one text at least.
_STEP_CHARACTERS = 200_000
# Words, and single characters of scripts without spaces between words.
_WORD = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
    "|[^\\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)
# Probabilities of 0 and 1 have no log-odds.
_LEAST = 1e-12


def against_next(probabilities: Floats, position: int) -> Floats:
    """Return log-odds of a class against the next most probable one of the first row.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_rows, n_classes)
        Probabilities of an input, and of the same without its parts.
    position : int
        The class.

    Returns
    -------
    ndarray of float64, shape (n_rows,)
    """
    first = probabilities[0].copy()
    first[position] = -1.0
    logs = np.log(np.clip(probabilities, _LEAST, None))
    found: Floats = logs[:, position] - logs[:, int(first.argmax())]
    return found


def occlude_words(
    text: str, position: int, estimate: Callable[[Sequence[str]], Floats]
) -> Steps[tuple[list[Contribution], float]]:
    """Return what the words of a text contribute to a class, and the log-odds of the whole.

    Parameters
    ----------
    text : str
        The text.
    position : int
        The class.
    estimate : callable
        Returns the probabilities of texts, shape (n_texts, n_classes).
    """
    parts = _parts(text)
    yield
    rows: list[Floats] = []
    at_once = max(1, _STEP_CHARACTERS // max(len(text), 1))
    for start in range(0, 1 + len(parts), at_once):
        some = range(start, min(start + at_once, 1 + len(parts)))
        # None of the parts is left out of the first.
        rows.append(estimate([_without(text, parts[row - 1][1] if row else ()) for row in some]))
        yield
    odds = against_next(np.concatenate(rows), position)
    found = [
        Contribution(word, float(odds[0] - without), spans)
        for (word, spans), without in zip(parts, odds[1:], strict=True)
    ]
    return found, float(odds[0])


def _parts(text: str) -> list[tuple[str, tuple[Span, ...]]]:
    """Return each word with its places; of a long text, neighbouring words together."""
    found = [match.span() for match in _WORD.finditer(text)]
    places: dict[str, list[Span]] = {}
    for start, end in found:
        places.setdefault(text[start:end].casefold(), []).append((start, end))
    if len(places) <= _MOST_PARTS:
        return [(word, tuple(spans)) for word, spans in places.items()]
    chunks = np.array_split(np.asarray(found), _MOST_PARTS)
    spans = [(int(chunk[0, 0]), int(chunk[-1, 1])) for chunk in chunks]
    return [(text[start:end], ((start, end),)) for start, end in spans]


def _without(text: str, spans: Sequence[Span]) -> str:
    kept, after = [], 0
    for start, end in spans:
        kept.append(text[after:start])
        after = end
    return "".join([*kept, text[after:]])


def occlude_fields(
    rows: Callable[[Sequence[str]], Any],
    fields: Sequence[str],
    position: int,
    estimate: Callable[[Any], Floats],
) -> Steps[tuple[dict[str, float], float]]:
    """Return what the fields of a record contribute to a class, and the log-odds of the whole.

    Parameters
    ----------
    rows : callable
        Returns the record's matrix, and below it a row without each of some fields.
    fields : sequence of str
        The fields.
    position : int
        The class.
    estimate : callable
        Returns the probabilities of such a matrix.
    """
    found: dict[str, float] = {}
    score = 0.0
    for start in range(0, len(fields), _MOST_PARTS):
        some = fields[start : start + _MOST_PARTS]
        odds = against_next(estimate(rows(some)), position)
        score = float(odds[0])
        found |= {name: float(score - odd) for name, odd in zip(some, odds[1:], strict=True)}
        yield
    return found, score
