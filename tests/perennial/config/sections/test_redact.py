"""What must not be stored is found in texts and records, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perennial.config.sections.redact import Redact

ALL = Redact(patterns=("email", "iban", "card", "phone", "ip"), own={"order": r"ORD-\d{6}"})


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("write to ann.lee+news@mail.example.org.", "write to [email]."),
        ("jörg@exämple.de, thanks", "[email], thanks"),
        ("DE89 3704 0044 0532 0130 00 is mine", "[iban] is mine"),
        ("card 4111 1111 1111 1111 expired", "card [card] expired"),
        ("call +44 20 7946 0958 or 030/1234-5678", "call [phone] or [phone]"),
        ("from 192.168.1.20.", "from [ip]."),
        ("where is ORD-123456?", "where is [order]?"),
        ("一个邮箱 a@b.cn 在这里", "一个邮箱 [email] 在这里"),
    ],
)
def test_what_must_not_be_stored_becomes_its_name(text: str, redacted: str) -> None:
    assert ALL.text(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "10 of 10, seen on 2021-05-17 at 20:15",
        "1234567890123456 is no card",
        "version 1.2.3.4.5 and 3.14",
        "a @ b, @someone and #tag",
        "it cost 1,250.00 and has 4,000 words",
        "",
    ],
)
def test_other_numbers_and_signs_stay(text: str) -> None:
    assert ALL.text(text) == text


@given(st.text(st.sampled_from("ab1 +0.@-/DE\n"), max_size=60))
def test_a_redacted_text_is_redacted(text: str) -> None:
    once = ALL.text(text)

    assert ALL.text(once) == once


def test_a_record_is_redacted_in_its_texts_alone() -> None:
    record: dict[str, Any] = {"note": "a@b.org", "age": 41.0, "tags": ["x", "c@d.org"], "no": None}

    assert ALL.apply(record) == {
        "note": "[email]",
        "age": 41.0,
        "tags": ["x", "[email]"],
        "no": None,
    }


@pytest.mark.parametrize("text", ["a" * 100_000, "1 " * 50_000, "a." * 50_000, "+1" * 50_000])
@pytest.mark.timeout(60)
def test_a_long_text_is_redacted_before_anybody_stops_waiting(text: str) -> None:
    once = ALL.text(text)

    assert ALL.text(once) == once


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "needs patterns, own, or both"),
        ({"patterns": ["mail"]}, "Input should be"),
        ({"own": {"order": "("}}, "no regular expression"),
        ({"own": {"order": "a*"}}, "must not find an empty text"),
        ({"own": {"email": "x"}}, "has the name of a known kind"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as error:
        Redact.model_validate(given)

    (found,) = error.value.errors()
    cause = found.get("ctx", {}).get("error")
    assert says in f"{found['msg']} {getattr(cause, 'problem', '')} {getattr(cause, 'remedy', '')}"
