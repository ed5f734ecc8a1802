"""Peers: what other libraries take for the same texts, on the same split and tuned alike.

Each is a process of its own that reads texts from a Parquet file, learns from those in the first
column of a split and answers the others. Before, it chooses its penalty among five by
cross-validation on fewer texts, which is not measured.
"""

from __future__ import annotations

import json
import re
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from rich.console import Console
from rich.table import Table

from benchmarks.common import clean_environment, interleave, run_module
from benchmarks.scaling.corpora import CORPORA
from benchmarks.scaling.retraining import PROBLEM, holds
from perennial.settings import PROJECT

PEERS_SIZE, TUNED_ON = 400_000, 25_000
CLAIMED_CPU, CLAIMED_ACCURACY = 1.2, 0.002
_FOLDS, _HELD_OUT, _TRIED = 3, 5, 1_000
_OURS, _FASTEST = "ours", "vowpal wabbit"
Codes = NDArray[np.int64]


class Peer:
    """A way from texts to answers."""

    penalties: Sequence[float]

    @abstractmethod
    def answers(self, texts: pa.Array, codes: Codes, others: pa.Array, penalty: float) -> Codes:
        """Learn from texts with their classes, and return the classes of others."""


class TfidfRegression(Peer):
    """scikit-learn: tf-idf of words and pairs of words, and logistic regression."""

    penalties = (0.1, 0.5, 2.0, 8.0, 32.0)

    def answers(self, texts: pa.Array, codes: Codes, others: pa.Array, penalty: float) -> Codes:
        """See `Peer`."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        words = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, dtype=np.float32)
        model = LogisticRegression(C=penalty, solver="liblinear", dual=True, tol=0.01)
        model.fit(words.fit_transform(texts.to_pylist()), codes)
        return np.asarray(model.predict(words.transform(others.to_pylist())))


class HashedDescent(Peer):
    """scikit-learn: hashed words and pairs of words, and stochastic gradient descent."""

    penalties = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5)

    def answers(self, texts: pa.Array, codes: Codes, others: pa.Array, penalty: float) -> Codes:
        """See `Peer`."""
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.linear_model import SGDClassifier

        words = HashingVectorizer(ngram_range=(1, 2), alternate_sign=False)
        model = SGDClassifier(loss="log_loss", alpha=penalty, random_state=0)
        model.fit(words.transform(texts.to_pylist()), codes)
        return np.asarray(model.predict(words.transform(others.to_pylist())))


class VowpalWabbit(Peer):
    """Vowpal Wabbit: hashed words and pairs of words, learned from as they come, once."""

    penalties = (0.0, 1e-9, 1e-8, 1e-7, 1e-6)

    def answers(self, texts: pa.Array, codes: Codes, others: pa.Array, penalty: float) -> Codes:
        """See `Peer`."""
        vowpalwabbit = import_module(_PACKAGES[_FASTEST])
        model = vowpalwabbit.Workspace(
            f"--quiet --loss_function logistic -b 22 --ngram 2 --l2 {penalty}"
        )
        for text, code in zip(texts.to_pylist(), codes.tolist(), strict=True):
            model.learn(f"{2 * code - 1} | {_words(text)}")
        found = [model.predict(f"| {_words(text)}") > 0 for text in others.to_pylist()]
        model.finish()
        return np.array(found, np.int64)


class Ours(Peer):
    """A retraining's normalisation, counting and fit, and its model's answers."""

    penalties = (0.1, 0.5, 2.0, 10.0, 50.0)

    def answers(self, texts: pa.Array, codes: Codes, others: pa.Array, penalty: float) -> Codes:
        """See `Peer`."""
        from perennial.config.loader import load_problem
        from perennial.training.fitting import compact, fit
        from perennial.training.pipelines import (
            assemble,
            build_classifier,
            build_counter,
            build_normalizer,
        )

        problem = load_problem(PROJECT / "problems" / f"{PROBLEM}.yaml").for_retraining()
        (name, candidate), *_ = problem.candidates.items()
        normalizer: Any = build_normalizer(problem, candidate)
        counter: Any = build_counter(candidate.features)
        matrix = compact(counter.fit_transform(normalizer.transform(texts)))
        classifier = build_classifier(problem, name)
        classifier[-1].set_params(C=penalty)
        fit(classifier, matrix, codes.astype(np.str_))
        model = assemble(normalizer, counter, classifier)
        return np.asarray(model.predict(others)).astype(np.int64)


PEERS: Mapping[str, Callable[[], Peer]] = {
    _OURS: Ours,
    "scikit-learn, tf-idf": TfidfRegression,
    "scikit-learn, hashing": HashedDescent,
    _FASTEST: VowpalWabbit,
}
_PACKAGES: Mapping[str, str] = {_FASTEST: "vowpalwabbit"}


def _words(text: str) -> str:
    """Return the words of a text alone: other signs mean something to Vowpal Wabbit."""
    return " ".join(re.findall(r"\w+", text.lower()))


def run_here(name: str, file: str, penalty: str) -> None:
    """Tune a peer in this process, or let it learn and answer, and print what came of it as JSON.

    What is measured is work on the texts, from reading them: libraries are imported before, and
    have answered a few.
    """
    if name == _OURS:
        # As the flows do.
        from perennial.local.malloc import keep_freed

        keep_freed()
    peer = PEERS[name]()
    if not penalty:
        print(json.dumps({"penalty": _tuned(peer, parquet.read_table(file))}))
        return
    _tried(peer, parquet.read_table(file).slice(0, _TRIED), float(penalty))
    start = time.process_time()
    rows = parquet.read_table(file)
    texts, codes = rows["text"].combine_chunks(), rows["code"].to_numpy()
    is_holdout = np.arange(len(codes)) % _HELD_OUT == 0
    accuracy = _accuracy(peer, texts, codes, is_holdout, float(penalty))
    print(json.dumps({"accuracy": accuracy, "work": time.process_time() - start}))


def _tuned(peer: Peer, rows: pa.Table) -> float:
    """Return the penalty that does best in cross-validation."""
    texts, codes = rows["text"].combine_chunks(), rows["code"].to_numpy()
    folds = np.arange(len(codes)) % _FOLDS

    def accuracy(penalty: float) -> float:
        parts = [_accuracy(peer, texts, codes, folds == each, penalty) for each in range(_FOLDS)]
        return float(np.mean(parts))

    return max(peer.penalties, key=accuracy)


def _tried(peer: Peer, rows: pa.Table, penalty: float) -> None:
    texts, codes = rows["text"].combine_chunks(), rows["code"].to_numpy()
    peer.answers(texts, codes, texts, penalty)


def _accuracy(
    peer: Peer, texts: pa.Array, codes: Codes, is_holdout: NDArray[np.bool_], penalty: float
) -> float:
    learned, others = pa.array(~is_holdout), pa.array(is_holdout)
    found = peer.answers(texts.filter(learned), codes[~is_holdout], texts.filter(others), penalty)
    return float((found == codes[is_holdout]).mean())


def measure_peers(texts: str, size: int, rounds: int, packages: Path | None) -> dict[str, Any]:
    """Tune every peer that is installed, then measure each in every round."""
    with TemporaryDirectory() as name:
        scratch = Path(name)
        few, many = (_write(scratch, texts, count) for count in (min(TUNED_ON, size), size))
        environment = clean_environment(scratch)
        if packages is not None:
            environment["PYTHONPATH"] = str(packages)

        def run(peer: str, file: Path, penalty: str) -> dict[str, float]:
            log = scratch / "peer.log"
            arguments = ["benchmarks.scaling", "--peer", peer, str(file), penalty]
            usage = run_module(arguments, environment, log)
            said: dict[str, float] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
            return said | {"cpu": usage.cpu, "peak_mb": usage.peak_mb}

        there = [peer for peer in PEERS if peer not in _PACKAGES or _is_there(peer, packages)]
        penalties = {peer: run(peer, few, "")["penalty"] for peer in there}
        ways = {peer: lambda peer=peer: run(peer, many, str(penalties[peer])) for peer in there}
        measured = interleave(rounds, ways)
    figures = {
        peer: {
            "penalty": penalties[peer],
            **{key: median(each[key] for each in found) for key in found[0]},
        }
        for peer, found in measured.items()
    }
    skipped = {peer: _PACKAGES[peer] for peer in PEERS if peer not in there}
    return {"texts": texts, "documents": size, "peers": figures, "skipped": skipped}


def _is_there(peer: str, packages: Path | None) -> bool:
    from importlib.machinery import PathFinder

    paths = None if packages is None else [str(packages)]
    return PathFinder.find_spec(_PACKAGES[peer], paths) is not None


def _write(folder: Path, texts: str, count: int) -> Path:
    documents = [*CORPORA[texts].read().documents(count)]
    path = folder / f"{count}.parquet"
    columns = {"text": [text for text, _ in documents], "code": [code for _, code in documents]}
    parquet.write_table(pa.table(columns), path)
    return path


def show_peers(figures: Mapping[str, Any]) -> None:
    """Print what each took and reached, and what is claimed of ours."""
    table = Table(
        title=f"{figures['documents']:,} {figures['texts']} texts, a fifth of them held out",
        title_justify="left",
    )
    for name in ("", "penalty", "CPU, s", "of the process", "memory, MB", "accuracy"):
        table.add_column(name, justify="right" if name else "left")
    for name, found in figures["peers"].items():
        cells = (f"{found['work']:.1f}", f"{found['cpu']:.1f}", f"{found['peak_mb']:.0f}")
        table.add_row(name, f"{found['penalty']:g}", *cells, f"{found['accuracy']:.4f}")
    console = Console()
    console.print(table)
    for name, package in figures["skipped"].items():
        console.print(f"{name}: skipped, {package} is not installed")
    for line in _claims(figures["peers"]):
        console.print(line)


def _claims(peers: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    ours = peers[_OURS]
    if _FASTEST in peers:
        ratio = ours["work"] / peers[_FASTEST]["work"]
        yield (
            f"Ours takes {ratio:.2f} times the processor time of {_FASTEST} "
            f"(claimed: at most {CLAIMED_CPU}): {holds(ratio <= CLAIMED_CPU)}"
        )
    best = max(found["accuracy"] for name, found in peers.items() if name != _OURS)
    yield (
        f"Its accuracy is {ours['accuracy'] - best:+.4f} beside that of the best peer "
        f"(claimed: at least -{CLAIMED_ACCURACY}): "
        f"{holds(ours['accuracy'] >= best - CLAIMED_ACCURACY)}"
    )
