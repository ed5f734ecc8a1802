"""What messages call commands and counts."""

from __future__ import annotations

import pytest

from perennial.commands import command, counted


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (0, ("document",), "0 documents"),
        (1, ("document",), "1 document"),
        (2_000, ("document",), "2,000 documents"),
        (1, ("case has", "cases have"), "1 case has"),
        (3, ("case has", "cases have"), "3 cases have"),
    ],
)
def test_a_count_agrees_with_what_is_counted(count: int, words: tuple[str, ...], said: str) -> None:
    assert counted(count, *words) == said


def test_a_command_is_named_as_it_is_typed() -> None:
    assert command("retrain", "reviews", "--force") == "perennial retrain reviews --force"
