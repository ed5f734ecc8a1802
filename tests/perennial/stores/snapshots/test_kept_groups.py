"""Only documents that are new are compared for near-copies, and what is found is the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from perennial.inputs import near_copies
from perennial.inputs.identity import CURRENT_IDENTITY, content_hashes
from perennial.inputs.near_copies import sketches, with_representatives
from perennial.settings import Settings
from perennial.stores.snapshots.kept_groups import KeptGroups
from tests.perennial.inputs.test_near_copies import made_up

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Retrainings:
    """Retrainings that follow each other, and how many documents each of them has compared."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(data_uri=str(folder))
        self.uri, self.compared, self.erased = str(folder / "reviews"), [0], 0
        found = near_copies._groups

        def counting(values: NDArray[np.uint8], known: NDArray[np.intp]) -> NDArray[np.intp]:
            self.compared.append(len(values) - len(known))
            return found(values, known)

        monkeypatch.setattr(near_copies, "_groups", counting)

    def __call__(self, texts: Sequence[str], days: Sequence[int] | None = None) -> list[bytes]:
        """Return the representatives of texts, which came on these days, in their order."""
        days = range(len(texts)) if days is None else days
        rows = pa.table(
            {
                "created_at": [_BEGINNING + timedelta(days=day) for day in days],
                "content": content_hashes(texts, CURRENT_IDENTITY).cast(pa.binary()),
                "sketch": sketches(texts).cast(pa.binary()),
            }
        )
        kept = KeptGroups(self.uri, self.settings, lambda: range(self.erased))
        found = kept.representatives(rows)["representative"]
        compared = self.compared[-1]
        assert found.equals(with_representatives(rows)["representative"])
        self.compared[-1] = compared
        return found.to_pylist()

    @property
    def files(self) -> list[Path]:
        return [each for each in Path(self.uri).rglob("*") if each.is_file()]


@pytest.fixture
def retrain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Retrainings:
    return Retrainings(tmp_path, monkeypatch)


def _texts() -> list[str]:
    """Return 60 texts, of which the last 20 are near-copies of the first."""
    texts = made_up(1, 40, 30)
    return [*texts, *(f"{text} indeed" for text in texts[:20])]


def test_only_documents_that_are_new_are_compared(retrain: Retrainings) -> None:
    texts = _texts()

    retrain(texts[:50])
    found = retrain(texts)
    retrain(texts)

    assert retrain.compared[1::2] == [50, 10, 0]
    assert found[40:] == found[:20]


def test_an_earlier_snapshot_is_not_compared_again_and_changes_nothing(
    retrain: Retrainings,
) -> None:
    texts = _texts()
    retrain(texts)

    retrain(texts[:45])
    retrain(texts)

    assert retrain.compared[1::2] == [60, 0, 0]


@pytest.mark.parametrize("gone", [0, 30, 59])
def test_documents_after_one_that_is_gone_are_compared_again(
    retrain: Retrainings, gone: int
) -> None:
    texts = _texts()
    retrain(texts)

    retrain([*texts[:gone], *texts[gone + 1 :]])

    assert retrain.compared[1::2] == [60, 59 - gone]


def test_documents_after_one_that_comes_late_are_compared_again(retrain: Retrainings) -> None:
    texts = _texts()
    retrain(texts)

    retrain(
        [*texts, "A text that has a date between all of the others, and is like none of them"],
        [*range(60), 50],
    )

    assert retrain.compared[1::2] == [60, 10]


def test_a_damaged_file_is_not_believed(retrain: Retrainings) -> None:
    retrain(_texts())
    (file,) = retrain.files
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    retrain(_texts())

    assert retrain.compared[1::2] == [60, 60]


def test_nothing_is_kept_that_is_larger_than_all_may_be(retrain: Retrainings) -> None:
    retrain.settings = retrain.settings.model_copy(update={"counts_limit": 100})

    retrain(_texts())

    assert retrain.files == []


def test_what_was_found_during_an_erasure_is_not_kept(
    retrain: Retrainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = near_copies.similarity

    def erasing(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
        retrain.erased = 1
        return found(one, other)

    monkeypatch.setattr(near_copies, "similarity", erasing)

    retrain(_texts())

    assert retrain.files == []
