"""Markdown: tables and texts from docstrings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; line breaks and bars in its cells do not end them."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def text_of(docstring: str | None) -> str:
    """Return the Markdown of a docstring, whose code is in double backticks."""
    return (docstring or "").replace("``", "`").strip()


def first_line(docstring: str | None) -> str:
    """Return the first line of a docstring."""
    return text_of(docstring).partition("\n")[0]


def code(value: object) -> str:
    """Return a value as code."""
    return f"`{value}`"


def json_block(value: object) -> str:
    """Return a value as a block of JSON."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"
