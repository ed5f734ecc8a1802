"""Stage 4: fit a logistic regression on the training part's bag of words."""

from sklearn.linear_model import LogisticRegression

from benchmarks.tutorial.files import Files, load_pickle, parser, save_pickle


def train(files: Files, *, solver: str = "liblinear", c: float = 1.0) -> None:
    """Fit the classifier and pickle it."""
    matrix, labels = load_pickle(files.train_features)
    model = LogisticRegression(C=c, solver=solver)
    model.fit(matrix, labels)
    save_pickle(model, files.model)


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("--solver", default="liblinear", help="default: %(default)s")
    arguments.add_argument("--C", type=float, default=1.0, help="default: %(default)s")
    options = arguments.parse_args()
    train(Files(options.work), solver=options.solver, c=options.C)


if __name__ == "__main__":
    main()
