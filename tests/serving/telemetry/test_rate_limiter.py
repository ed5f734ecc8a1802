"""What is allowed per turn holds in the long run, whatever the size of the pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.telemetry.rate_limiter import TokenBucket


@given(
    per_turn=st.integers(1, 200),
    sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=60),
    turns=st.integers(1, 100),
)
def test_many_turns_do_as_much_as_is_allowed_and_at_most_one_piece_more(
    per_turn: int, sizes: list[int], turns: int
) -> None:
    bucket, waiting, done = TokenBucket(per_turn), list(sizes), 0

    for turn in range(1, turns + 1):
        bucket.renew()
        while waiting and bucket.is_left():
            size = waiting.pop(0)
            bucket.spend(size)
            done += size
        assert done < turn * per_turn + max(sizes)
        assert done >= min(sum(sizes), turn * per_turn)


def test_turns_in_which_nothing_came_are_not_saved_up() -> None:
    bucket = TokenBucket(10)
    for _ in range(5):
        bucket.renew()

    bucket.spend(10)

    assert not bucket.is_left()
