"""The report of an erasure: what was erased where, and what was searched; no content."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact
from rich.console import Console

from perennial.config.problem import Problem
from tasks.erasure.erase import Erasure
from tasks.tables.base import TextTable

_NOTHING = "-"


def report_erasure(problem: Problem, erasure: Erasure) -> None:
    """Show an erasure in the terminal and as a Prefect artifact."""
    table = erasure_table(problem.name, erasure)
    Console().print(table.rich())
    create_markdown_artifact(
        key=f"erase-{problem.name}", markdown=table.markdown(), description=table.title
    )


def erasure_table(problem: str, erasure: Erasure) -> TextTable:
    """Return a table of what was erased, and what was searched."""
    proof = erasure.proof
    marked = ", ".join(map(str, erasure.marked)) or _NOTHING
    counted = [
        ("documents with a new tombstone", erasure.documents),
        ("revisions taken out of the table", erasure.revisions),
        ("models with other golden examples", erasure.models),
        ("shorter lists of labels that look wrong", erasure.lists),
        ("predictions taken out of the log", erasure.predictions),
        ("scores removed", erasure.scores),
        ("documents deleted in MongoDB", erasure.deleted),
        ("old files and versions removed", erasure.versions),
        ("files searched, with old versions", proof.files),
        ("bytes searched", proof.size),
        ("ids and parts of texts searched for, none found", proof.parts - proof.shared),
        ("parts that other documents have, too", proof.shared),
        ("ids and texts too short to search for", proof.too_short),
    ]
    rows = [(name, f"{count:,}") for name, count in counted]
    rows.append(("versions that learned from erased documents", marked))
    rows += [("not searched", name) for name in proof.not_searched]
    return TextTable(f"Erased from {problem}", ("what", "found"), rows)
