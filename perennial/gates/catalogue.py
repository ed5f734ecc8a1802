"""The catalogue of gates: every module of this room that defines one, and their common doors."""

from __future__ import annotations

import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import perennial.gates
from perennial.gates.base import Comparison, Conflict, Evidence, Gate, GateResult, ModelOnHoldout
from perennial.metrics import Needed
from perennial.schema import Schema

# Modules of the room that are no gate.
_OTHERS = frozenset({"base", "catalogue"})


@cache
def find_gates() -> tuple[Gate[Any, Any], ...]:
    """Return every gate, in the order of their results in a verdict.

    Raises
    ------
    TypeError
        If a module of the room has no ``GATE`` of its own name, a key has no default, or two gates
        share a key.
    """
    names = {module.name for module in pkgutil.iter_modules(perennial.gates.__path__)} - _OTHERS
    gates = sorted(map(_load, names), key=lambda gate: (gate.position, gate.name))
    fields = [field for gate in gates for field in gate.keys.model_fields.items()]
    required = [key for key, field in fields if field.is_required()]
    if required:
        raise TypeError(
            f"The keys of gates need defaults; there is none for {', '.join(required)}."
        )
    shared = [key for key, count in Counter(key for key, _ in fields).items() if count > 1]
    if shared:
        raise TypeError(f"Each key belongs to one gate; several gates have {', '.join(shared)}.")
    return tuple(gates)


def key_schemas() -> tuple[type[Schema], ...]:
    """Return the schemas of all keys, in the order of their gates."""
    return tuple(gate.keys for gate in find_gates() if gate.keys.model_fields)


def keys_for_texts() -> tuple[tuple[str, ...], ...]:
    """Return the keys under ``gates:`` that a problem with ``inputs:`` does not have."""
    return tuple(key for gate in find_gates() for key in gate.only_for_texts)


def optional_keys() -> frozenset[str]:
    """Return the keys that are left out of a problem's digest while they have their defaults."""
    optional = (gate for gate in find_gates() if not gate.in_every_digest)
    return frozenset(key for gate in optional for key in gate.keys.model_fields)


def find_conflicts(asked: Schema, *, has: Callable[[Needed | None], bool]) -> Iterator[Conflict]:
    """Yield the values under ``gates:`` that contradict the rest of a problem's file."""
    for gate in find_gates():
        yield from gate.conflicts(asked, has=has)


def measure(asked: Schema, subject: ModelOnHoldout) -> dict[str, Any]:
    """Return the measurements of a fitted model that a problem's gates ask for, by gate."""
    found = {gate.name: gate.measure(asked, subject) for gate in find_gates()}
    return {name: value for name, value in found.items() if value is not None}


def look_up(asked: Schema, comparison: Comparison) -> dict[str, Any]:
    """Return the measurements of registered versions that a problem's gates ask for, by gate.

    Raises
    ------
    OutsideError
        If the registry cannot be used.
    """
    found = {gate.name: gate.look_up(asked, comparison) for gate in find_gates()}
    return {name: value for name, value in found.items() if value is not None}


def judge(
    asked: Schema, evidence: Evidence, gates: Sequence[Gate[Any, Any]] | None = None
) -> tuple[GateResult, ...]:
    """Return the results of some gates, of all of them by default."""
    return tuple(
        result
        for gate in (find_gates() if gates is None else gates)
        for result in gate.judge(asked, evidence, evidence.measured.get(gate.name))
    )


def _load(name: str) -> Gate[Any, Any]:
    gate = getattr(import_module(f"perennial.gates.{name}"), "GATE", None)
    if not isinstance(gate, Gate) or gate.name != name:
        raise TypeError(f"perennial/gates/{name}.py needs a GATE, a Gate with the name {name!r}.")
    return gate
