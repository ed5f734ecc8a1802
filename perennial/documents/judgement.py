"""Judgement: which documents of a snapshot can be used, by the problem's labels and limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.documents.documents import from_feedback
from perennial.documents.keys import NULL, label_key
from perennial.documents.revisions import COUNTED_WORDS, Found, as_read, to_revisions
from perennial.hashing import halves
from perennial.inputs.base import TextInputs, inputs_of
from perennial.inputs.identity import CURRENT_IDENTITY
from perennial.reasons import ReasonCode
from perennial.text.normal_form import normal_value
from perennial.text.scripts import count_words

Status = Literal["used", "quarantined", "duplicate"]

# What `judge` looks at, beside the text where a problem asks for many words.
JUDGED = (
    *("id", "created_at", "source", "label", "words", "characters", "content"),
    *("code", "field", "reason"),
)
_SHOWN = 50
_SAID = ("code", "field", "reason", "copy_of")
_STATUSES: tuple[Status, ...] = get_args(Status)
_USED, _QUARANTINED, _DUPLICATE = range(3)


@dataclass(frozen=True)
class Rules:
    """What a problem's file says of its documents, as a snapshot keeps it.

    Attributes
    ----------
    labels : tuple of (str, str)
        Each label with the key of a raw value that means it, of which it may have several; see
        `perennial.documents.keys.label_key`.
    label_field : str
        The field of a document that holds the label.
    text_field : str or None
        The field that holds the text; None where the inputs are records, of which equal ones are
        no copies of each other.
    min_words, max_characters : int
        The limits of a text.
    """

    labels: tuple[tuple[str, str], ...]
    label_field: str
    text_field: str | None
    min_words: int
    max_characters: int

    @classmethod
    def of(cls, problem: Problem) -> Rules:
        """Return the rules of a problem's file."""
        return cls(
            labels=tuple(
                (label, label_key(value))
                for label, raw in problem.labels.items()
                for value in (raw, *problem.merge_labels.get(label, ()))
            ),
            label_field=problem.source.fields.label,
            text_field=problem.source.fields.text if problem.inputs is None else None,
            min_words=problem.limits.min_words,
            max_characters=problem.limits.max_characters,
        )

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Rules:
        """Return rules from their parts, as JSON keeps them."""
        return cls(**{**said, "labels": tuple((name, key) for name, key in said["labels"])})

    @property
    def need_texts(self) -> bool:
        """Whether more words are asked for than are counted beforehand."""
        return self.text_field is not None and self.min_words > COUNTED_WORDS


def judge_documents(documents: Iterable[Mapping[str, Any]], problem: Problem) -> pa.Table:
    """Judge documents as they stand in MongoDB, without a snapshot; see `judge`."""
    found = [Found(document, stored=0) for document in documents]
    revisions = to_revisions(found, problem, CURRENT_IDENTITY)
    return judge(as_read(revisions, inputs_of(problem).fields), Rules.of(problem))


class _Sayings:
    """A text for some of the documents, and none for the others."""

    def __init__(self) -> None:
        self._values: list[str] = []
        self._places: list[tuple[NDArray[np.intp], NDArray[np.int32]]] = []

    def say(self, rows: NDArray[np.intp], values: str | Sequence[str]) -> None:
        """Say a text of some documents, the same of all or one of each."""
        if not len(rows):
            return
        added = [values] if isinstance(values, str) else values
        each = 0 if isinstance(values, str) else np.arange(len(rows))
        places = np.broadcast_to(np.asarray(len(self._values) + each, np.int32), len(rows))
        self._places.append((rows, places))
        self._values += added

    def column(self, documents: int) -> pa.Array:
        """Return what was said of each document, null where nothing was."""
        if not self._places:
            return pa.nulls(documents, pa.string())
        places = np.full(documents, -1, np.int32)
        for rows, values in self._places:
            places[rows] = values
        return pa.array(self._values, pa.string()).take(pa.array(places, mask=places < 0))


