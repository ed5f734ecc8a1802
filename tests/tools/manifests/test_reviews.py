"""The reviews of the smoke test on Kubernetes: texts in a ConfigMap, whatever is in them."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from perennial.errors import OutsideError
from perennial.settings import PROJECT
from tools.manifests.kubectl import kubectl
from tools.manifests.reviews import MOST_BYTES, printable, to_csv

# Quotes and dashes of Windows, the rest of the controls, a byte order mark, and no characters.
_REFUSED = [*map(chr, (*range(0x7F, 0xA0), 0, 7, 0x1B)), "\ufeff", "\ufffe", "\uffff", "\ud83d"]
_KEPT = "naïve «œuvre» — “quoted” 你好 नमस्ते 👩‍👩‍👧 \u00a0\u2028\t\ufffd\U0001f600"


def _config_map(folder: Path, content: bytes) -> dict[str, str]:
    """Return the data of the ConfigMap that `kubectl` makes of a file, as the smoke test does."""
    (folder / "reviews.csv").write_bytes(content)
    command = [kubectl(), "create", "configmap", "reviews", "--dry-run=client", "-o", "yaml"]
    done = subprocess.run(
        [*command, f"--from-file={folder / 'reviews.csv'}"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    data: dict[str, str] = YAML(typ="safe").load(done.stdout)["data"]
    return data


@pytest.mark.parametrize("character", _REFUSED, ids=lambda each: f"U+{ord(each):04X}")
def test_a_character_that_yaml_cannot_carry_becomes_a_space(character: str) -> None:
    assert printable(f"a{character}b") == "a b"


def test_all_other_characters_stay() -> None:
    assert printable(_KEPT) == _KEPT


def test_texts_with_such_characters_arrive_in_the_config_map(tmp_path: Path) -> None:
    texts = [f"A dull{each}film, it's all show." for each in _REFUSED] + [_KEPT, 'a "b"\r\nc, d']

    data = _config_map(tmp_path, to_csv({"text": text, "label": 0, "x": 1} for text in texts))

    rows = list(csv.DictReader(io.StringIO(data["reviews.csv"], newline="")))
    assert [row["text"] for row in rows] == [printable(text) for text in texts]
    assert {row["label"] for row in rows} == {"0"}
    assert rows[0].keys() == {"text", "label"}


def test_the_reviews_of_the_smoke_test_fit_into_a_config_map(tmp_path: Path) -> None:
    file = tmp_path / "written.csv"
    command = [sys.executable, "-m", "tools.manifests.reviews", str(file)]
    subprocess.run(command, cwd=PROJECT, check=True, timeout=300)

    data = _config_map(tmp_path, file.read_bytes())

    rows = list(csv.DictReader(io.StringIO(data["reviews.csv"], newline="")))
    assert len(rows) > 2_000
    assert {row["label"] for row in rows} == {"0", "1"}
    assert file.stat().st_size < MOST_BYTES


def test_more_than_a_config_map_holds_is_refused_with_the_figures() -> None:
    with pytest.raises(OutsideError, match=r"take [\d,]+ bytes and a ConfigMap holds 1,048,576"):
        to_csv({"text": "x" * 2_000, "label": 0} for _ in range(600))
