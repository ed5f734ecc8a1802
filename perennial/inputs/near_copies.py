"""Near-copies: texts that differ in a word, a typing error, an address or a signature.

Both of a pair of near-copies belong on one side of the split, or a model is judged on what it has
learned. Each text gets a sketch once, when it is read; groups are found by sketches alone.

A sketch is one-permutation MinHash (Li, Owen and Zhang, One Permutation Hashing, 2012): the grams
of six characters of what identity version 2 hashes, addresses left out, are dealt into 128 bins
by their hash, and a byte of the least hash of each bin is kept. The share of bins in which two
sketches agree estimates how far their grams are the same. Candidates are found by bands of three
bins, empty ones filled by optimal densification (Shrivastava, 2017), and each is verified by
its estimate.

A library would be preferred. For 25,000 film reviews datasketch takes 95 seconds and rensa, written
in Rust, 8 seconds, as both want every gram as an object of Python; this takes one or two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from perennial.hashing import HASH_BYTES, halves
from perennial.inputs.identity import identity_forms, without_repetition
from perennial.text.arrow import as_texts

# Bytes of a sketch, one for each bin.
SKETCH_BYTES = 128
# Texts whose grams overlap to this degree are near-copies: sentences of which one word was changed,
# and hardly two different ones.
SIMILARITY = 0.62

_GRAM = 6
# Shorter texts, or ones that fill fewer bins, have no near-copies: of a few words each one counts.
_SHORTEST = 32
_LEAST_BINS = 16
_BAND = 3
# No hash of a gram; a bin that has none is empty.
_NONE = np.uint32(0xFFFFFFFF)
_EMPTY = 0
_BIN_SHIFT = np.uint32(25)
_WITHIN_BIN = np.uint32((1 << 25) - 1)
_OTHER_BITS = np.uint64(64 - 8 * _GRAM)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
# Bounds of temporary memory: texts that are sketched, and pairs that are compared, at a time.
_CHUNK = 1_024
_PAIRS = 1 << 16
# From which bins an empty one takes its value, one after the other until one is filled: all others,
# in steps of its own. It is arithmetic and no random draw, as groups must stay when NumPy changes.
_BINS = np.arange(SKETCH_BYTES)[:, None]
_STEPS = 2 * (_BINS * 37 % (SKETCH_BYTES // 2)) + 1
_SOURCES = (_BINS + np.arange(1, SKETCH_BYTES) * _STEPS) % SKETCH_BYTES


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of documents, each content once, in the order in which they came.

    Attributes
    ----------
    content : ndarray of uint64, shape (n, 2)
        Their identities.
    order : ndarray of int64, shape (n,)
        When each came.
    checksums : ndarray of uint64, shape (n,)
        Of their sketches; 0 where there is none.
    earliest : ndarray of int32, shape (n,)
        The place here of the earliest of each one's group.
    """

    content: NDArray[np.uint64]
    order: NDArray[np.int64]
    checksums: NDArray[np.uint64]
    earliest: NDArray[np.int32]

    @classmethod
    def none(cls) -> Groups:
        """Return the groups of no documents."""
        nothing = np.empty(0, np.int64)
        words = np.empty((0, 2), np.uint64)
        return cls(words, nothing, words[:, 0], nothing.astype(np.int32))

    def __len__(self) -> int:
        return len(self.earliest)

    def begin_like(self, other: Groups) -> int:
        """Return how many documents both begin with."""
        count = min(len(self), len(other))
        pairs = ((self.content, other.content), (self.order, other.order))
        differs = self.checksums[:count] != other.checksums[:count]
        for one, another in pairs:
            others = one[:count] != another[:count]
            differs |= others.any(axis=1) if others.ndim > 1 else others
        return int(np.argmax(differs)) if differs.any() else count


def sketches(texts: object) -> pa.FixedSizeBinaryArray:
    """Return the sketch of each text, shape (n,); null for texts that are too short.

    Parameters
    ----------
    texts : Arrow string array, or sequence of str
        The texts.
    """
    column = as_texts(texts)
    starts = range(0, len(column), _CHUNK)
    chunks = [_sketch(identity_forms(column.slice(start, _CHUNK))) for start in starts]
    values = np.concatenate([np.empty((0, SKETCH_BYTES), np.uint8), *chunks])
    has_sketch = (values != _EMPTY).sum(axis=1) >= _LEAST_BINS
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(SKETCH_BYTES),
        len(values),
        [pa.py_buffer(np.packbits(has_sketch, bitorder="little")), pa.py_buffer(values)],
    )


def representatives(sketches: pa.Array, content: pa.Array, order: ArrayLike) -> NDArray[np.intp]:
    """Return the earliest document of each document's group of near-copies; see `grouped`."""
    return grouped(sketches, content, order)[0]