class _Verdict:
    """The outcome for each document, filled in rule by rule; the first rule that objects counts.

    Most documents have no reason to be quarantined, and there may be very many of them: what is
    said of few is kept for few.
    """

    def __init__(self, codes: pa.ChunkedArray) -> None:
        unreadable = pc.is_valid(codes).to_numpy()
        self.status: NDArray[np.int8] = np.where(unreadable, _QUARANTINED, _USED).astype(np.int8)
        self.is_open: NDArray[np.bool_] = ~unreadable
        self._said = {name: _Sayings() for name in _SAID}

    def object_to(
        self,
        where: NDArray[np.bool_],
        code: ReasonCode,
        field: str,
        why: str,
        values: Callable[[NDArray[np.intp]], Sequence[object]] | None = None,
    ) -> None:
        """Quarantine those documents, unless an earlier rule did.

        Parameters
        ----------
        where : ndarray of bool, shape (n_documents,)
            Which documents.
        code : ReasonCode
            What is wrong.
        field : str
            The field.
        why : str
            The predicate of the field, with ``{}`` in the place of the document's value.
        values : callable, optional
            Takes rows, and returns their values.
        """
        rows = np.flatnonzero(where & self.is_open)
        self.is_open[rows] = False
        sentence = f"{field} {why}"
        reasons = sentence if values is None else [sentence.format(each) for each in values(rows)]
        self.quarantine(rows, code, field, reasons)

    def quarantine(
        self,
        rows: NDArray[np.intp],
        code: ReasonCode,
        field: str,
        reasons: str | Sequence[str],
    ) -> None:
        """Quarantine some documents, for one reason or for one each."""
        self.status[rows] = _QUARANTINED
        self._said["code"].say(rows, code.value)
        self._said["field"].say(rows, field)
        self._said["reason"].say(rows, reasons)

    def copy(self, rows: NDArray[np.intp], originals: Sequence[str]) -> None:
        """Note of which documents some are copies."""
        self._said["copy_of"].say(rows, originals)

    def columns(self) -> dict[str, pa.Array]:
        """Return the outcome as columns of texts."""
        status = pa.DictionaryArray.from_arrays(self.status, _STATUSES).cast(pa.string())
        said = {name: each.column(len(self.status)) for name, each in self._said.items()}
        return {"status": status} | said


def judge(revisions: pa.Table, rules: Rules) -> pa.Table:
    """Judge the newest revisions of some documents.

    Of copies of a text one is used: one of the collection rather than one from feedback, and the
    earliest of these. A copy with the same label is a duplicate. One with another label says that
    something is wrong which a person has to look at: it is quarantined.

    Parameters
    ----------
    revisions : Table
        The columns `JUDGED`, and any others; the texts, too, if the rules need them.
    rules : Rules
        What the problem's file says.

    Returns
    -------
    Table
        The same rows, with ``label`` as the problem calls it (null if it is none of the problem's),
        ``raw_label`` as it was, ``status``, the ``code``, ``field`` and ``reason`` of what is wrong
        with a quarantined document, and ``copy_of``, the id of the document that a copy repeats.
    """
    verdict = _Verdict(revisions["code"])
    if rules.text_field is not None:
        _judge_limits(revisions, rules, verdict)
    labels = _judge_labels(revisions, rules, verdict)
    if rules.text_field is not None:
        _judge_copies(revisions, labels, rules, verdict)
    return _with_verdict(revisions, labels, verdict)


def _judge_limits(revisions: pa.Table, rules: Rules, verdict: _Verdict) -> None:
    assert rules.text_field is not None
    words = pc.fill_null(revisions["words"], 0).to_numpy()
    characters = pc.fill_null(revisions["characters"], 0).to_numpy()
    if rules.need_texts:
        words = words.copy()
        many = np.flatnonzero((words >= COUNTED_WORDS) & verdict.is_open)
        texts = revisions[TextInputs.column.name].take(pa.array(many)).to_pylist()
        words[many] = [count_words(text, rules.min_words) for text in texts]
    field = rules.text_field
    verdict.object_to(characters == 0, ReasonCode.EMPTY, field, "is empty")
    why = f"has {{}} after normalisation, fewer than {rules.min_words}"

    def had(rows: NDArray[np.intp]) -> list[str]:
        return [counted(count, "word") for count in words[rows].tolist()]

    verdict.object_to(words < rules.min_words, ReasonCode.TOO_SHORT, field, why, had)
    why = f"has {{:,}} characters, more than {rules.max_characters:,}"
    too_long = characters > rules.max_characters
    verdict.object_to(too_long, ReasonCode.TOO_LONG, field, why, characters.__getitem__)


def _judge_labels(revisions: pa.Table, rules: Rules, verdict: _Verdict) -> pa.ChunkedArray:
    """Return the label of each document as the problem calls it."""
    encoded = revisions["label"].combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    raw = encoded.dictionary.to_pylist()
    names = _names_of(raw, rules)
    labels = pa.array([names.get(key) for key in raw], pa.string())
    missing = encoded.is_null().to_numpy(zero_copy_only=False)
    verdict.object_to(missing, ReasonCode.MISSING, rules.label_field, "is missing")
    codes = [_code_of_label(key) for key in raw]
    places = encoded.indices.fill_null(0).to_numpy()
    whys = [_why_no_label(key, code, rules) for key, code in zip(raw, codes, strict=True)]

    def why(rows: NDArray[np.intp]) -> list[str]:
        return [whys[place] for place in places[rows]]

    for code in dict.fromkeys(codes):
        of_code = [key not in names and each is code for key, each in zip(raw, codes, strict=True)]
        where = np.array(of_code, np.bool_)[places]
        verdict.object_to(where, code, rules.label_field, "{}", why)
    return pa.chunked_array([labels.take(encoded.indices)], pa.string())


