"""The part of a document that is generated: what stands between two marks."""

from __future__ import annotations


def insert(document: str, name: str, content: str) -> str:
    """Return a document with this content between its marks ``<!-- NAME: begin -->`` and ``end``.

    Raises
    ------
    ValueError
        If the document has no marks of that name.
    """
    begin, end = (f"<!-- {name}: {edge} -->" for edge in ("begin", "end"))
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the document needs the lines {begin} and {end}")
    return f"{before}{begin}\n{content}\n{end}{after}"
