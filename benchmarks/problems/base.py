"""What a data set is: the rows of a file, and an expert who knows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Labels = NDArray[np.str_]
# Training rows, their labels and the rows that are asked about; returns the labels of these.
Expert = Callable[[pd.DataFrame, Labels, pd.DataFrame], Labels]


class NotInstalledError(Exception):
    """A package that brings a data set along is not there; the message is its name."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Rows as a file has them, and what an expert does with them.

    Attributes
    ----------
    rows : DataFrame
        One column for each of the file's, the label last.
    expert : callable
        Fits on training rows and labels, and returns labels for other rows.
    metric : {"accuracy", "f1"}
        By what both are judged.
    """

    rows: pd.DataFrame
    expert: Expert
    metric: Literal["accuracy", "f1"] = "accuracy"

    @property
    def label(self) -> str:
        """The column of the labels."""
        return str(self.rows.columns[-1])


Load = Callable[[], DataSet]
Sets = Mapping[str, Load]


def package(name: str) -> Path:
    """Return the folder of a package, which is not imported.

    Raises
    ------
    NotInstalledError
        If it is not installed.
    """
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise NotInstalledError(f"{name} (PyPI)")
    return Path(found.submodule_search_locations[0])


def of_pairs(pairs: list[tuple[str, str]], expert: Expert, **more: Any) -> DataSet:
    """Return texts with their labels."""
    return DataSet(pd.DataFrame(pairs, columns=["text", "label"]), expert, **more)


def label_last(rows: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the same rows, the column of the labels at the end and without an index."""
    others = [name for name in rows.columns if name != label]
    return rows[[*others, label]].reset_index(drop=True)
