"""Stage 1: split labelled texts into a training and a test part, and mark validation documents."""

from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.tutorial.files import LABEL, TEXT, VALIDATION, Files, parser

TEST_SIZE = 0.2
VALIDATION_SIZE = 0.1
SEED = 42


def load(csv: Path) -> pd.DataFrame:
    """Return the rows of `csv` that have a text and a label."""
    return pd.read_csv(csv)[[TEXT, LABEL]].dropna()


def ingest(csv: Path, files: Files) -> None:
    """Shuffle and split `csv`, and write both parts."""
    train, test = train_test_split(load(csv), test_size=TEST_SIZE, random_state=SEED)
    chosen_by = train.sample(frac=VALIDATION_SIZE, random_state=SEED).index
    train[VALIDATION] = train.index.isin(chosen_by)
    files.raw_train.parent.mkdir(parents=True, exist_ok=True)
    train.to_csv(files.raw_train, index=False)
    test.to_csv(files.raw_test, index=False)


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("--csv", type=Path, required=True, help="columns text, label (0 or 1)")
    options = arguments.parse_args()
    ingest(options.csv, Files(options.work))


if __name__ == "__main__":
    main()
