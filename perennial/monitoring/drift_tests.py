"""Drift: tests of whether recent documents still look like those that Production learned from.

A test alone finds any difference if the sample is only large enough, and one of many tests finds
one by chance. So a finding counts as drift when it is significant after Holm's correction for all
tests of the run *and* its size exceeds a limit that does not depend on the sample's size.

SciPy's tests are used directly: Evidently and NannyML wrap the same ones, but bring pandas,
plotting servers and seconds of imports, and neither has a domain classifier whose chance is
measured with refits, or a size and a correction for every test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds
from numpy.typing import NDArray
from scipy import stats

from perennial.monitoring.domain_classifier import Separation
from perennial.monitoring.holm import corrected

Of = Literal["documents", "predictions"]
Floats = NDArray[np.float64]

# More categories than this are the most frequent ones, and the rest together.
_CATEGORIES = 50
_REST = "(others)"
ACCURACY = "accuracy"
# What has come so close to its limit has not gone back to usual.
_NEAR = 0.5


@dataclass(frozen=True)
class DriftTest:
    """One comparison of recent documents or predictions with the reference.

    Attributes
    ----------
    name : str
        What is compared: words, length, unknown_words, labels, confidence, accuracy, or a feature.
    of : {"documents", "predictions"}
        Whose.
    method : str
        The test, and the measure of its size.
    size : float
        How large the difference is.
    limit : float
        From this size on a difference matters.
    p_value : float
        Chance of such a difference if there is none.
    before, now : str
        The reference and the recent sample, for people.
    zero : float
        The size when nothing has changed.
    adjusted : float
        The p-value after correction for all tests of the run.
    drifted : bool
        Whether the difference is significant and large.
    near : bool
        Whether it is significant, and at least half as large as its limit.
    """

    name: str
    of: Of
    method: str
    size: float
    limit: float
    p_value: float
    before: str
    now: str
    zero: float = 0.0
    adjusted: float = 1.0
    drifted: bool = False
    near: bool = False

    @property
    def reach(self) -> float:
        """How far the size reaches towards its limit: 1 is the limit, 0 is no difference."""
        room = self.limit - self.zero
        # A limit of no difference at all is reached by any.
        if room <= 0:
            return float(self.size > self.zero)
        return max(0.0, (self.size - self.zero) / room)

    def __str__(self) -> str:
        what = self.name.replace("_", " ")
        return f"{what} of {self.of} {self.size:.3f} (limit {self.limit:g})"


@dataclass(frozen=True, eq=False)
class Column:
    """The values of one column in the reference and in the recent sample.

    Numbers are ndarrays of float64, categories are lists of any values.
    """

    name: str
    before: Floats | list[object]
    now: Floats | list[object]

    def test(self, of: Of, limit: float) -> DriftTest:
        """Return the comparison that fits the kind of the values."""
        if isinstance(self.before, np.ndarray) and isinstance(self.now, np.ndarray):
            return numbers(self.name, of, self.before, self.now, limit)
        return categories(self.name, of, list(self.before), list(self.now), limit)


def conclude(
    tests: Sequence[DriftTest], significance: float, accuracy_significance: float | None = None
) -> tuple[DriftTest, ...]:
    """Correct the p-values for the number of tests (Holm 1979), and say which ones are drift.

    The chance that any test of a run is significant without a difference is at most `significance`,
    however the tests depend on one another. With an `accuracy_significance` the tests of the
    accuracy are a family of their own: what they ask is what all the others only hint at.
    """
    if accuracy_significance is not None:
        accuracies = [test for test in tests if test.name == ACCURACY]
        others = [test for test in tests if test.name != ACCURACY]
        return (*conclude(others, significance), *conclude(accuracies, accuracy_significance))
    concluded = []
    for test, adjusted in zip(tests, corrected([each.p_value for each in tests]), strict=True):
        drifted = adjusted <= significance and test.size >= test.limit
        near = adjusted <= significance and test.reach >= _NEAR
        concluded.append(replace(test, adjusted=adjusted, drifted=drifted, near=near))
    return tuple(concluded)


def numbers(name: str, of: Of, before: Floats, now: Floats, limit: float) -> DriftTest:
    """Compare numbers by the two-sample Kolmogorov-Smirnov test.

    Its statistic is the size: the largest difference between the two cumulative distributions.
    """
    # The exact distribution takes seconds for thousands of numbers, and differs from the limit in
    # nothing that matters here.
    found = stats.ks_2samp(before, now, method="asymp")
    return DriftTest(
        name,
        of,
        "Kolmogorov-Smirnov distance",
        float(found.statistic),
        limit,
        float(found.pvalue),
        f"median {np.median(before):,.4g}",
        f"median {np.median(now):,.4g}",
    )


def categories(
    name: str, of: Of, before: Sequence[object], now: Sequence[object], limit: float
) -> DriftTest:
    """Compare shares of categories by the chi-square test of homogeneity.

    The size is the total variation distance: the share of the documents that would have to change
    their category. Cramér's V of the same table would shrink when the two samples differ in number,
    and the population stability index knows no empty category.
    """
    names, table = _table(before, now)
    shares = table / table.sum(axis=1, keepdims=True)
    p_value = float(stats.chi2_contingency(table).pvalue) if len(names) > 1 else 1.0
    moved = np.argmax(np.abs(shares[1] - shares[0]))
    return DriftTest(
        name,
        of,
        "chi-square, total variation distance",
        float(np.abs(shares[1] - shares[0]).sum() / 2),
        limit,
        p_value,
        f"{shares[0][moved]:.1%} {names[moved]}",
        f"{shares[1][moved]:.1%} {names[moved]}",
    )


def rates(name: str, of: Of, before: Floats, now: Floats, limit: float) -> DriftTest:
    """Ask whether a rate per document has risen, by Welch's t test; the size is the rise."""
    rise = float(now.mean() - before.mean())
    sides = [(side.mean(), side.std(ddof=1), len(side)) for side in (now, before)]
    if any(spread for _, spread, _ in sides):
        found = stats.ttest_ind_from_stats(
            *sides[0], *sides[1], equal_var=False, alternative="greater"
        )
        p_value = float(found.pvalue)
    else:
        # Two rates that never vary are the same, or could not differ more clearly.
        p_value = 0.0 if rise > 0 else 1.0
    return DriftTest(
        name,
        of,
        "Welch's t, rise of the mean",
        rise,
        limit,
        p_value,
        f"{before.mean():.1%}",
        f"{now.mean():.1%}",
    )


