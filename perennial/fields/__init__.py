"""Kinds of fields: the types of values that records have, one module for each.

A module of this room holds all there is to know about its kind: the name in a problem's file, the
check of a value, the type in a snapshot, and the encoding for a model. They are found by being
here. Nothing loads NumPy or Arrow before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Literal

from perennial.fields.base import Kind

# A module of the room that is no kind.
_SHARED = "base"


def _discover() -> Mapping[str, Kind]:
    names = [module.name for module in iter_modules(__path__) if module.name != _SHARED]
    kinds: list[Kind] = [import_module(f"{__name__}.{name}").KIND for name in names]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: (kind.position, kind.name))}


KINDS = _discover()
"""Every kind of field by its name."""

if TYPE_CHECKING:
    FieldKind = str
else:
    FieldKind = Literal[tuple(KINDS)]
    """The name of a kind in a problem's file."""