def grouped(
    sketches: pa.Array, content: pa.Array, order: ArrayLike, known: Groups | None = None
) -> tuple[NDArray[np.intp], Groups]:
    """Return the earliest document of each document's group of near-copies, and all groups.

    A document belongs to the group of the earliest document before it that it is a near-copy of,
    so its representative stays the same whatever comes later. Documents with equal content always
    share one.

    Parameters
    ----------
    sketches : Arrow fixed size binary array, shape (n,)
        What `sketches` returned for the documents; null for those that are compared by content
        alone.
    content : Arrow fixed size binary array, shape (n,)
        The identities of the documents.
    order : array_like, shape (n,)
        When each document came: numbers or times. Of documents of one time the one with the lesser
        identity comes first.
    known : Groups, optional
        Groups that were found before. Nothing depends on what comes later: of these documents the
        first ones that are the same have the same groups, and only the others are compared.

    Returns
    -------
    ndarray of intp, shape (n,)
        Positions of documents; a document without an earlier near-copy has its own, or that of its
        earliest copy.
    Groups
        Of these documents.
    """
    content, sketches = _one_chunk(content), _one_chunk(sketches)
    words, times = halves(content), np.asarray(order, np.int64)
    ranked = np.lexsort((words[:, 1], words[:, 0], times))
    distinct = content.take(pa.array(ranked)).dictionary_encode().indices.to_numpy()
    _, first = np.unique(distinct, return_index=True)
    earliest = ranked[first]

    has_sketch = sketches.is_valid().to_numpy(zero_copy_only=False)[earliest]
    compared = np.flatnonzero(has_sketch)
    values = _rows(sketches, SKETCH_BYTES)[earliest[compared]]
    groups = np.arange(len(earliest), dtype=np.int32)
    checksums = np.zeros(len(earliest), np.uint64)
    checksums[compared] = _checksums(values)
    found = Groups(words[earliest], times[earliest], checksums, groups)
    same = 0 if known is None else found.begin_like(known)
    if known is not None:
        groups[:same] = known.earliest[:same]
    n_known = int(np.searchsorted(compared, same))
    before = np.searchsorted(compared, groups[compared[:n_known]])
    groups[compared] = compared[_groups(values, before)]
    representative = np.empty(len(ranked), np.intp)
    representative[ranked] = earliest[groups[distinct]]
    return representative, found


def with_representatives(documents: pa.Table) -> pa.Table:
    """Return documents with their representatives; see `with_groups`."""
    return with_groups(documents, Groups.none())[0]


def with_groups(documents: pa.Table, known: Groups) -> tuple[pa.Table, Groups]:
    """Return documents with the content of their representatives in place of their sketches.

    Parameters
    ----------
    documents : Table
        With ``created_at``, ``content`` and ``sketch``. Without any sketch there is no column of
        representatives either: every document stands for itself.
    known : Groups
        See `grouped`.

    Returns
    -------
    Table
        The documents.
    Groups
        Their groups; none where nothing has a sketch.
    """
    sketched = documents["sketch"]
    rest = documents.drop_columns(["sketch"])
    if sketched.null_count == len(documents):
        return rest, Groups.none()
    content = documents["content"].cast(pa.binary(HASH_BYTES)).combine_chunks()
    order = documents["created_at"].cast(pa.int64()).to_numpy()
    sketched = sketched.cast(pa.binary(SKETCH_BYTES)).combine_chunks()
    found, groups = grouped(sketched, content, order, known)
    column = content.take(pa.array(found)).cast(pa.binary())
    return rest.append_column("representative", column), groups


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the estimated overlap of sketches, shape (n, SKETCH_BYTES), row by row.

    It is the share of the bins of the one with fewer that agree with the other's. Of long texts, of
    which all bins are filled, that is their Jaccard similarity; a short one is similar to what it
    is a part of.
    """
    agree = ((one == other) & (one != _EMPTY)).sum(axis=1)
    filled = np.minimum((one != _EMPTY).sum(axis=1), (other != _EMPTY).sum(axis=1))
    return np.asarray(agree / np.maximum(filled, 1), np.float64)


def _sketch(forms: Sequence[str]) -> NDArray[np.uint8]:
    """Return the sketches of texts as rows."""
    plain = [_without_addresses(form) for form in forms]
    lengths = np.fromiter(map(len, plain), np.int64, len(plain))
    hashes = _gram_hashes("".join(plain))
    # A gram that reaches into the next text is none.
    ends = np.cumsum(lengths)
    outside = (ends[:, None] - np.arange(1, _GRAM)).ravel()
    hashes[outside[outside >= 0]] = _NONE
    owners = np.repeat(np.arange(len(plain)) * SKETCH_BYTES, lengths)
    least = np.full(len(plain) * SKETCH_BYTES, _WITHIN_BIN, np.uint32)
    np.minimum.at(least, owners + (hashes >> _BIN_SHIFT), hashes & _WITHIN_BIN)
    values = np.where(least == _WITHIN_BIN, _EMPTY, (least & np.uint32(0xFF)) % 255 + 1)
    table = values.astype(np.uint8).reshape(len(plain), SKETCH_BYTES)
    table[lengths < _SHORTEST] = _EMPTY
    return table


def _gram_hashes(text: str) -> NDArray[np.uint32]:
    """Return a hash of the gram that begins at each character."""
    codes = _codes(text)
    padded = np.concatenate([codes, np.zeros(8, np.uint8)])
    # Eight bytes at every byte, without a copy of them; of these the first ones.
    grams: NDArray[np.uint64] = np.ndarray(len(codes), "<u8", padded, 0, (1,))
    hashes = (grams << _OTHER_BITS) * _MULTIPLIER
    return np.asarray(hashes >> np.uint64(32), np.uint64).astype(np.uint32)


def _codes(text: str) -> NDArray[np.uint8]:
    """Return a byte for each character: ASCII itself, a hash of any other."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    codes = points.astype(np.uint8)
    beyond = np.flatnonzero(points > 0x7F)
    codes[beyond] = ((points[beyond] * np.uint32(0x9E3779B1)) >> np.uint32(24)) | np.uint32(0x80)
    return codes