def correctness(
    name: str, of: Of, before: NDArray[np.bool_], now: NDArray[np.bool_], limit: float
) -> DriftTest:
    """Ask whether fewer answers are right, by Fisher's exact test; the size is the fall."""
    table = [[int(now.sum()), int((~now).sum())], [int(before.sum()), int((~before).sum())]]
    return DriftTest(
        name,
        of,
        "Fisher's exact test, fall of the share",
        float(before.mean() - now.mean()),
        limit,
        float(stats.fisher_exact(table, alternative="less").pvalue),
        f"{before.mean():.1%} right",
        f"{now.mean():.1%} right",
    )


def separation(name: str, of: Of, found: Separation, limit: float) -> DriftTest:
    """Return what the domain classifier found as a test; its size is the AUC."""
    return DriftTest(
        name,
        of,
        "domain classifier, AUC",
        found.auc,
        limit,
        found.p_value,
        f"chance gives {found.low:.3f} to {found.high:.3f}",
        f"AUC {found.auc:.3f}",
        zero=0.5,
    )


def columns(before: pa.Table, now: pa.Table) -> Iterator[Column]:
    """Yield each column that both tables have and that can be compared, by its Arrow type.

    Numbers are compared as numbers; strings, booleans and dictionaries as categories; a column of
    structs by its fields. A missing value is a category, and no number; whether numbers are missing
    is compared by itself. Columns of other types, and those without values on one side, are left
    out.
    """
    before, now = _flat(before), _flat(now)
    for name in before.column_names:
        if name not in now.column_names:
            continue
        type_ = before.schema.field(name).type
        if kinds.is_integer(type_) or kinds.is_floating(type_) or kinds.is_decimal(type_):
            sides = [_finite(table[name]) for table in (before, now)]
            if all(len(side) for side in sides):
                yield Column(name, sides[0], sides[1])
            if before[name].null_count or now[name].null_count:
                missing = [table[name].is_null().to_pylist() for table in (before, now)]
                yield Column(f"{name}_missing", missing[0], missing[1])
        elif _is_category(type_) and len(before) and len(now):
            yield Column(name, before[name].to_pylist(), now[name].to_pylist())


def _flat(table: pa.Table) -> pa.Table:
    while any(kinds.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


def _finite(column: pa.ChunkedArray) -> Floats:
    values = column.cast(pa.float64(), safe=False).drop_null().to_numpy()
    finite: Floats = values[np.isfinite(values)]
    return finite


def _is_category(type_: pa.DataType) -> bool:
    return bool(
        kinds.is_string(type_)
        or kinds.is_large_string(type_)
        or kinds.is_boolean(type_)
        or kinds.is_dictionary(type_)
    )


def _table(before: Sequence[object], now: Sequence[object]) -> tuple[list[str], Floats]:
    """Return the categories and how often each occurs, shape (2, n_categories)."""
    sides = [np.array([str(value) for value in side], np.str_) for side in (before, now)]
    names, codes = np.unique(np.concatenate(sides), return_inverse=True)
    counts = np.bincount(codes, minlength=len(names))
    frequent = np.sort(np.argsort(-counts, kind="stable")[:_CATEGORIES])
    code_of = np.full(len(names), len(frequent))
    code_of[frequent] = np.arange(len(frequent))
    width = len(frequent) + (len(names) > len(frequent))
    split = len(sides[0])
    table = np.stack(
        [np.bincount(code_of[part], minlength=width) for part in (codes[:split], codes[split:])]
    )
    shown = [str(name) for name in names[frequent]] + [_REST] * (width - len(frequent))
    return shown, table.astype(np.float64)
