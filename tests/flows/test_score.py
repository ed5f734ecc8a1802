"""Scoring a collection or a file: everything once, with the version that is in Production."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from flows.score import score
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.reasons import Reason, ReasonCode
from perennial.registry.client import Registry
from perennial.settings import PROJECT, Settings
from tasks.data.ingest import ingest
from tasks.scoring import file as score_file_module
from tasks.scoring.classifier import Classifier
from tests.conftest import wait_until
from tests.perennial.files.written import write
from tests.small_models import fit_small, register_small

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(scope="module")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory, snippets: list[tuple[str, int]]) -> Path:
    """Return an MLflow database with two versions of the small problem, and no alias yet."""
    models = [fit_small(snippets[:count]) for count in (600, 1000)]
    return register_small(tmp_path_factory.mktemp("registered"), models)


@pytest.fixture
def production(registry: Registry, problem: Problem) -> Any:
    """Version 1, in Production."""
    version = registry.version("reviews", 1)
    registry.promote(version, expected=None)
    return version


@pytest.fixture
def filled(collection: Any, documents: Any) -> Any:
    collection.insert_many(documents(300))
    return collection


@pytest.fixture
def scores(collection: Any) -> Any:
    """The collection of the predictions."""
    return collection.database["reviews_reviews_scores"]


@pytest.fixture
def classified(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each text is classified."""
    counts: Counter[str] = Counter()
    classify = Classifier.classify

    def counting(self: Classifier, inputs: Any) -> Any:
        counts.update(inputs)
        return classify(self, inputs)

    monkeypatch.setattr(Classifier, "classify", counting)
    return counts


def _promote(registry: Registry, number: int) -> None:
    registry.promote(registry.version("reviews", number), expected=registry.production("reviews"))


def test_every_document_gets_what_the_model_says_beside_it(
    production: Any, filled: Any, scores: Any, registry: Registry
) -> None:
    before = datetime.now(UTC)

    scored = score("reviews")

    assert (scored.classified, scored.version, scored.skipped) == (300, 1, {})
    model = registry.load(production)
    found = {prediction["_id"]: prediction for prediction in scores.find()}
    for document in filled.find():
        prediction = found.pop(document["_id"])
        (row,) = model.predict_proba([document["text"]])
        expected = dict(zip(model.classes_, row, strict=True))
        assert prediction["probabilities"] == pytest.approx(expected)
        assert prediction["label"] == max(expected, key=expected.__getitem__)
        assert prediction["version"] == 1
        assert abs((prediction["at"] - before).total_seconds()) < 60
    assert found == {}


def test_only_what_is_new_is_classified(
    production: Any, filled: Any, scores: Any, documents: Any, classified: Counter[str]
) -> None:
    score("reviews")
    stamps = {each["_id"]: each["at"] for each in scores.find()}
    filled.insert_many(documents(50, first=300))
    classified.clear()

    second, third = score("reviews"), score("reviews")

    assert (second.classified, third.classified) == (50, 0)
    assert classified.total() == 50
    assert scores.count_documents({}) == 350
    for prediction in scores.find({"_id": {"$in": list(stamps)}}):
        assert prediction["at"] == stamps[prediction["_id"]]


def test_another_production_classifies_everything_again_and_replaces_the_predictions(
    production: Any, filled: Any, scores: Any, documents: Any, registry: Registry
) -> None:
    score("reviews")
    filled.insert_many(documents(20, first=300))
    _promote(registry, 2)

    scored = score("reviews")

    assert (scored.classified, scored.version) == (320, 2)
    assert scores.count_documents({}) == scores.count_documents({"version": 2}) == 320


def test_again_classifies_what_this_version_has_classified(
    production: Any, filled: Any, scores: Any
) -> None:
    score("reviews")

    scored = score("reviews", again=True)

    assert scored.classified == scores.count_documents({}) == 300


def test_a_document_without_a_text_is_reported_and_harms_no_other(
    production: Any, filled: Any, scores: Any
) -> None:
    filled.insert_many([{"_id": "empty"}, {"_id": "number", "text": 7}, {"_id": 5, "text": "ok"}])

    scored = score("reviews")

    assert scored.classified == 301
    assert scored.skipped == {
        Reason(ReasonCode.MISSING, "text"): 1,
        Reason(ReasonCode.WRONG_TYPE, "text"): 1,
    }
    assert scores.find_one({"_id": 5})["version"] == 1


