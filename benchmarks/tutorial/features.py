"""Stage 3: turn the cleaned texts into a bag of words."""

import pandas as pd

from benchmarks.tutorial.candidates import feature_sets
from benchmarks.tutorial.files import LABEL, TEXT, VALIDATION, Files, parser, save_pickle


def build_features(files: Files, name: str) -> None:
    """Fit the vectoriser on the training part; pickle it and both parts' matrices and labels."""
    features = feature_sets()[name]
    train = pd.read_csv(files.clean_train(features.preparation))
    test = pd.read_csv(files.clean_test(features.preparation))
    train_matrix = features.vectorizer.fit_transform(train[TEXT])
    test_matrix = features.vectorizer.transform(test[TEXT])
    save_pickle(features.vectorizer, files.vectorizer(name))
    validation = train[VALIDATION].to_numpy()
    save_pickle((train_matrix, train[LABEL].to_numpy(), validation), files.train_features(name))
    save_pickle((test_matrix, test[LABEL].to_numpy()), files.test_features(name))


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("features", choices=list(feature_sets()))
    options = arguments.parse_args()
    build_features(Files(options.work), options.features)


if __name__ == "__main__":
    main()
