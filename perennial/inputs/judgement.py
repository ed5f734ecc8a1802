"""Judgement: which documents of a snapshot can be used, by the problem's labels and limits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config.problem import Problem
from perennial.hashing import halves
from perennial.inputs.base import TextInputs, inputs_of
from perennial.inputs.documents import from_feedback
from perennial.inputs.identity import CURRENT_IDENTITY
from perennial.inputs.keys import NULL, label_key
from perennial.inputs.revisions import COUNTED_WORDS, Found, as_read, to_revisions
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
_VERDICT = ("status", "code", "field", "reason", "copy_of")


@dataclass(frozen=True)
class Rules:
    """What a problem's file says of its documents, as a snapshot keeps it.

    Attributes
    ----------
    labels : tuple of (str, str)
        Each label with the key of a raw value that means it, of which it may have several; see
        `perennial.inputs.keys.label_key`.
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


class _Verdict:
    """The outcome for each document, filled in rule by rule; the first rule that objects counts."""

    def __init__(self, documents: int, codes: pa.ChunkedArray) -> None:
        self.columns: dict[str, NDArray[np.object_]] = {
            name: np.full(documents, None, np.object_) for name in _VERDICT
        }
        unreadable = pc.is_valid(codes).to_numpy()
        self.columns["status"][:] = "used"
        self.columns["status"][unreadable] = "quarantined"
        self.is_open: NDArray[np.bool_] = ~unreadable

    def object_to(
        self,
        where: NDArray[np.bool_],
        code: ReasonCode,
        field: str,
        why: str,
        values: NDArray[Any] | None = None,
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
        values : ndarray, shape (n_documents,), optional
            The values.
        """
        where = where & self.is_open
        self.is_open &= ~where
        self.columns["status"][where] = "quarantined"
        self.columns["code"][where] = code.value
        self.columns["field"][where] = field
        sentence = f"{field} {why}"
        self.columns["reason"][where] = (
            sentence if values is None else [sentence.format(value) for value in values[where]]
        )


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
    verdict = _Verdict(len(revisions), revisions["code"])
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
    why = f"has {{}} words after normalisation, fewer than {rules.min_words}"
    verdict.object_to(words < rules.min_words, ReasonCode.TOO_SHORT, field, why, words)
    why = f"has {{:,}} characters, more than {rules.max_characters:,}"
    too_long = characters > rules.max_characters
    verdict.object_to(too_long, ReasonCode.TOO_LONG, field, why, characters)


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
    whys = np.array([_why_no_label(key, code, rules) for key, code in zip(raw, codes, strict=True)])
    for code in dict.fromkeys(codes):
        of_code = [key not in names and each is code for key, each in zip(raw, codes, strict=True)]
        where = np.array(of_code, np.bool_)[places]
        verdict.object_to(where, code, rules.label_field, "{}", whys[places])
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
    columns = verdict.columns
    for place in order:
        original = first.setdefault(content[place], place)
        if original == place:
            continue
        row = usable[groups[place]]
        columns["copy_of"][row] = ids[original]
        if said[place] == said[original]:
            columns["status"][row] = "duplicate"
        else:
            columns["status"][row] = "quarantined"
            columns["code"][row] = ReasonCode.CONFLICTING_LABEL.value
            columns["field"][row] = rules.label_field
            columns["reason"][row] = (
                f"{rules.label_field} is {said[place]!r}, but its copy {ids[original]} is labelled "
                f"{said[original]!r}"
            )


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
    for name in _VERDICT:
        found = pa.array(verdict.columns[name], pa.string())
        if name in ("code", "field", "reason"):
            found = pc.coalesce(rows[name], found)
            rows = rows.set_column(rows.schema.get_field_index(name), name, found)
        else:
            rows = rows.append_column(name, found)
    return rows
