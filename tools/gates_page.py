"""The gates in docs/gates.md, written from perennial/gates/.

`make gates-page` writes them; a test compares the document with them.
"""

from __future__ import annotations

import sys

from perennial.gates.catalogue import find_gates
from perennial.settings import PROJECT
from tools import marked

DOCUMENT = PROJECT / "docs" / "gates.md"


def table() -> str:
    """Return every key of every gate as a row, with an example and its effect."""
    rows = [example for gate in find_gates() for example in gate.examples]
    lines = [f"| {_escape(key)} | {_escape(effect)} |" for key, effect in rows]
    return "\n".join(["| key | the challenger is kept out when |", "|---|---|", *lines])


def page() -> str:
    """Return the table of all gates, and the sections of those that have more to say."""
    sections = [gate.section.strip() for gate in find_gates() if gate.section]
    return "\n\n".join([table(), *sections])


def insert(document: str) -> str:
    """Return a document with the current gates between its two marks."""
    return marked.insert(document, "gates", f"\n{page()}\n")


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")


def main() -> None:
    """Write the gates into the document."""
    DOCUMENT.write_text(insert(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT.relative_to(PROJECT)} is current.\n")


if __name__ == "__main__":
    main()
