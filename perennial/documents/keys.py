"""Keys: values of MongoDB as texts, equal for equal values and for no others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bson import ObjectId, json_util

from perennial import paths
from perennial.fields.base import plain

# No label of a problem file is longer.
_LABEL_CHARACTERS = 1_000
NULL = "null"
_NUMBER = re.compile(r'\{"\$number(Int|Long|Double)": "([-+.0-9eE]+)"\}')


def document_key(identifier: object) -> str:
    """Return a document's ``_id`` as text: itself, or MongoDB's extended JSON of another type."""
    if isinstance(identifier, str) and not identifier.startswith(("{", '"')):
        return identifier
    if isinstance(identifier, ObjectId):
        return f'{{"$oid": "{identifier}"}}'
    key = json_util.dumps(identifier, json_options=json_util.CANONICAL_JSON_OPTIONS)
    return key if key.startswith(("{", '"')) else f'{{"_id": {key}}}'


def document_id(key: str) -> Any:
    """Return the ``_id`` that a `document_key` stands for."""
    if not key.startswith(("{", '"')):
        return key
    value = json_util.loads(key, json_options=json_util.CANONICAL_JSON_OPTIONS)
    return value["_id"] if isinstance(value, dict) and set(value) == {"_id"} else value


def typed_keys(typed: str) -> list[str]:
    """Return the keys that a person may mean: a text, an ObjectId, or extended JSON of a value."""
    found = [typed, *([document_key(ObjectId(typed))] if ObjectId.is_valid(typed) else [])]
    try:
        found.append(document_key(json_util.loads(typed)))
    except (ValueError, TypeError):
        return found
    return list(dict.fromkeys(found))


def plain_key(key: str) -> str:
    """Return a `document_key` in which numbers of all types are written alike."""

    def plain_number(found: re.Match[str]) -> str:
        kind, digits = found.groups()
        whole = int(digits) if kind != "Double" else float(digits)
        return str(int(whole)) if whole == int(whole) else str(whole)

    return _NUMBER.sub(plain_number, key) if key.startswith("{") else key


def label_key(value: object) -> str:
    """Return the raw value of a label as text: JSON, so that 1, "1" and true are three labels.

    Whole numbers of every type are the same label.
    """
    value = plain(value)
    if isinstance(value, float | Decimal):
        return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    key = json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False)
    return key[:_LABEL_CHARACTERS].encode("utf-8", "replace").decode()


def field_label_key(document: Mapping[str, Any], path: str) -> str | None:
    """Return the key of a document's label; None if the document has no such field."""
    value = paths.read(document, path)
    return None if value is paths.MISSING else label_key(value)
