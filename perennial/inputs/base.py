"""The kinds of input: one text, or a record of fields. What else differs between them is here.

A problem has one kind, which `inputs_of` returns; tasks and flows work with that and need not know
which it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from perennial.fields import FieldKind
from perennial.hashing import digest
from perennial.inputs.records import TabularInputs
from perennial.inputs.validation import require_text, require_utf8
from perennial.reasons import ReasonCode, UnusableError
from perennial.text.html import BREAK, TAG

if TYPE_CHECKING:
    from perennial.config.problem import Problem

WORD = re.compile(r"[^\W_]+")
_LOWER = bytes(range(256)).lower()
_NEITHER_LETTER_NOR_DIGIT = bytes(byte for byte in range(128) if not chr(byte).isalnum())


class Inputs(Protocol):
    """What the documents of a problem give to its model."""

    @property
    def column(self) -> pa.Field:
        """The column of a snapshot that holds the inputs."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of a document that hold its input."""
        ...

    @property
    def fields(self) -> Mapping[str, FieldKind] | None:
        """The fields of a record with their kinds; None for a text."""
        ...

    def read(self, document: Mapping[str, Any], *, limited: bool = True) -> Any:
        """Return the input of a document, as the model takes it.

        Parameters
        ----------
        document : mapping
            The document.
        limited : bool
            Whether the problem's limits apply, which are for what is learned: what is asked may be
            empty, say.

        Raises
        ------
        UnusableError
            If it is missing or cannot be used; the message names the field.
        """
        ...

    def content_hash(self, value: Any) -> bytes:
        """Return what copies of an input have in common; it decides the split."""
        ...

    def write(self, value: Any) -> dict[str, Any]:
        """Return path -> value of the fields of a document that has this input."""
        ...


def inputs_of(problem: Problem) -> Inputs:
    """Return the kind of input that a problem has."""
    return TextInputs(problem) if problem.inputs is None else TabularInputs(problem.inputs)


class TextInputs:
    """One text per document."""

    column = pa.field("text", pa.large_string())
    fields = None

    def __init__(self, problem: Problem) -> None:
        self._name, self._limits = problem.source.fields.text, problem.limits
        self.names = (self._name,)

    def read(self, document: Mapping[str, Any], *, limited: bool = True) -> str:
        """Return the text; see `Inputs.read`."""
        name, limits = self._name, self._limits
        text = require_text(document, name)
        if not limited:
            return text
        require_utf8(name, text)
        if not text.strip():
            raise UnusableError(ReasonCode.EMPTY, name)
        words = sum(1 for _ in islice(WORD.finditer(TAG.sub(" ", text)), limits.min_words))
        if words < limits.min_words:
            why = f"has {words} words after normalisation, fewer than {limits.min_words}"
            raise UnusableError(ReasonCode.TOO_SHORT, name, why, value=text)
        if len(text) > limits.max_characters:
            why = f"has {len(text):,} characters, more than {limits.max_characters:,}"
            raise UnusableError(ReasonCode.TOO_LONG, name, why, value=text)
        return text

    def content_hash(self, value: str) -> bytes:
        """Return the hash of a text's content."""
        return content_hash(value)

    def write(self, value: str) -> dict[str, Any]:
        """Return the one field."""
        return {self._name: value}


def content_hash(text: str) -> bytes:
    """Hash a text's content: its letters and digits without case, tags, spaces and punctuation.

    Copies that differ in nothing else agree. The hash decides the split, too: changing how it is
    made moves documents between training and holdout.
    """
    if "<" in text:
        # Most tags are line breaks, which are found sooner without a pattern.
        unbroken = text.replace(BREAK, "")
        text = TAG.sub("", text) if "<" in unbroken else unbroken
    if text.isascii():
        content = text.encode().translate(_LOWER, _NEITHER_LETTER_NOR_DIGIT)
    else:
        content = "".join(filter(str.isalnum, text.casefold())).encode()
    return digest(content)
