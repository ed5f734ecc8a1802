"""Where each stage leaves what the next one reads, and the command line all stages share."""

import argparse
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXT, LABEL, VALIDATION = "text", "label", "validation"


@dataclass(frozen=True)
class Files:
    """The files of one pipeline under its working folder."""

    work: Path

    @property
    def raw_train(self) -> Path:
        """The training part as it came."""
        return self.work / "raw" / "train.csv"

    @property
    def raw_test(self) -> Path:
        """The test part as it came."""
        return self.work / "raw" / "test.csv"

    def clean_train(self, preparation: str) -> Path:
        """Return where the cleaned training part of a preparation is."""
        return self.work / "clean" / preparation / "train.csv"

    def clean_test(self, preparation: str) -> Path:
        """Return where the cleaned test part of a preparation is."""
        return self.work / "clean" / preparation / "test.csv"

    def vectorizer(self, features: str) -> Path:
        """Return where a fitted vectoriser is."""
        return self.work / "features" / features / "vectorizer.pkl"

    def train_features(self, features: str) -> Path:
        """Return where matrix, labels and validation marks of the training part are."""
        return self.work / "features" / features / "train.pkl"

    def test_features(self, features: str) -> Path:
        """Return where matrix and labels of the test part are."""
        return self.work / "features" / features / "test.pkl"

    def candidate_metrics(self, candidate: str) -> Path:
        """Return where a candidate's figures on the validation documents are."""
        return self.work / "reports" / f"{candidate}.json"

    @property
    def best(self) -> Path:
        """The name of the candidate that was selected."""
        return self.work / "reports" / "best.json"

    @property
    def model(self) -> Path:
        """The fitted classifier."""
        return self.work / "models" / "model.pkl"

    @property
    def metrics(self) -> Path:
        """The figures of the test part."""
        return self.work / "reports" / "metrics.json"

    @property
    def run_info(self) -> Path:
        """Which MLflow run holds the model."""
        return self.work / "reports" / "run_info.json"

    @property
    def tracking_uri(self) -> str:
        """The MLflow store that is used unless another is named."""
        return f"sqlite:///{(self.work / 'mlflow.db').resolve()}"

    @property
    def artifacts(self) -> Path:
        """Where MLflow keeps models; its own default would be the current folder."""
        return self.work / "mlruns"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that already knows `--work`."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--work", type=Path, required=True, help="the pipeline's working folder")
    return result


def save_pickle(value: object, path: Path) -> None:
    """Pickle `value` to `path`, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(value, file)


def load_pickle(path: Path) -> Any:
    """Return what a previous stage pickled."""
    with path.open("rb") as file:
        return pickle.load(file)
