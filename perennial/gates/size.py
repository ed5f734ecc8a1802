"""Size: how large the model's registered file may be."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from perennial.gates.base import NOT_MEASURED, Comparison, Evidence, Gate, GateResult
from perennial.schema import Schema

_MEGABYTE = 1_000_000


class Size(Schema):
    """How large the registered file of the model may be."""

    megabytes: float = Field(gt=0, description="of 1,000,000 bytes")


class SizeKeys(Schema):
    """The key ``size``."""

    size: Size | None = None


class SizeGate(Gate[SizeKeys, int]):
    """Requires that the registered file is small enough; an unknown size does not pass."""

    name = "size"
    position = 70
    keys = SizeKeys
    looks_at = "registry"
    in_every_digest = True
    examples = (
        (
            "`size: {megabytes: 100}`",
            "the registered file is larger",
        ),
    )

    def look_up(self, asked: SizeKeys, comparison: Comparison) -> int | None:
        """Return the size of the registered file in bytes."""
        return None if asked.size is None else comparison.version.file_bytes

    def judge(
        self, asked: SizeKeys, evidence: Evidence, measured: int | None
    ) -> Iterator[GateResult]:
        """Yield one result if the problem limits the size."""
        if asked.size is None:
            return
        yield GateResult(
            name="size",
            passed=measured is not None and measured <= asked.size.megabytes * _MEGABYTE,
            found=NOT_MEASURED if measured is None else f"{measured / _MEGABYTE:.1f} MB",
            required=f"at most {asked.size.megabytes:g} MB",
        )


GATE = SizeGate()
