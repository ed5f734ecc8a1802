"""A retraining counts only documents that are new, and gets what counting all of them gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from perennial.hashing import digest
from perennial.settings import Settings, get_settings
from perennial.stores.snapshots import arrow_rows, kept_counts
from perennial.stores.snapshots.kept_counts import COUNTS, KeptCounts
from perennial.stores.snapshots.store import SnapshotStore
from perennial.stores.snapshots.tombstones import Tombstone, digest_of_id
from perennial.text.counting.documents import CountedDocuments, count_documents
from perennial.text.ngrams import NgramCounter
from tests.perennial.examples import some_examples, tokens_of
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY

Texts = Sequence[str]
_PLAIN = {"lowercase": True}
TEXTS = ["good film", "bad film", "good cast", "a film with a good cast", "not good", "not a film"]


class Retrainings:
    """Retrainings that follow each other, and which texts each of them has counted."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = SnapshotStore("reviews", settings)
        self.counted: list[list[str]] = []

    def __call__(
        self, texts: Texts, how: dict[str, Any] = _PLAIN, *, bigrams: bool = True
    ) -> tuple[NgramCounter, sparse.csr_array]:
        """Count some texts as a retraining does."""
        kept = KeptCounts(self.store, self.settings)
        done: list[str] = []

        def count(rows: NDArray[np.int64]) -> CountedDocuments:
            done.extend(texts[row] for row in rows)
            return count_documents(_tokens([texts[row] for row in rows]), bigrams=bigrams)

        digests = pa.array([digest(text.encode()) for text in texts], pa.binary())
        parts = kept.parts(digests, {**how, "bigrams": bigrams}, count)
        self.counted.append(done)
        counter = NgramCounter(bigrams=bigrams)
        return counter, counter.fit_counted(parts)

    @property
    def files(self) -> list[Path]:
        """The files of counts, the oldest first."""
        found = (Path(self.store.uri) / COUNTS).rglob("*")
        return sorted((each for each in found if each.is_file()), key=lambda e: e.stat().st_mtime)


def _tokens(texts: Texts) -> Any:
    return tokens_of([text.split() for text in texts])


def _require_same(
    found: tuple[NgramCounter, sparse.csr_array], texts: Texts, *, bigrams: bool = True
) -> None:
    """Require the features and counts, to the last digit, of counting these texts at once."""
    counter = NgramCounter(bigrams=bigrams)
    expected = counter.fit_transform(_tokens(texts))
    assert found[0].words_.tolist() == counter.words_.tolist()
    assert found[0].keys_.tolist() == counter.keys_.tolist()
    for part in ("indptr", "indices", "data"):
        assert getattr(found[1], part).tolist() == getattr(expected, part).tolist()


@pytest.fixture
def retrain(tmp_path: Path) -> Retrainings:
    return Retrainings(Settings(data_uri=str(tmp_path)))


