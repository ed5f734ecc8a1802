"""Pipeline steps for records of fields: from raw records to a matrix of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from perennial.encoders.blocks import (
    Floats,
    Matrix,
    beside,
    leading,
    row_without,
    stored_whole,
    with_leading,
)
from perennial.encoders.categories import UNKNOWN, CategoryEncoder
from perennial.encoders.ranges import usual_range
from perennial.encoders.texts import TextEncoder
from perennial.encoders.words import WordsEncoder
from perennial.fields import KINDS, FieldKind
from perennial.fields.base import LARGEST, is_nan
from perennial.text.normal_form import normal_value

# From so many columns of categories on the matrix is sparse.
_MOST_DENSE = 128
Encoder: TypeAlias = CategoryEncoder | TextEncoder | WordsEncoder
E = TypeVar("E", CategoryEncoder, WordsEncoder)


@dataclass(frozen=True, eq=False)
class Columns:
    """The values of records, column by column.

    Attributes
    ----------
    values : dict of str to ndarray
        Of each field what `perennial.fields.base.Kind.to_column` returns.
    kinds : mapping of str to str
        The kind of each field.
    """

    values: dict[str, NDArray[Any]]
    kinds: Mapping[str, FieldKind]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def encoded_as(self, encoding: str) -> list[str]:
        """Return the fields that are encoded so, in their order."""
        return [name for name, kind in self.kinds.items() if KINDS[kind].encoding == encoding]


class FieldReader(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Read raw records, column by column; the first step of a tabular model.

    Parameters
    ----------
    fields : dict of str to str
        The fields of a record with their kinds.
    normal_form : bool
        Read categories in normal form, with single spaces, so that one value has one column
        however it was encoded; see `perennial.text.normal_form`.
    required : sequence of str
        The fields that must have a value.
    """

    def __init__(
        self,
        fields: dict[str, FieldKind],
        *,
        normal_form: bool = True,
        required: Sequence[str] = (),
    ) -> None:
        self.fields = fields
        self.normal_form = normal_form
        self.required = required

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a reader, also one of the time before normal forms and missing values."""
        earlier = {"normal_form": False, "required": list(state.get("fields", ()))}
        super().__setstate__(earlier | state)

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

        Raises
        ------
        ValueError
            If a required field is missing.
        """
        try:
            values = {name: self._column(X, name, kind) for name, kind in self.fields.items()}
        except KeyError as error:
            raise ValueError(f"The inputs have no field {error}.") from None
        return Columns(values, self.fields)

    def _column(self, records: object, name: str, kind: FieldKind) -> NDArray[Any]:
        values = _values(records, name, is_required=name in self.required)
        encoding = KINDS[kind].encoding
        if self.normal_form and encoding == "category":
            # Few values come often.
            plain = {value: value and normal_value(value) for value in set(values)}
            values = [plain[value] for value in values]
        elif encoding == "words":
            values = [value and [*map(normal_value, value)] for value in values]
        return KINDS[kind].to_column(values)


class FieldEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Encode the columns of a `FieldReader` as a matrix of numbers.

    The numbers come first, then a column of 0 and 1 for each value of a category, for each word of
    a list, and the weights of texts. The matrix is sparse if there are texts, lists of words or
    many categories.

    Parameters
    ----------
    categories : {"one_hot", "target"}
        With "target" a category is one number, before all others, of which
        `perennial.encoders.target.CategoryTargetEncoder` makes shares of labels.
    min_documents, max_categories : int
        See `perennial.encoders.categories.CategoryEncoder`.
    texts : dict or None
        Parameters of `perennial.encoders.texts.TextEncoder`.

    Attributes
    ----------
    layout_ : list of (str, int)
        The fields in the order of the matrix, each with its number of columns.
    encoders_ : dict of str to object
        The fitted encoders of categories, texts and lists of words.
    is_sparse_ : bool
        Whether matrices are sparse.
    typical_ : ndarray of float64, shape (n_numbers,)
        The median of each number, which are the leading columns; a category's number is that of
        one that is not known.
    usual_ : ndarray of float64, shape (2, n_numbers)
        Between which numbers 98% of the training documents are; absent in older models.
    """

    def __init__(
        self,
        *,
        categories: Literal["one_hot", "target"] = "one_hot",
        min_documents: int = 1,
        max_categories: int | None = None,
        texts: dict[str, Any] | None = None,
    ) -> None:
        self.categories = categories
        self.min_documents = min_documents
        self.max_categories = max_categories
        self.texts = texts

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore an encoder, also one of the time when there were numbers and categories only."""
        values = state.get("categories_")
        if values is not None:
            fields = state["fields_"]
            layout = [(name, fields.count(name)) for name in dict.fromkeys(fields)]
            encoders = {name: CategoryEncoder.of(known) for name, known in values.items()}
            state = {"layout_": layout, "encoders_": encoders, "is_sparse_": False}
            state["typical_"] = np.zeros(0)
            state |= dict.fromkeys(("max_categories", "texts")) | self._DEFAULTS
        super().__setstate__(state)

    _DEFAULTS: ClassVar[dict[str, Any]] = {"categories": "one_hot", "min_documents": 1}

    @property
    def fields_(self) -> list[str]:
        """The field of each column of the matrix."""
        return [name for name, width in self.layout_ for _ in range(width)]

    def fit(self, X: Columns, y: object = None) -> FieldEncoder:
        """Learn the values of the categories, and the words of texts and lists."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Columns, y: object = None) -> Matrix:
        """Learn what `fit` learns; return the matrix of the same records."""
        categories, words, texts = map(X.encoded_as, ("category", "words", "text"))
        self.encoders_: dict[str, Encoder] = {}
        for name in categories:
            self.encoders_[name] = self._limited(CategoryEncoder).fit(X.values[name])
        counts: dict[str, sparse.csr_array] = {}
        for name in (*words, *texts):
            encoder: WordsEncoder | TextEncoder = (
                self._limited(WordsEncoder) if name in words else TextEncoder(**(self.texts or {}))
            )
            counts[name] = encoder.fit_transform(X.values[name])
            self.encoders_[name] = encoder
        numbers = [(name, _width(X.kinds[name])) for name in X.encoded_as("numbers")]
        if self.categories == "target":
            one_hot = []
            numbers = [*((name, 1) for name in categories), *numbers]
        else:
            one_hot = [(name, self.encoders_[name].width) for name in categories]
        counted = [(name, matrix.shape[1]) for name, matrix in counts.items()]
        self.layout_ = [*numbers, *one_hot, *counted]
        self.is_sparse_ = bool(counts) or sum(width for _, width in one_hot) > _MOST_DENSE
        matrix = self._matrix(X, counts)
        leading_numbers = leading(matrix, sum(width for _, width in numbers))
        self.typical_ = self._medians(leading_numbers)
        self.usual_ = usual_range(leading_numbers)
        return matrix

    def _limited(self, kind: type[E]) -> E:
        return kind(min_documents=self.min_documents, max_categories=self.max_categories)

    def _medians(self, numbers: Floats) -> Floats:
        found: Floats = np.zeros(numbers.shape[1])
        some = ~np.isnan(numbers).all(axis=0)
        found[some] = np.nanmedian(numbers[:, some], axis=0)
        if self.categories == "target":
            found[: len(self._categories)] = UNKNOWN
        return found

    def transform(self, X: Columns) -> Matrix:
        """Return the matrix, shape (n_documents, n_columns)."""
        check_is_fitted(self, "layout_")
        return self._matrix(X, {})

    def _matrix(self, columns: Columns, counts: Mapping[str, sparse.csr_array]) -> Matrix:
        """Return the matrix of columns, of which some fields may be encoded already."""
        if not self.is_sparse_:
            parts = [self._dense_part(columns, name) for name, _ in self.layout_]
            return _clipped(np.column_stack(parts))
        numbers, others = [], []
        for name, _ in self.layout_:
            encoder = self.encoders_.get(name)
            if encoder is None or (self.categories == "target" and name in self._categories):
                numbers.append(self._dense_part(columns, name))
            elif name in counts:
                others.append(counts[name])
            else:
                others.append(encoder.transform(columns.values[name]))
        whole = [stored_whole(_clipped(np.column_stack(numbers)))] if numbers else []
        return beside([*whole, *others])

    def _dense_part(self, columns: Columns, name: str) -> Floats:
        encoder, values = self.encoders_.get(name), columns.values[name]
        if not isinstance(encoder, CategoryEncoder):
            return values
        numbers = encoder.numbers(values)
        if self.categories == "target":
            return numbers.astype(np.float64)
        found: Floats = (numbers[:, None] == np.arange(encoder.width)).astype(np.float64)
        return found

    def without(self, row: Matrix, fields: Sequence[str]) -> Matrix:
        """Return a matrix of one row, and below it the same row without each of some fields.

        In the place of a number stands the median of the training documents.
        """
        ends = np.cumsum([0, *(width for _, width in self.layout_)]).tolist()
        places = {name: ends[place : place + 2] for place, (name, _) in enumerate(self.layout_)}
        columns = [places[name] for name in fields]
        if sparse.issparse(row):
            return row_without(row, columns, self.typical_)
        found = np.repeat(row, len(fields) + 1, axis=0)
        for place, (start, end) in enumerate(columns, start=1):
            found[place, start:end] = 0.0
            known = self.typical_[start:end]
            found[place, start : start + len(known)] = known
        return found

    @property
    def _categories(self) -> list[str]:
        encoders = self.encoders_.items()
        return [name for name, encoder in encoders if isinstance(encoder, CategoryEncoder)]

    def unknown(self, record: Mapping[str, Any]) -> list[str]:
        """Return the fields of a record whose category training has not seen."""
        found = []
        for name in self._categories:
            value = record[name]
            if value is None or self.encoders_[name].knows(value):
                continue
            if not self.encoders_[name].knows(normal_value(value)):
                found.append(name)
        return found

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return each column's name: the field, and for a category its value, too."""
        check_is_fitted(self, "layout_")
        names: list[str] = []
        for name, width in self.layout_:
            encoder = self.encoders_.get(name)
            if encoder is None or len(encoder.names()) != width:
                names += [name] if width == 1 else [f"{name} {place}" for place in range(width)]
            else:
                names += [f"{name} = {each}" for each in encoder.names()]
        return np.asarray(names, dtype=object)


