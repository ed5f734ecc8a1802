"""A reason is one of a fixed set; the sentence about a value shows no more than its beginning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perennial.reasons import Reason, ReasonCode, UnusableError


@given(st.sampled_from(ReasonCode), st.text())
def test_the_key_of_a_reason_is_read_again(code: ReasonCode, field: str) -> None:
    reason = Reason(code, field)

    assert Reason.parse(reason.key) == reason
    assert str(reason).startswith(f"{field} ")


@given(st.text() | st.binary() | st.integers() | st.floats() | st.lists(st.text()))
def test_an_example_is_short_and_on_one_line_of_valid_text(value: object) -> None:
    error = UnusableError(ReasonCode.WRONG_TYPE, "size", value=value)

    assert len(error.detail) <= 50
    assert len(error.detail.splitlines()) <= 1
    assert error.detail.encode()
    assert error.reason == Reason(ReasonCode.WRONG_TYPE, "size")


def test_a_number_that_python_does_not_write_has_a_sentence_all_the_same() -> None:
    error = UnusableError(ReasonCode.OUT_OF_RANGE, "size", value=10**5000)

    assert str(error) == "size is out of range: int that cannot be shown"