def test_another_collection_and_query_have_predictions_of_their_own(
    production: Any, filled: Any, documents: Any
) -> None:
    archive = filled.database["archive"]
    archive.insert_many(documents(40, first=400))

    scored = score("reviews", collection="archive", query='{"label": 1}')

    assert scored.classified == archive.count_documents({"label": 1}) == 20
    assert filled.database["archive_reviews_scores"].count_documents({}) == 20


def test_scoring_changes_nothing_for_the_ingestion(
    production: Any, filled: Any, problem: Problem, run_task: Callable[..., Any]
) -> None:
    run_task(ingest, problem)
    untouched = list(filled.find())

    score("reviews")

    assert list(filled.find()) == untouched
    assert not run_task(ingest, problem).accounts.changed


_UNTIL_KILLED = """
import sys, threading
from tasks.scoring import collection as module
from tasks.scoring.classifier import Classifier

module._BATCH = 50
classify, calls = Classifier.classify, []

def counting(self, inputs):
    calls.append(1)
    if len(calls) == 4:
        print("in the middle", flush=True)
        threading.Event().wait()
    return classify(self, inputs)

Classifier.classify = counting
from flows.score import score
score("reviews")
"""


@pytest.mark.e2e
def test_a_run_that_is_killed_is_completed_and_nothing_is_classified_twice(
    production: Any,
    filled: Any,
    scores: Any,
    machine: Settings,
    mongodb_server: str,
    prefect_api: str,
    classified: Counter[str],
) -> None:
    environment = {**os.environ, "PREFECT_API_URL": prefect_api}
    process = subprocess.Popen(
        [sys.executable, "-c", _UNTIL_KILLED],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    # Three batches of 50 are done when the fourth begins, two of them written for certain.
    assert any(b"in the middle" in line for line in process.stdout)
    wait_until(lambda: scores.count_documents({}) == 150, "the third batch is written")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    before = {each["_id"]: each["at"] for each in scores.find()}

    scored = score("reviews")

    assert scored.classified == 150
    assert classified.total() == 150
    assert set(classified.values()) == {1}
    assert not set(classified) & {filled.find_one({"_id": key})["text"] for key in before}
    assert scores.count_documents({}) == 300
    for prediction in scores.find({"_id": {"$in": list(before)}}):
        assert prediction["at"] == before[prediction["_id"]]


def test_without_a_production_model_it_says_what_to_run(filled: Any) -> None:
    with pytest.raises(OutsideError, match=r"no Production model; run `perennial retrain reviews`"):
        score("reviews")


@pytest.mark.parametrize(
    "query",
    ["{", "[1]", '{"$where": "true"}', '{"n": 12345678901234567890}', '{"n": {"$oid": "x"}}'],
)
def test_a_query_that_cannot_be_used_is_named(query: str, production: Any, filled: Any) -> None:
    with pytest.raises(OutsideError, match="--query"):
        score("reviews", query=query)


@pytest.fixture
def texts(tmp_path: Path, documents: Any) -> Path:
    """A Parquet file with 120 rows, one of them without a text."""
    rows = [{"text": each["text"], "number": n} for n, each in enumerate(documents(120))]
    rows[7]["text"] = None
    path = tmp_path / "texts.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_file_gets_its_predictions_beside_its_rows(
    production: Any, texts: Path, tmp_path: Path, registry: Registry
) -> None:
    out = tmp_path / "out.parquet"

    scored = score("reviews", file=texts, out=out)

    assert (scored.classified, scored.skipped) == (119, {Reason(ReasonCode.NULL, "text"): 1})
    result = parquet.read_table(out)
    assert result.select(["text", "number"]).equals(parquet.read_table(texts))
    rows = result.to_pylist()
    assert rows[7]["predicted_label"] is rows[7]["predicted_probabilities"] is None
    model = registry.load(production)
    assert rows[8]["predicted_label"] == model.predict([rows[8]["text"]])[0]
    assert rows[8]["predicted_version"] == 1
    assert sum(rows[8]["predicted_probabilities"].values()) == pytest.approx(1)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_file_is_done_once_per_version(
    production: Any, texts: Path, tmp_path: Path, registry: Registry
) -> None:
    out = tmp_path / "out.parquet"
    score("reviews", file=texts, out=out)
    made = out.read_bytes()

    second = score("reviews", file=texts, out=out)

    assert (second.classified, out.read_bytes()) == (0, made)
    _promote(registry, 2)
    assert score("reviews", file=texts, out=out).version == 2
    assert set(parquet.read_table(out)["predicted_version"].to_pylist()) == {2, None}


