"""The schemas of the description, made from those that validate.

What pydantic writes is right, and hard on generators of clients: a default makes a field required
in TypeScript, a closed answer breaks a client when it gets one more field, a pair has no type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

REFERENCE = "#/components/schemas/{model}"
_REQUESTS = ("ClassifyRequest", "FeedbackRequest", "InvocationRequest", "InferenceRequest")
_NULL = {"type": "null"}
Schema = dict[str, Any]


def schemas(models: Sequence[type[BaseModel]]) -> dict[str, Schema]:
    """Return the schema of each model, and of each that it is made of, by their names."""
    _, written = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template=REFERENCE
    )
    found: dict[str, Schema] = written["$defs"]
    closed = set(_reached(found, [name for name in _REQUESTS if name in found]))
    for name, schema in found.items():
        _open(schema, is_request=name in closed)
    _name_unions(found)
    return dict(sorted(found.items()))


def _reached(found: Mapping[str, Schema], names: Sequence[str]) -> Iterator[str]:
    """Yield schemas and all that they refer to."""
    for name in names:
        yield name
        yield from _reached(found, [inner for inner in _references(found[name]) if inner != name])


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _open(schema: Schema, *, is_request: bool) -> None:
    """Take away what generators stumble over; clients may send no unknown field all the same."""
    schema.pop("title", None)
    if not is_request:
        schema.pop("additionalProperties", None)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        if name not in required:
            field.pop("default", None)
            if not is_request:
                _without_null(field)
        _simplify(field)


def _without_null(field: Schema) -> None:
    """Let an optional field of an answer be absent, and not null as well."""
    choices = [choice for choice in field.get("anyOf", ()) if choice != _NULL]
    if "anyOf" in field and len(choices) == 1:
        del field["anyOf"]
        field.update(choices[0])


def _simplify(node: Any) -> None:
    """Leave out titles, and write a pair as a list of two."""
    if isinstance(node, list):
        for value in node:
            _simplify(value)
    elif isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        if "prefixItems" in node:
            node["items"] = node.pop("prefixItems")[0]
        for value in node.values():
            _simplify(value)


def _name_unions(found: dict[str, Schema]) -> None:
    """Give names to what an input may be, and to the places of a feature."""
    inputs = found["ClassifyRequest"]["properties"]["inputs"]
    text, record = inputs["items"]["anyOf"]
    found["Text"] = {**text, "description": "a text, as it was typed"}
    found["Record"] = {**record, "description": "the fields of a record; GET /models names them"}
    found["Input"] = {
        "description": "a text for a model of texts, a record for a tabular model",
        "anyOf": [{"$ref": REFERENCE.format(model=name)} for name in ("Text", "Record")],
    }
    inputs["items"] = {"$ref": REFERENCE.format(model="Input")}
    spans = found["Contribution"]["properties"]["spans"]
    found["Span"] = {
        **spans["items"],
        "description": "where a feature begins, and where it ends, in Unicode code points",
    }
    spans["items"] = {"$ref": REFERENCE.format(model="Span")}
