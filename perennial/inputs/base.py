"""The kinds of input: one text, or a record of fields. What else differs between them is here.

A problem has one kind, which `inputs_of` returns; tasks and flows work with that and need not know
which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from perennial.commands import counted
from perennial.fields import FieldKind
from perennial.inputs.identity import FIRST_IDENTITY, content_hash, content_hashes
from perennial.inputs.records import TabularInputs
from perennial.inputs.validation import require_text, require_utf8
from perennial.reasons import ReasonCode, UnusableError
from perennial.text.scripts import count_words

if TYPE_CHECKING:
    from perennial.config.problem import Problem
    from perennial.config.sections.redact import Redact


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

    @property
    def required(self) -> tuple[str, ...]:
        """The fields of a document that must have a value."""
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

    def content_hash(self, value: Any, version: int = FIRST_IDENTITY) -> bytes:
        """Return the identity of an input, which decides the split.

        Parameters
        ----------
        value : str, or mapping of str to value
            The input, as `read` returns it.
        version : int
            The version of the identity; see `perennial.inputs.identity`.
        """
        ...

    def content_hashes(self, column: pa.Array, version: int) -> pa.FixedSizeBinaryArray:
        """Return what `content_hash` does for each input of a column of a snapshot."""
        ...

    def write(self, value: Any) -> dict[str, Any]:
        """Return path -> value of the fields of a document that has this input."""
        ...


def inputs_of(problem: Problem) -> Inputs:
    """Return the kind of input that a problem has; texts are redacted where it asks for that."""
    inputs = _inputs_of(problem)
    return inputs if problem.redact is None else RedactedInputs(inputs, problem.redact)


def _inputs_of(problem: Problem) -> Inputs:
    if problem.inputs is None:
        return TextInputs(problem)
    fields = {name: spec.kind for name, spec in problem.inputs.items()}
    required = [name for name, spec in problem.inputs.items() if spec.required]
    return TabularInputs(fields, required)


class RedactedInputs:
    """Inputs without what must not be stored.

    Parameters
    ----------
    inputs : Inputs
        The inputs as they are.
    redact : Redact
        What is taken out of their texts.
    """

    def __init__(self, inputs: Inputs, redact: Redact) -> None:
        self._inputs, self._redact = inputs, redact
        self.column, self.names = inputs.column, inputs.names
        self.fields, self.required = inputs.fields, inputs.required

    def read(self, document: Mapping[str, Any], *, limited: bool = True) -> Any:
        """Return the input of a document, redacted; see `Inputs.read`."""
        return self._redact.apply(self._inputs.read(document, limited=limited))

    def content_hash(self, value: Any, version: int = FIRST_IDENTITY) -> bytes:
        """Return the identity of an input."""
        return self._inputs.content_hash(value, version)

    def content_hashes(self, column: pa.Array, version: int) -> pa.FixedSizeBinaryArray:
        """Return the identities of inputs."""
        return self._inputs.content_hashes(column, version)

    def write(self, value: Any) -> dict[str, Any]:
        """Return the fields of a document."""
        return self._inputs.write(value)


class TextInputs:
    """One text per document."""

    column = pa.field("text", pa.large_string())
    fields = None

    def __init__(self, problem: Problem) -> None:
        self._name, self._limits = problem.source.fields.text, problem.limits
        self.names = self.required = (self._name,)

    def read(self, document: Mapping[str, Any], *, limited: bool = True) -> str:
        """Return the text; see `Inputs.read`."""
        name, limits = self._name, self._limits
        text = require_text(document, name)
        if not limited:
            return text
        require_utf8(name, text)
        if not text.strip():
            raise UnusableError(ReasonCode.EMPTY, name)
        words = count_words(text, limits.min_words)
        if words < limits.min_words:
            had = counted(words, "word")
            why = f"has {had} after normalisation, fewer than {limits.min_words}"
            raise UnusableError(ReasonCode.TOO_SHORT, name, why, value=text)
        if len(text) > limits.max_characters:
            why = f"has {len(text):,} characters, more than {limits.max_characters:,}"
            raise UnusableError(ReasonCode.TOO_LONG, name, why, value=text)
        return text

    def content_hash(self, value: str, version: int = FIRST_IDENTITY) -> bytes:
        """Return the identity of a text."""
        return content_hash(value, version)

    def content_hashes(self, column: pa.Array, version: int) -> pa.FixedSizeBinaryArray:
        """Return the identities of texts."""
        return content_hashes(column, version)

    def write(self, value: str) -> dict[str, Any]:
        """Return the one field."""
        return {self._name: value}
