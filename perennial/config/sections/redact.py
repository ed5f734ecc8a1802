r"""The schema of ``redact:``: what is taken out of texts before they are stored or learned from.

::

    redact:
      patterns: [email, phone, card]
      own: {order: 'ORD-\d{6}'}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from perennial.config.errors import CrossReferenceError
from perennial.schema import Name, Schema

Pattern = Literal["email", "iban", "card", "phone", "ip"]
_DIGIT = r"(?:[ ()./-]{0,2}\d)"
# None tries a place within a word again, so that long words cost no more than short ones.
_PATTERNS: Mapping[Pattern, str] = {
    "email": r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++",
    "iban": r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)",
    "card": r"(?<!\w)\d(?:[ -]?\d){12,18}(?!\w)",
    "phone": rf"(?<![\w+])(?:\+\d{_DIGIT}{{6,14}}|0\d{_DIGIT}{{7,13}})(?!\w)",
    "ip": r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w)",
}


class Redact(Schema):
    """What is taken out of texts: each find becomes its name in brackets, such as ``[email]``.

    It applies to every text of an input, where it is read from MongoDB and where it is sent to the
    service, so that a model learns from and is asked about the same.
    """

    patterns: tuple[Pattern, ...] = Field(
        default=(), description="known kinds: `email`, `iban`, `card`, `phone` and `ip`"
    )
    own: dict[Name, str] = Field(default={}, description="name -> a regular expression of Python")

    @model_validator(mode="after")
    def _finds_something(self) -> Self:
        if not self.patterns and not self.own:
            raise ValueError("needs patterns, own, or both")
        for name, pattern in self.own.items():
            try:
                finds_nothing = re.compile(pattern).search("") is not None
            except re.error as error:
                raise CrossReferenceError(
                    ("own", name), f"is {pattern!r}", f"no regular expression: {error}"
                ) from None
            if finds_nothing:
                raise CrossReferenceError(
                    ("own", name), f"is {pattern!r}", "it must not find an empty text"
                )
            if name in get_args(Pattern):
                raise CrossReferenceError(
                    ("own", name), "has the name of a known kind", "give it another one"
                )
        return self

    @cached_property
    def _compiled(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        return tuple(self._named())

    def _named(self) -> Iterator[tuple[str, re.Pattern[str]]]:
        for name, pattern in self.own.items():
            yield name, re.compile(pattern)
        for known, pattern in _PATTERNS.items():
            if known in self.patterns:
                yield known, re.compile(pattern)

    def text(self, text: str) -> str:
        """Return a text without what must not be stored."""
        for name, pattern in self._compiled:
            text = pattern.sub(_card if name == "card" else f"[{name}]", text)
        return text

    def apply(self, value: Any) -> Any:
        """Return a text, or a record, without what must not be stored."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self.apply(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.apply(each) for each in value]
        return value


def _card(found: re.Match[str]) -> str:
    """Return what stands for a number of a card; other long numbers stay as they are."""
    digits = [int(each) for each in found[0] if each.isdigit()]
    doubled = (2 * each - 9 * (each > 4) for each in digits[-2::-2])
    return "[card]" if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else found[0]
