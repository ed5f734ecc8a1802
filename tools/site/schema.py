"""JSON schemas of pydantic models as tables: key, type, default and meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.site.markdown import code, table, text_of

Schema = Mapping[str, Any]
Path = tuple[str, ...]

_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
_NAMES = {"boolean": "`true` or `false`", "string": "text", "null": "`null`"}
# The key of a mapping whose keys a person chooses.
ANY_KEY = "NAME"


@dataclass(frozen=True)
class Node:
    """An object of a schema: where it stands, and what it is."""

    path: Path
    schema: Schema

    @property
    def name(self) -> str:
        """The keys that lead to it, and its type: what tells it from all other objects."""
        return ".".join((*self.path, str(self.schema.get("title", ""))))


def anchor(node: Node) -> str:
    """Return the address of an object within its page."""
    return node.name.lower().replace(".", "-")


class Document:
    """A schema with its definitions.

    Parameters
    ----------
    definitions : mapping of str to schema
        What references name, by the last part of the reference.
    linked : bool
        Whether each object has a table of its own, headed by its `anchor`.
    """

    def __init__(self, definitions: Mapping[str, Schema], *, linked: bool = False) -> None:
        self._definitions = definitions
        self._linked = linked

    def nodes(self, schema: Schema, path: Path = ()) -> Iterator[Node]:
        """Yield an object and all objects in it, each before its parts."""
        schema = self._resolve(schema)
        yield Node(path, schema)
        for key, part in schema.get("properties", {}).items():
            for inner, found in self._objects(part, (*path, key)):
                yield from self.nodes(found, inner)

    def rows(self, node: Node) -> str:
        """Return the table of the keys of an object."""
        required = node.schema.get("required", ())
        return table(
            ("key", "type", "default", "meaning"),
            [
                (
                    code(key),
                    self.kind(part),
                    "required" if key in required else self._default(part),
                    self._meaning(part) + self._links(part, (*node.path, key)),
                )
                for key, part in node.schema.get("properties", {}).items()
            ],
        )

    def kind(self, schema: Schema) -> str:
        """Return what a person writes for a value, with its bounds."""
        schema = self._resolve(schema)
        if "enum" in schema:
            return ", ".join(code(value) for value in schema["enum"])
        if "const" in schema:
            return code(schema["const"])
        for key in ("anyOf", "oneOf"):
            if key in schema:
                kinds = [self.kind(part) for part in schema[key] if part.get("type") != "null"]
                return " or ".join(dict.fromkeys(kinds))
        return self._plain_kind(schema)

    def _plain_kind(self, schema: Schema) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            return " or ".join(str(_NAMES.get(each, each)) for each in kind)
        if kind == "array":
            return f"list of {self.kind(schema['items'])}" if "items" in schema else "list"
        if kind == "object":
            values = _values(schema)
            return "mapping" if not values else f"mapping to {self.kind(values)}"
        if kind is None:
            return "any value"
        name = str(schema.get("format", _NAMES.get(kind, kind)))
        bounds = [f"{words} {schema[key]:g}" for key, words in _BOUNDS.items() if key in schema]
        return " ".join([name, " and ".join(bounds)]).strip()

    def _default(self, schema: Schema) -> str:
        if "default" not in schema:
            return ""
        value = schema["default"]
        if value is None:
            return "none"
        if isinstance(value, dict) and value:
            return ""
        return code(json.dumps(value, ensure_ascii=False)) if value != {} else "`{}`"

    def _meaning(self, schema: Schema) -> str:
        return text_of(schema.get("description") or self._resolve(schema).get("description"))

    def _links(self, schema: Schema, path: Path) -> str:
        """Return links to the objects that a value may be, if they have tables of their own."""
        if not self._linked:
            return ""
        nodes = [Node(inner, found) for inner, found in self._objects(schema, path)]
        return "".join(f" [{'.'.join(node.path)}](#{anchor(node)})" for node in nodes)

    def _resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        return schema

    def _objects(self, schema: Schema, path: Path) -> Iterator[tuple[Path, Schema]]:
        """Yield the objects with keys of their own that a value may be, or contain."""
        schema = self._resolve(schema)
        if "properties" in schema:
            yield path, schema
        for part in _alternatives(schema):
            yield from self._objects(part, path)
        if isinstance(schema.get("items"), dict):
            yield from self._objects(schema["items"], path)
        if values := _values(schema):
            yield from self._objects(values, (*path, ANY_KEY))


def _alternatives(schema: Schema) -> Sequence[Schema]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _values(schema: Schema) -> Schema:
    """Return the schema of the values of a mapping; an empty one if there is none."""
    for found in (
        schema.get("additionalProperties"),
        *schema.get("patternProperties", {}).values(),
    ):
        if isinstance(found, dict):
            return found
    return {}