def test_a_file_that_was_ended_in_the_middle_goes_on_there(
    production: Any,
    texts: Path,
    tmp_path: Path,
    classified: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(score_file_module, "_PART_ROWS", 25)
    out, written = tmp_path / "out.parquet", []
    write = score_file_module._write

    def write_two(part: Any) -> None:
        if len(written) == 2:
            raise OSError("the disk is full")
        write(part)
        written.append(part)

    monkeypatch.setattr(score_file_module, "_write", write_two)
    with pytest.raises(OSError, match="full"):
        score("reviews", file=texts, out=out)
    assert not out.exists()
    monkeypatch.setattr(score_file_module, "_write", write)
    classified.clear()

    scored = score("reviews", file=texts, out=out)

    assert scored.classified == classified.total() == 70
    assert parquet.read_table(out)["number"].to_pylist() == list(range(120))


def test_a_file_of_somebody_else_is_not_overwritten(
    production: Any, texts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "precious.parquet"
    parquet.write_table(pa.table({"a": [1]}), out)

    with pytest.raises(OutsideError, match=r"precious\.parquet exists and was not written by"):
        score("reviews", file=texts, out=out)


def test_a_file_without_the_column_is_refused_with_the_columns_it_has(
    production: Any, tmp_path: Path
) -> None:
    path = tmp_path / "other.parquet"
    parquet.write_table(pa.table({"body": ["x"]}), path)

    with pytest.raises(OutsideError, match="no column 'text'; it has body"):
        score("reviews", file=path, out=tmp_path / "out.parquet")
    with pytest.raises(OutsideError, match="belong together"):
        score("reviews", file=path)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "csv.gz"])
def test_a_file_of_any_format_is_classified_alike(
    ending: str, production: Any, texts: Path, tmp_path: Path
) -> None:
    rows = [row for row in parquet.read_table(texts).to_pylist() if row["text"] is not None]
    file = write(tmp_path / f"rows.{ending}", rows)

    score("reviews", file=file, out=tmp_path / "out.parquet")
    score("reviews", file=texts, out=tmp_path / "expected.parquet")

    found = parquet.read_table(tmp_path / "out.parquet")
    expected = parquet.read_table(tmp_path / "expected.parquet").filter(
        pc.is_valid(pc.field("text"))
    )
    assert found["text"].to_pylist() == expected["text"].to_pylist()
    for name in ("predicted_label", "predicted_probabilities", "predicted_version"):
        assert found[name].to_pylist() == expected[name].to_pylist()


def test_predictions_are_written_as_csv_with_a_column_for_each_label(
    production: Any, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('body,id\n"A warm, funny film",01\n,02\n', encoding="utf-16")
    out = tmp_path / "out.csv"

    first = score("reviews", file=file, out=out, text_column="body")
    again = score("reviews", file=file, out=out, text_column="body")

    assert first.classified == again.classified == 2
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["body"], row["id"]) for row in rows] == [("A warm, funny film", "01"), ("", "02")]
    assert set(rows[0]) == {
        *("body", "id", "predicted_label", "predicted_version", "predicted_at"),
        *("predicted_probabilities.negative", "predicted_probabilities.positive"),
    }
    shares = [
        float(rows[0][f"predicted_probabilities.{each}"]) for each in ("negative", "positive")
    ]
    assert sum(shares) == pytest.approx(1)
    assert rows[0]["predicted_label"] == ["negative", "positive"][shares[1] > shares[0]]


def test_a_csv_of_somebody_else_or_the_file_itself_is_not_overwritten(
    production: Any, texts: Path, tmp_path: Path
) -> None:
    precious = write(tmp_path / "precious.csv", [{"text": "mine"}])

    with pytest.raises(OutsideError, match=r"precious\.csv exists and was not written by"):
        score("reviews", file=texts, out=precious)
    with pytest.raises(OutsideError, match="is the file that is read; name another one"):
        score("reviews", file=precious, out=precious)
    with pytest.raises(OutsideError, match=r"ends neither with \.parquet nor with \.csv"):
        score("reviews", file=precious, out=tmp_path / "out.xlsx")
    assert precious.read_text().split() == ["text", "mine"]
