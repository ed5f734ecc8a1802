"""A table that is shown both as Markdown and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class TextTable:
    """One table, to be shown as Markdown and in the terminal."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """Return the table in Markdown, its title as a heading."""
        lines = [self.head, ("---",) * len(self.head), *self.rows]
        body = "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)
        return f"## {self.title}\n\n{body}\n"

    def rich(self) -> Table:
        """Return the table for the terminal."""
        table = Table(title=self.title, title_justify="left", title_style="bold", min_width=72)
        for name in self.head:
            table.add_column(name)
        for row in self.rows:
            # Brackets in what people write are no styles.
            table.add_row(*map(Text, row))
        return table


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
