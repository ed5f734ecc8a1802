"""The code beside stored models is on the disk once, and each model is loaded as before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from perennial.registry.client import Registry
from perennial.registry.storage.shared_code import share_code
from perennial.settings import Settings
from tests.small_models import fit_small, register_small

RELEASE, NEXT = b"code of a release" * 100, b"code of the next one" * 100


def archive(artifacts: Path, model: str, content: bytes, *, below: str = "models") -> Path:
    file = artifacts / below / model / "artifacts" / "code" / "perennial.zip"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def inodes(*files: Path) -> int:
    return len({file.stat().st_ino for file in files})


def test_equal_archives_are_one_file_and_others_stay_their_own(tmp_path: Path) -> None:
    old = [archive(tmp_path, f"m-{number}", RELEASE) for number in range(3)]
    old.append(archive(tmp_path, "m-9", RELEASE, below="7/models"))
    new = [archive(tmp_path, f"m-new-{number}", NEXT) for number in range(2)]

    assert share_code(tmp_path) == 3 * len(RELEASE) + len(NEXT)

    assert (inodes(*old), inodes(*new), inodes(*old, *new)) == (1, 1, 2)
    assert {file.read_bytes() for file in old} == {RELEASE}
    assert {file.read_bytes() for file in new} == {NEXT}
    assert share_code(tmp_path) == 0


def test_a_model_that_is_removed_takes_the_code_of_no_other(tmp_path: Path) -> None:
    first, second = (archive(tmp_path, name, RELEASE) for name in ("m-1", "m-2"))
    share_code(tmp_path)

    shutil.rmtree(first.parents[2])

    assert second.read_bytes() == RELEASE
    third = archive(tmp_path, "m-3", RELEASE)
    share_code(tmp_path)
    assert inodes(second, third) == 1


def test_where_there_are_no_links_each_keeps_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [archive(tmp_path, f"m-{number}", RELEASE) for number in range(2)]

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)

    assert share_code(tmp_path) == 0
    assert inodes(*files) == 2
    assert [sorted(file.parent.iterdir()) for file in files] == [[file] for file in files]


def test_nothing_is_shared_where_there_is_nothing(tmp_path: Path) -> None:
    assert share_code(tmp_path / "nowhere") == 0


def test_versions_share_their_code_when_they_are_registered(
    machine: Settings, registry: Registry, snippets: Sequence[tuple[str, int]]
) -> None:
    model = fit_small(snippets[:100])
    register_small(machine.data_dir, [model] * 3)

    stored = list((machine.data_dir / "mlflow" / "artifacts").rglob("code/perennial.zip"))
    assert len(stored) == 3
    assert inodes(*stored) == 1
    registry.remove_version(registry.version("reviews", 1))
    texts = [text for text, _ in snippets[:5]]
    loaded = registry.load(registry.version("reviews", 2))
    assert (loaded.predict_proba(texts) == model.predict_proba(texts)).all()
