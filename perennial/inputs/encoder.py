"""Pipeline steps for records of fields: from raw records to a matrix of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from perennial.fields import KINDS, FieldKind
from perennial.fields.base import LARGEST
from perennial.text.normal_form import normal_value

Columns = dict[str, NDArray[Any]]


class FieldReader(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Read raw records, column by column; the first step of a tabular model.

    Parameters
    ----------
    fields : dict of str to str
        The fields of a record with their kinds; each must be there.
    normal_form : bool
        Read categories in normal form, with single spaces, so that one value has one column
        however it was encoded; see `perennial.text.normal_form`.
    """

    def __init__(self, fields: dict[str, FieldKind], *, normal_form: bool = True) -> None:
        self.fields = fields
        self.normal_form = normal_form

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a reader; one that was stored before there was a normal form has none."""
        super().__setstate__({"normal_form": False} | state)

    def fit(self, X: object, y: object = None) -> FieldReader:
        """Return the reader: it learns nothing."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: object) -> Columns:
        """Return the values of each field.

        Parameters
        ----------
        X : sequence of mappings, Arrow struct array, or frame with the fields as columns
            The records, shape (n_documents,).

        Returns
        -------
        dict of str to ndarray, shape (n_documents,) each
            Numbers and booleans as float64, categories as text.

        Raises
        ------
        ValueError
            If a field is missing.
        """
        try:
            return {name: self._column(X, name, kind) for name, kind in self.fields.items()}
        except KeyError as error:
            raise ValueError(f"The inputs have no field {error}.") from None

    def _column(self, records: object, name: str, kind: FieldKind) -> NDArray[Any]:
        values = _values(records, name)
        if self.normal_form and KINDS[kind].is_one_hot:
            # Few values come often.
            plain = {value: normal_value(value) for value in set(values)}
            values = [plain[value] for value in values]
        return KINDS[kind].to_column(values)


class FieldEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Encode the columns of a `FieldReader` as a matrix of numbers.

    A category gets one column of 0 and 1 for each value seen in training; a value that was not
    seen is 0 in all of them.

    Attributes
    ----------
    fields_ : list of str
        The field of each column of the matrix.
    categories_ : dict of str to list of str
        The values of each category, sorted.
    """

    def fit(self, X: Columns, y: object = None) -> FieldEncoder:
        """Learn the values of the categories."""
        self.categories_ = {
            name: sorted(set(values.tolist()))
            for name, values in X.items()
            if values.dtype != np.float64
        }
        self.fields_ = [name for name in X for _ in self.categories_.get(name, [name])]
        return self

    def transform(self, X: Columns) -> NDArray[np.float64]:
        """Return the matrix, shape (n_documents, n_columns)."""
        check_is_fitted(self, "fields_")
        columns = []
        for name, values in X.items():
            known = self.categories_.get(name)
            columns += [values] if known is None else [values == each for each in known]
        matrix = np.column_stack(columns).astype(np.float64, copy=False)
        # Snapshots of the time before that limit may hold larger numbers.
        return np.clip(matrix, -LARGEST, LARGEST, out=matrix)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return each column's name: the field, and for a category its value, too."""
        check_is_fitted(self, "fields_")
        names = [
            f"{name} = {self.categories_[name][place]}" if name in self.categories_ else name
            for name, place in _numbered(self.fields_)
        ]
        return np.asarray(names, dtype=object)


class FieldScaler(StandardScaler):  # type: ignore[misc]
    """Standardise columns, and keep them within the numbers that models take.

    Training has seen some of a column; a number far beyond them is still a number once it is
    scaled, and still answered.
    """

    def transform(self, X: Any, copy: bool | None = None) -> NDArray[np.float64]:
        """Return the scaled matrix, shape (n_documents, n_columns)."""
        with np.errstate(over="ignore"):
            scaled: NDArray[np.float64] = super().transform(X, copy)
        return np.clip(scaled, -LARGEST, LARGEST, out=scaled)


def fields_of(model: Pipeline) -> dict[str, FieldKind] | None:
    """Return the fields of the records that a model takes; None if it takes texts."""
    reader = model.steps[0][1]
    return dict(reader.fields) if isinstance(reader, FieldReader) else None


def _numbered(names: Sequence[str]) -> list[tuple[str, int]]:
    seen: dict[str, int] = {}
    pairs = []
    for name in names:
        pairs.append((name, seen.get(name, 0)))
        seen[name] = pairs[-1][1] + 1
    return pairs


def _values(records: Any, name: str) -> Any:
    if isinstance(records, pa.ChunkedArray):
        records = records.combine_chunks()
    if isinstance(records, pa.StructArray):
        return records.field(name).to_pylist()
    if isinstance(records, Sequence):
        return [record[name] for record in records]
    return records[name]
