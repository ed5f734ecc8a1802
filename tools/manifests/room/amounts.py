"""Amounts of CPU, memory and pods, as manifests write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from perennial.errors import OutsideError

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_FACTORS = {
    "m": Decimal("0.001"), "": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6),
    "G": Decimal(10**9), "T": Decimal(10**12), "Ki": Decimal(2**10), "Mi": Decimal(2**20),
    "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip
MEBIBYTE = 2**20


def quantity(text: object) -> Decimal:
    """Return the number that a quantity of Kubernetes means.

    Raises
    ------
    OutsideError
        If it is none.
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise OutsideError(f"{text!r} is no quantity of Kubernetes, such as 500m or 2Gi.")
    return Decimal(match[1]) * _FACTORS[match[2] or ""]


@dataclass(frozen=True)
class Amount:
    """An amount of each resource.

    Attributes
    ----------
    cpu : int
        Thousandths of a CPU.
    memory : int
        Bytes.
    pods : int
        A node takes only so many.
    """

    cpu: int = 0
    memory: int = 0
    pods: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cpu + other.cpu, self.memory + other.memory, self.pods + other.pods)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.cpu - other.cpu, self.memory - other.memory, self.pods - other.pods)

    def __str__(self) -> str:
        return f"{self.cpu:,}m CPU, {self.memory // MEBIBYTE:,} MiB"

    def fits(self, room: Amount) -> bool:
        """Return whether it is no more than a room of each resource."""
        return self.cpu <= room.cpu and self.memory <= room.memory and self.pods <= room.pods


def requested(requests: Mapping[str, object]) -> Amount:
    """Return what a container's requests name."""
    cpu, memory = requests.get("cpu", 0), requests.get("memory", 0)
    return Amount(cpu=int(quantity(cpu) * 1000), memory=int(quantity(memory)))


def largest(amounts: Iterable[Amount]) -> Amount:
    """Return the most of each resource: what one container after the other needs."""
    found = list(amounts)
    return Amount(
        cpu=max((each.cpu for each in found), default=0),
        memory=max((each.memory for each in found), default=0),
    )


def total(amounts: Iterable[Amount]) -> Amount:
    """Return the sum."""
    return sum(amounts, Amount())