def _names_of(raw: Sequence[str], rules: Rules) -> dict[str, str]:
    """Return raw label -> name, of those that are labels, in whatever way they are encoded."""
    exact = {key: name for name, key in rules.labels}
    alike = {_plain(key): name for key, name in exact.items()}
    found = {key: exact.get(key) or alike.get(_plain(key)) for key in raw}
    return {key: name for key, name in found.items() if name is not None}


def _plain(key: str) -> str:
    """Return a raw label in normal form, if it is a text."""
    if not key.startswith('"'):
        return key
    try:
        return f'"{normal_value(json.loads(key))}"'
    except ValueError:
        # A text of which only the beginning is kept.
        return key


def _code_of_label(key: str) -> ReasonCode:
    if key == NULL:
        return ReasonCode.NULL
    return ReasonCode.WRONG_TYPE if key.startswith(("{", "[")) else ReasonCode.UNKNOWN_LABEL


def _why_no_label(key: str, code: ReasonCode, rules: Rules) -> str:
    """Return the predicate that says why a raw value is no label."""
    if code is ReasonCode.NULL:
        return "is null"
    shown = key if len(key) <= _SHOWN else f"{key[: _SHOWN - 3]}..."
    if code is ReasonCode.WRONG_TYPE:
        return f"is {'a list' if key.startswith('[') else 'an object'}, not a label: {shown}"
    kinds = {_kind(known) for _, known in rules.labels}
    known = ", ".join(known for _, known in rules.labels)
    of_kind = "" if _kind(key) in kinds else f"{_kind(key)}, "
    return f"is {of_kind}not one of {known}: {shown}"


def _kind(key: str) -> str:
    """Return the type of a raw label in words."""
    if key.startswith('"'):
        return "a text"
    return "true or false" if key in ("true", "false") else "a number"


def _judge_copies(
    revisions: pa.Table, labels: pa.ChunkedArray, rules: Rules, verdict: _Verdict
) -> None:
    usable = np.flatnonzero(verdict.is_open)
    groups = _copies(revisions["content"].take(pa.array(usable)))
    if not len(groups):
        return
    rows = pa.array(usable[groups])
    some = pa.table({name: revisions[name].take(rows) for name in ("id", "created_at", "source")})
    ids, said = some["id"].to_pylist(), labels.take(rows).to_pylist()
    content = revisions["content"].take(rows).to_pylist()
    order = sorted(
        range(len(rows)),
        key=list(
            zip(from_feedback(some).tolist(), some["created_at"].to_pylist(), ids, strict=True)
        ).__getitem__,
    )
    first: dict[bytes, int] = {}
    copies = [place for place in order if first.setdefault(content[place], place) != place]
    originals = [first[content[place]] for place in copies]
    at = usable[groups[np.array(copies, np.intp)]]
    verdict.copy(at, [ids[place] for place in originals])
    agrees = np.array(
        [said[one] == said[other] for one, other in zip(copies, originals, strict=True)], np.bool_
    )
    verdict.status[at[agrees]] = _DUPLICATE
    conflicts = [
        f"{rules.label_field} is {said[one]!r}, but its copy {ids[other]} is labelled "
        f"{said[other]!r}"
        for one, other in zip(copies, originals, strict=True)
        if said[one] != said[other]
    ]
    verdict.quarantine(at[~agrees], ReasonCode.CONFLICTING_LABEL, rules.label_field, conflicts)


def _copies(content: pa.ChunkedArray) -> NDArray[np.intp]:
    """Return the places of all hashes that occur more than once."""
    if len(content) < 2:
        return np.empty(0, np.intp)
    words = halves(content)
    order = np.lexsort((words[:, 1], words[:, 0]))
    same = (words[order[1:]] == words[order[:-1]]).all(axis=1)
    in_group = np.zeros(len(order), np.bool_)
    in_group[1:] |= same
    in_group[:-1] |= same
    return order[in_group]


def _with_verdict(revisions: pa.Table, labels: pa.ChunkedArray, verdict: _Verdict) -> pa.Table:
    rows = revisions.append_column("raw_label", revisions["label"])
    rows = rows.set_column(rows.schema.get_field_index("label"), "label", labels)
    for name, found in verdict.columns().items():
        if name in ("code", "field", "reason"):
            kept = pc.coalesce(rows[name], found)
            rows = rows.set_column(rows.schema.get_field_index(name), name, kept)
        else:
            rows = rows.append_column(name, found)
    return rows
