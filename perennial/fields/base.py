"""The interface of a kind of field."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

# A value of a record.
Value = float | str | bool

_WORDS: Mapping[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "a list",
}


class Kind(ABC):
    """One kind of field, of which there is one instance, ``KIND`` in its module.

    Attributes
    ----------
    name : str
        Name in a problem's file, the same as that of the module.
    position : int
        Place among the kinds in messages and in the description of the API.
    is_one_hot : bool
        Whether a model gets one column of 0 and 1 for each value, instead of the value.
    is_continuous : bool
        Whether the values are quantities, which are drawn against each other.
    """

    name: ClassVar[str]
    position: ClassVar[int]
    is_one_hot: ClassVar[bool] = False
    is_continuous: ClassVar[bool] = False

    @abstractmethod
    def check(self, value: Any) -> Value:
        """Return a value as it is stored; equal values become the same value.

        Raises
        ------
        ValueError
            If the value is not of this kind. The message is a predicate of the field, such as
            "is a text, not a number".
        """

    @abstractmethod
    def arrow_type(self) -> pa.DataType:
        """Return the type of the field in a snapshot."""

    def to_column(self, values: Sequence[Any]) -> NDArray[Any]:
        """Return values as the column that is encoded: text for one-hot, else float64."""
        import numpy as np

        return np.asarray(values, dtype=np.str_ if self.is_one_hot else np.float64)


def describe(value: object) -> str:
    """Return the type of a value in words, as a noun with its article."""
    return _WORDS.get(type(value), type(value).__name__)