@pytest.fixture
def retrain_on_s3(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> Retrainings:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    return Retrainings(get_settings())


def test_what_was_counted_is_not_counted_again(retrain: Retrainings) -> None:
    retrain(TEXTS[:3])
    found = retrain(TEXTS[1:])
    again = retrain(TEXTS[::-1])

    assert retrain.counted == [TEXTS[:3], TEXTS[3:], []]
    _require_same(found, TEXTS[1:])
    _require_same(again, TEXTS[::-1])


def test_counts_are_kept_on_s3_of_seaweedfs(retrain_on_s3: Retrainings) -> None:
    retrain_on_s3(TEXTS[:3])
    found = retrain_on_s3(TEXTS)

    assert retrain_on_s3.counted == [TEXTS[:3], TEXTS[3:]]
    _require_same(found, TEXTS)


def test_what_does_not_fit_makes_room_on_s3_of_seaweedfs(retrain_on_s3: Retrainings) -> None:
    retrain_on_s3(TEXTS[:3])
    retrain_on_s3.settings = retrain_on_s3.settings.model_copy(update={"counts_limit": 1})
    retrain_on_s3(TEXTS)
    retrain_on_s3(TEXTS)

    assert retrain_on_s3.counted == [TEXTS[:3], TEXTS[3:], TEXTS]


@some_examples
@given(st.lists(st.lists(st.sampled_from(TEXTS), min_size=1, unique=True), max_size=6), st.data())
def test_every_retraining_gets_what_counting_everything_gives(
    times: list[list[str]], data: st.DataObject
) -> None:
    """Whatever has come, gone and come back; whatever became of the files in between."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_counts, "_MANY", data.draw(st.integers(1, 4)))
        retrain = Retrainings(Settings(data_uri=folder))
        for texts in times:
            bigrams = data.draw(st.booleans())
            _require_same(retrain(texts, bigrams=bigrams), texts, bigrams=bigrams)
            if retrain.files and data.draw(st.booleans()):
                _one_byte(data.draw(st.sampled_from(retrain.files)))


def test_what_is_read_in_another_way_is_counted_in_that_way(retrain: Retrainings) -> None:
    retrain(TEXTS)
    retrain(TEXTS, {"lowercase": False})
    retrain(TEXTS, bigrams=False)
    retrain(TEXTS)

    assert retrain.counted == [TEXTS, TEXTS, TEXTS, []]


def test_another_release_counts_anew(retrain: Retrainings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts may have changed with it."""
    retrain(TEXTS)
    monkeypatch.setattr(kept_counts, "_code", lambda: "another release")
    retrain(TEXTS)

    assert retrain.counted == [TEXTS, TEXTS]


def _one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _something_else(path: Path) -> None:
    path.write_bytes(b"no counts at all")


@pytest.mark.parametrize("damage", [_one_byte, _half, _empty, _something_else])
def test_a_damaged_file_is_counted_again_and_replaced(
    damage: Callable[[Path], None], retrain: Retrainings, caplog: pytest.LogCaptureFixture
) -> None:
    retrain(TEXTS)
    (file,) = retrain.files
    damage(file)

    found = retrain(TEXTS)
    again = retrain(TEXTS)

    assert retrain.counted == [TEXTS, TEXTS, []]
    assert file not in retrain.files
    assert f"{file} is damaged and counted again" in caplog.text
    _require_same(found, TEXTS)
    _require_same(again, TEXTS)


def test_every_byte_counts(retrain: Retrainings) -> None:
    """A number that changed on the disk never reaches a model, and a length ends no process."""
    retrain(TEXTS[:3])
    (file,) = retrain.files
    content = file.read_bytes()
    for place in range(0, len(content), 97):
        changed = bytearray(content)
        changed[place] ^= 0x10
        file.write_bytes(changed)

        _require_same(retrain(TEXTS[:3]), TEXTS[:3])

        assert retrain.counted[-1] == TEXTS[:3]
        for each in retrain.files:
            each.unlink()


def test_a_file_that_was_not_finished_is_not_read(retrain: Retrainings) -> None:
    retrain(TEXTS)
    (file,) = retrain.files
    unfinished = file.with_name(f"{file.name}.unfinished")
    file.rename(unfinished)

    retrain(TEXTS)

    assert retrain.counted == [TEXTS, TEXTS]
    assert unfinished.exists()


def test_a_file_for_which_there_is_no_room_on_the_disk_leaves_nothing(
    retrain: Retrainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(arrow_rows, "_trailer", full)

    _require_same(retrain(TEXTS), TEXTS)
    assert retrain.files == []


def test_the_oldest_make_room(retrain: Retrainings) -> None:
    """First those of what nobody counts any more."""
    retrain(TEXTS, {"lowercase": False})
    (old,) = retrain.files
    os.utime(old, (0, 0))
    retrain(TEXTS[:3])
    limit = sum(each.stat().st_size for each in retrain.files)
    retrain.settings = retrain.settings.model_copy(update={"counts_limit": limit})

    retrain(TEXTS)

    assert old not in retrain.files
    assert 0 < sum(each.stat().st_size for each in retrain.files) <= limit
    retrain(TEXTS)
    assert retrain.counted[-1] == []


def test_with_no_room_nothing_is_kept(tmp_path: Path) -> None:
    retrain = Retrainings(Settings(data_uri=str(tmp_path), counts_limit="1B"))
    retrain(TEXTS)
    found = retrain(TEXTS)

    assert retrain.counted == [TEXTS, TEXTS]
    assert retrain.files == []
    _require_same(found, TEXTS)


def test_many_files_become_one_without_what_is_gone(
    retrain: Retrainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_counts, "_MANY", 3)
    for number in range(1, 5):
        found = retrain(TEXTS[:number])
    assert len(retrain.files) == 1
    _require_same(found, TEXTS[:4])

    retrain(TEXTS[3:4])
    assert len(retrain.files) == 1
    retrain(TEXTS)
    assert retrain.counted[-2:] == [[], [*TEXTS[:3], *TEXTS[4:]]]


def test_runs_at_once_keep_what_each_has_counted(retrain: Retrainings) -> None:
    barrier = Barrier(4)

    def at_once(number: int) -> Any:
        barrier.wait(timeout=30)
        return retrain(TEXTS[number : number + 3])

    with ThreadPoolExecutor(4) as threads:
        found = [*threads.map(at_once, range(4))]

    for number, each in enumerate(found):
        _require_same(each, TEXTS[number : number + 3])
    # One run may put files together that another one has just read.
    _require_same(retrain(TEXTS), TEXTS)
    _require_same(retrain(TEXTS), TEXTS)
    assert retrain.counted[-1] == []


def test_who_is_erased_meanwhile_is_not_kept(
    retrain: Retrainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure has looked for files already when this one is written."""
    erased = retrain.store.erased()
    kept = KeptCounts(retrain.store, retrain.settings)
    mark = digest_of_id("reviews", "review-1")
    erased.documents[mark] = Tombstone(mark, datetime.now(UTC), "somebody", "asked for")
    monkeypatch.setattr(SnapshotStore, "erased", lambda _: erased)

    digests = pa.array([digest(text.encode()) for text in TEXTS], pa.binary())
    kept.parts(
        digests,
        _PLAIN,
        lambda rows: count_documents(_tokens([TEXTS[row] for row in rows]), bigrams=True),
    )

    assert retrain.files == []


def test_a_folder_that_cannot_be_used_costs_time_alone(
    retrain: Retrainings, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(retrain.store.uri)
    folder.mkdir(parents=True)
    (folder / COUNTS).write_text("a file where the folder would be", encoding="utf-8")

    found = retrain(TEXTS)

    assert "Counts of documents are not kept" in caplog.text
    _require_same(found, TEXTS)
