"""docs/production.md has every setting, as settings.py says."""

from __future__ import annotations

import pytest

from tools.settings_table import DOCUMENT, GROUPS, insert, table


def test_the_table_in_the_document_is_current() -> None:
    document = DOCUMENT.read_text()

    assert insert(document) == document, "run `make settings-table`"


def test_every_setting_has_a_row_with_its_meaning() -> None:
    rows = table().splitlines()[2:]

    assert len(rows) == sum(len(group.model_fields) for group in GROUPS)
    assert all(row.split("|")[4].strip() for row in rows)
    assert any(row.startswith("| `MONGODB_URI` | **secret** |") for row in rows)


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        insert("# Nothing")
