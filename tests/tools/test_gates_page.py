"""docs/gates.md has every gate, as perennial/gates/ says."""

from __future__ import annotations

import pytest

from perennial.config.sections.gates import Gates
from tools.gates_page import DOCUMENT, insert, table


def test_the_gates_in_the_document_are_current() -> None:
    document = DOCUMENT.read_text()

    assert insert(document) == document, "run `make gates-page`"


@pytest.mark.parametrize("key", [key for key in Gates.model_fields if key != "answer_within"])
def test_every_key_has_a_row_of_its_own(key: str) -> None:
    rows = [row for row in table().splitlines() if row.startswith(f"| `{key}:")]

    assert len(rows) == 1


def test_what_waits_for_an_answer_is_in_the_section_about_it() -> None:
    assert "`answer_within`" in DOCUMENT.read_text()


def test_a_value_with_a_bar_stays_in_its_cell() -> None:
    assert r"`promotion: auto \| approve \| never`" in table()


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        insert("# Nothing")
