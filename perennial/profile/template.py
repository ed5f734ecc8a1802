"""A problem's file, written: its keys are those of the schema, its comments say what was found."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from perennial.config.problem import Problem
from perennial.profile.comments import Place, comments_at, lines_before
from perennial.profile.draft import Draft

# Parts whose entries stand one below the other, however short they are.
_LISTS = (("labels",), ("inputs",), ("source",))
_COLUMN = 32
_WIDTH = 110


def write_problem(draft: Draft) -> str:
    """Return the file of a draft: every key that was set, in the order of the schema."""
    content = draft.problem.model_dump(exclude_unset=True, exclude={"name"})
    ordered = {key: content[key] for key in Problem.model_fields if key in content}
    validation = draft.problem.validation
    if validation.share is not None:
        ordered["validation"] = validation.share
    root = _mapping(ordered, (), comments_at(draft))
    before = lines_before(draft)
    for key in list(ordered)[1:]:
        lines = before.get(key, [])
        if lines or (isinstance(ordered[key], Mapping) and len(str(ordered[key])) > _COLUMN):
            root.yaml_set_comment_before_after_key(key, before="\n".join(["", *lines]))
    stream = StringIO()
    yaml = YAML()
    yaml.width = _WIDTH
    yaml.allow_unicode = True
    yaml.dump(root, stream)
    rows = draft.findings.table.rows
    return f"# Made from {rows:,} rows by `perennial init`; every line may be changed.\n" + (
        stream.getvalue()
    )


def _mapping(
    values: Mapping[str, Any], place: Place, comments: Mapping[Place, str]
) -> CommentedMap:
    found = CommentedMap()
    for key, value in values.items():
        here = (*place, key)
        found[key] = _value(value, here, comments)
        if here in comments:
            found.yaml_add_eol_comment(comments[here], key, column=_COLUMN)
    return found


def _value(value: Any, place: Place, comments: Mapping[Place, str]) -> Any:
    if isinstance(value, Mapping):
        found = _mapping(value, place, comments)
        is_candidate = place[0] == "candidates" and len(place) == 2
        is_flat = not any(isinstance(each, Mapping) for each in value.values())
        commented = any(other[:-1] == place for other in comments)
        if is_flat and not (is_candidate or commented or place in _LISTS):
            found.fa.set_flow_style()
        return found
    if isinstance(value, list | tuple):
        items = CommentedSeq(value)
        items.fa.set_flow_style()
        return items
    return value
