"""The part `examples:` of a problem's file: inputs to try, which the service shows to everybody.

Those of texts are texts, those of records mappings of fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag

from perennial.config.errors import CrossReferenceError
from perennial.schema import FieldName

_Text = Annotated[str, Field(min_length=1, max_length=2_000)]


def _of_a_field(value: Any) -> Any:
    is_list = isinstance(value, list) and all(isinstance(word, str) for word in value)
    if not (value is None or is_list or isinstance(value, str | bool | int | float)):
        raise ValueError("must be a text, a number, true, false, or a list of words")
    return value


_Value = Annotated[Any, AfterValidator(_of_a_field)]
_Record = Annotated[dict[FieldName, _Value], Field(min_length=1)]
Example = _Text | _Record
# What is wrong with one of them is said of what it is, and not of what else it could be.
_Told = Annotated[
    Annotated[_Text, Tag("text")] | Annotated[_Record, Tag("record")],
    Discriminator(lambda example: "text" if isinstance(example, str) else "record"),
]
Examples = Annotated[tuple[_Told, ...], Field(max_length=5)]


def wrong_examples(
    examples: Sequence[Example], fields: Collection[str] | None
) -> Iterator[CrossReferenceError]:
    """Yield what is wrong with examples for records of these fields, or for texts."""
    for position, example in enumerate(examples):
        place = ("examples", str(position))
        if isinstance(example, str):
            if fields is not None:
                remedy = "examples of a problem with inputs are mappings of fields"
                yield CrossReferenceError(place, "is a text", remedy)
        elif fields is None:
            yield CrossReferenceError(place, "is a mapping", "examples of texts are texts")
        elif unknown := [name for name in example if name not in fields]:
            remedy = f"known fields: {', '.join(fields)}"
            yield CrossReferenceError((*place, unknown[0]), "is an unknown field", remedy)