def _without_addresses(form: str) -> str:
    if "://" in form or "www." in form:
        return without_repetition(_ADDRESS.sub(" ", form))
    return form


def _groups(values: NDArray[np.uint8], known: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the position of the earliest of the group of each sketch; they come in their order.

    Those of the first ones are known.
    """
    parents = np.arange(len(values))
    parents[: len(known)] = known
    if len(known) == len(values):
        return parents
    dense, new = _densified(values), len(known)
    is_key = np.zeros(1 << 8 * _BAND, np.bool_) if new else None
    for start in range(0, SKETCH_BYTES - _BAND + 1, _BAND):
        keys = _band(dense, start)
        places = np.arange(len(keys))
        if is_key is not None:
            # Of the known ones only those matter that share a key with a new one.
            is_key[keys[new:]] = True
            places = np.flatnonzero(is_key[keys])
            is_key[keys[new:]] = False
        for later, sooner in _candidates(keys[places]):
            rows, earlier = places[later], places[sooner]
            # What is no improvement need not be compared.
            wanted = np.flatnonzero((earlier < parents[rows]) & (rows >= new))
            for some in np.array_split(wanted, len(wanted) // _PAIRS + 1):
                one, other = rows[some], earlier[some]
                alike = similarity(values[one], values[other]) >= SIMILARITY
                parents[one[alike]] = other[alike]
    while True:
        grandparents = parents[parents]
        if np.array_equal(grandparents, parents):
            return parents
        parents = grandparents


def _checksums(values: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return a number for each sketch, which another one hardly has."""
    words = np.ascontiguousarray(values).view("<u8").astype(np.uint64, copy=False)
    found = np.full(len(words), _MULTIPLIER)
    for column in words.T:
        found = (found ^ column) * _MULTIPLIER
        found ^= found >> np.uint64(32)
    return found


def _band(dense: NDArray[np.uint8], start: int) -> NDArray[np.uint32]:
    """Return a number for each row that is the same for the same bytes of one band."""
    keys = np.zeros(len(dense), np.uint32)
    for column in range(start, start + _BAND):
        keys = (keys << np.uint32(8)) | dense[:, column]
    return keys


def _candidates(keys: NDArray[np.uint32]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield rows, each at most once, with an earlier row that has the same key.

    One is the first of all that have it and one the last before the row. These are two per row, in
    place of all pairs of a key that is frequent, and they do not depend on what comes later.
    """
    # Numbers are sorted much sooner than their positions.
    ordered = np.sort(
        keys.astype(np.uint64) << np.uint64(32) | np.arange(len(keys), dtype=np.uint64)
    )
    rows = (ordered & np.uint64(0xFFFFFFFF)).astype(np.intp)
    ordered >>= np.uint64(32)
    is_first = np.ones(len(rows), np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    later = np.flatnonzero(~is_first)
    firsts = np.maximum.accumulate(np.where(is_first, np.arange(len(rows)), 0))
    yield rows[later], rows[firsts[later]]
    yield rows[later], rows[later - 1]


def _densified(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return sketches with each empty bin filled from another one, the same for similar texts."""
    filled = values.copy()
    # The places of empty bins are eight times as large as the bins: a few sketches at a time.
    for start in range(0, len(values), _CHUNK):
        _fill(values[start : start + _CHUNK].ravel(), filled[start : start + _CHUNK].reshape(-1))
    return filled


def _fill(given: NDArray[np.uint8], filled: NDArray[np.uint8]) -> None:
    """Fill the empty bins of some sketches."""
    places = np.flatnonzero(given == _EMPTY)
    for sources in _SOURCES.T:
        if not len(places):
            break
        bins = places % SKETCH_BYTES
        found = given[places - bins + sources[bins]]
        filled[places] = found
        places = places[found == _EMPTY]


def _rows(column: pa.Array, width: int) -> NDArray[np.uint8]:
    """Return fixed size binaries as rows of bytes; those of a null are anything."""
    data = np.frombuffer(column.cast(pa.binary(width)).buffers()[1], np.uint8)
    return data[column.offset * width :][: len(column) * width].reshape(-1, width)


def _one_chunk(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
