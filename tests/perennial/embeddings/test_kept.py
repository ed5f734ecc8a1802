"""Vectors are kept: what was embedded once is known to the next run, and forgotten when asked."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.embeddings.kept import KeptVectors, forget_vectors, keep, kept_vectors, nothing_kept

PLENTY = 2**30
WIDTH = 384
Embed = Callable[[Sequence[str]], np.ndarray]


def _vector(text: str) -> np.ndarray:
    drawn = np.random.default_rng(list(text.encode()))
    return drawn.normal(size=WIDTH).astype(np.float32)


def _embed(texts: Sequence[str]) -> np.ndarray:
    return np.vstack([_vector(text) for text in texts])


def _texts(first: int, last: int) -> list[str]:
    return [f"text {number}" for number in range(first, last)]


def _run(folder: Path, texts: Sequence[str], limit: int = PLENTY) -> tuple[int, int]:
    """Return how many of some texts a run embeds, and how many it knows."""
    kept = KeptVectors(folder, limit)
    found = kept.of("weights", texts, _embed)
    np.testing.assert_array_equal(found, _embed(texts))
    return kept.embedded, kept.known


def _file(folder: Path) -> Path:
    (found,) = folder.glob("cache/*.sqlite")
    return found


def test_a_second_run_embeds_only_what_is_new(tmp_path: Path) -> None:
    assert _run(tmp_path, _texts(0, 30)) == (30, 0)
    assert _run(tmp_path, _texts(20, 35)) == (5, 10)
    assert _run(tmp_path, _texts(0, 35)) == (0, 35)


def test_a_text_that_is_asked_for_again_in_a_run_is_counted_once(tmp_path: Path) -> None:
    _run(tmp_path, _texts(0, 3))
    kept = KeptVectors(tmp_path, PLENTY)

    for _ in range(2):
        kept.of("weights", _texts(0, 5), _embed)

    assert (kept.embedded, kept.known) == (2, 3)


def test_other_weights_have_vectors_of_their_own(tmp_path: Path) -> None:
    kept = KeptVectors(tmp_path, PLENTY)
    kept.of("weights", ["a text"], _embed)

    other = kept.of("others", ["a text"], lambda texts: -_embed(texts))

    np.testing.assert_array_equal(other, -_embed(["a text"]))
    assert kept.embedded == 2


@settings(max_examples=20)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True))
def test_every_text_gets_its_own_vector(texts: list[str]) -> None:
    from tempfile import TemporaryDirectory

    said = [text for text in texts if text.encode("utf-8", "ignore").decode() == text] or ["none"]
    with TemporaryDirectory() as folder:
        assert _run(Path(folder), said) == (len(said), 0)
        assert _run(Path(folder), said[::-1]) == (0, len(said))


def test_no_text_can_be_read_in_the_file(tmp_path: Path) -> None:
    _run(tmp_path, ["somebody has said this"])

    assert all(b"somebody" not in path.read_bytes() for path in tmp_path.rglob("*.sqlite*"))


def test_the_vectors_that_were_used_the_longest_time_ago_are_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, day = 260_000, 20_000
    monkeypatch.setattr("perennial.embeddings.kept._today", lambda: day)
    _run(tmp_path, _texts(0, 100), limit)
    day += 1
    assert _run(tmp_path, _texts(0, 50), limit) == (0, 50)
    day += 1

    _run(tmp_path, _texts(100, 180), limit)

    assert _file(tmp_path).stat().st_size < 2 * limit
    assert _run(tmp_path, _texts(100, 180), limit) == (0, 80)
    embedded_of_used, _ = _run(tmp_path, _texts(0, 50), PLENTY)
    embedded_of_others, _ = _run(tmp_path, _texts(50, 100), PLENTY)
    assert embedded_of_used < embedded_of_others == 50


def test_more_texts_than_there_is_room_for_are_embedded_all_the_same(tmp_path: Path) -> None:
    assert _run(tmp_path, _texts(0, 300), 100_000) == (300, 0)

    embedded, known = _run(tmp_path, _texts(0, 300), 100_000)
    assert embedded + known == 300
    assert 0 < known < 100


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    parts = [_texts(start, start + 600) for start in (0, 300)]

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        counts = list(processes.map(partial(_run, tmp_path), parts))

    assert all(embedded + known == 600 for embedded, known in counts)
    assert _run(tmp_path, _texts(0, 900)) == (0, 900)


def _overwritten(file: Path) -> None:
    file.write_bytes(b"this is no database at all" * 100)


def _damaged_inside(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:6_000])


@pytest.mark.parametrize("damage", [_overwritten, _damaged_inside, _cut])
def test_a_damaged_file_is_made_anew_with_a_warning(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _run(tmp_path, _texts(0, 20))
    damage(_file(tmp_path))

    with caplog.at_level(logging.WARNING):
        assert _run(tmp_path, _texts(0, 20)) == (20, 0)

    assert "vectors.sqlite is damaged" in caplog.text
    assert _run(tmp_path, _texts(0, 20)) == (0, 20)


def test_a_folder_that_cannot_be_used_ends_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file in its place")

    assert _run(tmp_path, _texts(0, 5)) == (5, 0)

    assert "Vectors are not kept" in caplog.text


def test_forgetting_removes_every_vector_from_the_disk(tmp_path: Path) -> None:
    _run(tmp_path, _texts(0, 20))
    there = _vector("text 7").tobytes()
    assert any(there in path.read_bytes() for path in tmp_path.rglob("*.sqlite*"))

    assert forget_vectors(tmp_path) == 20

    assert all(there not in path.read_bytes() for path in tmp_path.rglob("*.sqlite*"))
    assert _run(tmp_path, _texts(0, 20)) == (20, 0)


def test_a_run_that_began_before_adds_nothing_after_forgetting(tmp_path: Path) -> None:
    kept = KeptVectors(tmp_path, PLENTY)
    kept.of("weights", _texts(0, 5), _embed)
    forget_vectors(tmp_path)

    kept.of("weights", _texts(0, 10), _embed)

    with sqlite3.connect(_file(tmp_path)) as file:
        assert file.execute("SELECT count(*) FROM vectors").fetchone() == (0,)
    assert _run(tmp_path, _texts(0, 10)) == (10, 0)


def test_nothing_to_forget_makes_no_file(tmp_path: Path) -> None:
    assert forget_vectors(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_vectors_are_kept_in_their_context_alone(tmp_path: Path) -> None:
    keep("weights", ["outside"], _embed)
    with kept_vectors(tmp_path, PLENTY) as kept:
        keep("weights", ["inside"], _embed)
        with nothing_kept():
            keep("weights", ["measured"], _embed)
    keep("weights", ["afterwards"], _embed)

    assert kept.embedded == 1
    assert _run(tmp_path, ["inside", "outside", "measured", "afterwards"]) == (3, 1)
