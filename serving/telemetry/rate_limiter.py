"""How much may be done per turn, where a piece of work cannot be divided."""

from __future__ import annotations


class TokenBucket:
    """Lets pieces of work begin until a turn is used up; what a piece takes more, later turns miss.

    Parameters
    ----------
    per_turn : int
        How much may be done in a turn, in the long run.
    """

    def __init__(self, per_turn: int) -> None:
        self._per_turn = max(1, per_turn)
        self._spent = 0

    def renew(self) -> None:
        """Begin the next turn; what was left of the last one is lost."""
        self._spent = max(0, self._spent - self._per_turn)

    def is_left(self) -> bool:
        """Tell whether another piece may begin."""
        return self._spent < self._per_turn

    def spend(self, amount: int) -> None:
        """Say how much a piece took."""
        self._spent += amount
