"""The part ``gates:`` of a problem's file, assembled from the keys of every gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from perennial.gates.catalogue import key_schemas, optional_keys

if TYPE_CHECKING:
    from perennial.gates.approval import ApprovalKeys
    from perennial.gates.better import BetterKeys
    from perennial.gates.cases import CasesKeys
    from perennial.gates.confirmation import ConfirmationKeys
    from perennial.gates.slices import SlicesKeys

    # The keys that other code than the gates reads.
    class _Keys(ApprovalKeys, ConfirmationKeys, SlicesKeys, CasesKeys, BetterKeys): ...

else:
    # Pydantic collects the fields of bases from the last one to the first.
    _Keys = type("_Keys", tuple(reversed(key_schemas())), {"__module__": __name__})


class Gates(_Keys):
    """What a challenger must show before it becomes Production."""

    @model_serializer(mode="wrap")
    def _leave_out_optional_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write the keys of later gates only where they ask for something.

        The digest of a problem must not change because the code has one gate more.
        """
        written: dict[str, Any] = serialize(self)
        default = type(self)()
        absent = {key for key in optional_keys() if getattr(self, key) == getattr(default, key)}
        return {key: value for key, value in written.items() if key not in absent}
