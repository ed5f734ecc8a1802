"""Stage 5: fit the candidate with the best accuracy on the whole training part."""

import json

from benchmarks.tutorial.candidates import candidates
from benchmarks.tutorial.files import Files, load_pickle, parser, save_pickle


def select(files: Files, names: list[str]) -> None:
    """Choose among the candidates, fit the best one again, pickle it, and write its name."""
    metrics = {name: json.loads(files.candidate_metrics(name).read_text()) for name in names}
    best = max(names, key=lambda name: float(metrics[name]["accuracy"]))
    candidate = candidates()[best]
    matrix, labels, _ = load_pickle(files.train_features(candidate.features))
    save_pickle(candidate.estimator.fit(matrix, labels), files.model)
    files.best.write_text(json.dumps(best))


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("candidates", nargs="+", choices=list(candidates()))
    options = arguments.parse_args()
    select(Files(options.work), options.candidates)


if __name__ == "__main__":
    main()
