"""Stage 3: turn the cleaned texts into a bag of words."""

import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer

from benchmarks.tutorial.files import LABEL, TEXT, Files, parser, save_pickle


def build_features(files: Files, max_features: int | None = None) -> None:
    """Fit the vectoriser on the training part; pickle it and both parts' matrices and labels."""
    train = pd.read_csv(files.clean_train)
    test = pd.read_csv(files.clean_test)
    vectorizer = CountVectorizer(max_features=max_features)
    train_matrix = vectorizer.fit_transform(train[TEXT])
    test_matrix = vectorizer.transform(test[TEXT])
    save_pickle(vectorizer, files.vectorizer)
    save_pickle((train_matrix, train[LABEL].to_numpy()), files.train_features)
    save_pickle((test_matrix, test[LABEL].to_numpy()), files.test_features)


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("--max-features", type=int, help="default: every word")
    options = arguments.parse_args()
    build_features(Files(options.work), options.max_features)


if __name__ == "__main__":
    main()
