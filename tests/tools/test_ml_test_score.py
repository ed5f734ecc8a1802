"""The page of the ML Test Score has every test once, each with a command or what is missing."""

from __future__ import annotations

import re

import pytest

from perennial.settings import PROJECT

PAGE = (PROJECT / "docs" / "explanation" / "ml-test-score.md").read_text()
_ROW = re.compile(r"^\| (\d) \| (.+?) \| (.+?) \| (yes|in part|no) \|$", re.MULTILINE)
_COMMAND = re.compile(r"`(?:perennial|make) [^`]+`|`perennial status`")


@pytest.mark.parametrize("part", ["Data", "Model", "Infrastructure", "Monitoring"])
def test_each_part_has_its_seven_tests_in_order(part: str) -> None:
    text = PAGE.split(f"## {part}\n")[1].split("\n## ")[0]

    assert [number for number, *_ in _ROW.findall(text)] == list("1234567")


@pytest.mark.parametrize("row", _ROW.findall(PAGE), ids=lambda row: row[1][:50])
def test_whatever_is_shown_has_a_command_and_whatever_is_not_says_what_is_missing(
    row: tuple[str, str, str, str],
) -> None:
    _, _, found, shown = row

    assert bool(_COMMAND.search(found)) == (shown != "no")
    if shown != "yes":
        assert re.search(r"\b(not|no|none|nothing)\b", found, re.IGNORECASE)
