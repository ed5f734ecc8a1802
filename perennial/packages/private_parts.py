"""Private parts of libraries that are replaced here, checked before they are.

A new version of a library may change a part that it promises to nobody. Then a program must not
start and half work: it ends with one sentence.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from perennial.errors import OutsideError


@dataclass(frozen=True)
class PrivatePart:
    """An attribute of a library that has to be what this project expects.

    Attributes
    ----------
    library : str
        Name of the distribution.
    module : str
        Module that holds the part.
    name : str
        Attribute of the module, with dots for an attribute of an attribute.
    parameters : tuple of str, optional
        Names of the parameters, in order, if the part is a function; not checked if None.
    """

    library: str
    module: str
    name: str
    parameters: tuple[str, ...] | None = None

    def require(self) -> Any:
        """Return the part.

        Raises
        ------
        OutsideError
            If the library does not have it, or it takes other parameters.
        """
        try:
            holder: Any = import_module(self.module)
            found: Any = reduce(getattr, self.name.split("."), holder)
        except (ImportError, AttributeError):
            raise self._error("does not exist") from None
        if self.parameters is None:
            return found
        try:
            parameters = tuple(inspect.signature(found).parameters)
        except (TypeError, ValueError):
            raise self._error("is no function with a signature") from None
        if parameters != self.parameters:
            raise self._error(
                f"takes ({', '.join(parameters)}) instead of ({', '.join(self.parameters)})"
            )
        return found

    def require_entry(self, key: str, expected: object) -> None:
        """Check the value of a key, if the part is a dictionary.

        Raises
        ------
        OutsideError
            If the library does not have the part, or the value is another one.
        """
        found = self.require()
        value = found.get(key) if isinstance(found, Mapping) else None
        if value != expected:
            raise self._error(f"has {value!r} instead of {expected!r} for {key!r}")

    def require_on(self, instance: object) -> None:
        """Check that an instance of the class has the part, if only instances have it.

        Raises
        ------
        OutsideError
            If it does not.
        """
        if not hasattr(instance, self.name.rpartition(".")[2]):
            raise self._error("does not exist")

    def _error(self, difference: str) -> OutsideError:
        try:
            installed = version(self.library)
        except PackageNotFoundError:
            installed = "(not installed)"
        return OutsideError(
            f"{self.library} {installed} cannot be used: its private part "
            f"{self.module}.{self.name} {difference}; install the version that requirements.txt "
            "pins."
        )
