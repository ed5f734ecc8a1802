"""What must not be stored is gone before a document becomes a revision, usable or not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.redact import Redact
from perennial.documents.revisions import Found, reading_digest, to_revisions
from perennial.inputs.identity import CURRENT_IDENTITY
from tests.perennial.conftest import PROBLEMS

REDACT = Redact(patterns=("email",), own={"order": r"ORD-\d+"})
SECRETS = ("ann@example.org", "ORD-77")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def _problem(name: str) -> Problem:
    problem = load_problem(PROBLEMS / f"{name}.yaml")
    return problem.model_copy(update={"redact": REDACT})


def _rows(problem: Problem, **document: Any) -> list[dict[str, Any]]:
    found = [Found({"_id": "a", "created_at": AT, **document}, 0)]
    rows: list[dict[str, Any]] = to_revisions(found, problem, CURRENT_IDENTITY).to_pylist()
    return rows


def test_a_text_is_stored_and_counted_without_it() -> None:
    (row,) = _rows(
        _problem("sentiment"), text="write ann@example.org about ORD-77 now", label=1, source="x"
    )

    assert row["text"] == "write [email] about [order] now"
    assert row["characters"] == len(row["text"])


@pytest.mark.parametrize("name", ["sentiment", "iris"])
def test_a_document_in_quarantine_is_stored_without_it(name: str) -> None:
    wrong = " ".join(SECRETS)
    (row,) = _rows(_problem(name), text=[wrong], petal_width=wrong, label=1)

    assert row["code"] is not None
    assert not any(secret in str(row) for secret in SECRETS)
    assert "[email] [order]" in row["raw"]


def test_documents_that_differ_in_what_is_redacted_are_copies() -> None:
    problem = _problem("sentiment")
    one, other = (
        _rows(problem, text=f"a film for {who}", label=1)[0]["content"]
        for who in ("ann@example.org", "bob@example.com")
    )

    assert one == other


def test_documents_are_read_anew_when_the_rules_change_and_only_then() -> None:
    plain = load_problem(PROBLEMS / "sentiment.yaml")
    more = plain.model_copy(update={"redact": Redact(patterns=("email", "ip"))})

    digests = {reading_digest(p, CURRENT_IDENTITY) for p in (plain, _problem("sentiment"), more)}
    assert len(digests) == 3
    assert plain.digest != _problem("sentiment").digest