class FieldScaler(StandardScaler):  # type: ignore[misc]
    """Standardise numbers, and keep them within those that models take.

    Indicators stay 0 and 1: standardised, a rare category would weigh more than a number does.
    Training has seen some of a column; a number far beyond them is still a number once it is
    scaled, and still answered.

    Parameters
    ----------
    dense : int or None
        How many leading columns hold numbers; the others stay as they are. None stands for all.
    """

    def __init__(self, *, dense: int | None = None) -> None:
        super().__init__()
        self.dense = dense

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a scaler, also one of the time when no matrix of records was sparse."""
        super().__setstate__({"dense": None} | state)

    def fit(self, X: Matrix, y: object = None, sample_weight: object = None) -> FieldScaler:
        """Learn mean and deviation of the columns."""
        numbers = leading(X, X.shape[1] if self.dense is None else self.dense)
        if numbers.shape[1]:
            super().fit(numbers, y, sample_weight)
        else:
            # Texts and indicators alone.
            self.mean_ = self.scale_ = np.zeros(0)
        return self

    def transform(self, X: Matrix, copy: bool | None = None) -> Matrix:
        """Return the scaled matrix, shape (n_documents, n_columns)."""
        # As many as were fitted: older models scaled all columns of a dense matrix.
        numbers = leading(X, len(self.mean_))
        with np.errstate(over="ignore"):
            scaled = (numbers - self.mean_) / self.scale_
        scaled = np.clip(scaled, -LARGEST, LARGEST, out=scaled)
        if sparse.issparse(X):
            return with_leading(X, scaled)
        return np.hstack([scaled, X[:, len(self.mean_) :]])


def fields_of(model: Pipeline) -> dict[str, FieldKind] | None:
    """Return the fields of the records that a model takes; None if it takes texts."""
    reader = model.steps[0][1]
    return dict(reader.fields) if isinstance(reader, FieldReader) else None


def required_of(model: Pipeline) -> tuple[str, ...]:
    """Return the fields without which a model does not answer; none if it takes texts."""
    reader = model.steps[0][1]
    return tuple(reader.required) if isinstance(reader, FieldReader) else ()


def width_of_numbers(fields: Mapping[str, FieldKind]) -> int:
    """Return how many columns of a matrix the numbers of fields have."""
    return sum(_width(kind) for kind in fields.values() if KINDS[kind].encoding == "numbers")


def _width(kind: FieldKind) -> int:
    return len(KINDS[kind].parts) or 1


def _clipped(matrix: Floats) -> Floats:
    # Snapshots of the time before that limit may hold larger numbers.
    matrix = matrix.astype(np.float64, copy=False)
    return np.clip(matrix, -LARGEST, LARGEST, out=matrix)


def _values(records: Any, name: str, *, is_required: bool) -> Sequence[Any]:
    if isinstance(records, pa.ChunkedArray):
        records = records.combine_chunks()
    if isinstance(records, pa.StructArray):
        found: list[Any] = records.field(name).to_pylist()
        return found
    if isinstance(records, Sequence):
        if is_required:
            return [record[name] for record in records]
        return [record.get(name) for record in records]
    if not is_required and name not in records:
        return [None] * len(records)
    values: list[Any] = records[name].tolist()
    # A frame has NaN in the place of what is missing.
    return [None if is_nan(value) else value for value in values]
