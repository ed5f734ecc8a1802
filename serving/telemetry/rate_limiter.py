"""Rate limit per turn, for pieces of work that cannot be divided."""

from __future__ import annotations


class TokenBucket:
    """Token bucket that may be overdrawn by one piece of work; later turns pay the debt back.

    Parameters
    ----------
    per_turn : int
        Tokens that each turn adds; unused ones expire.
    """

    def __init__(self, per_turn: int) -> None:
        self._per_turn = max(1, per_turn)
        self._spent = 0

    def renew(self) -> None:
        """Begin the next turn; tokens left from the last one expire."""
        self._spent = max(0, self._spent - self._per_turn)

    def is_left(self) -> bool:
        """Tell whether another piece may begin."""
        return self._spent < self._per_turn

    def spend(self, amount: int) -> None:
        """Take tokens for a piece of work."""
        self._spent += amount
