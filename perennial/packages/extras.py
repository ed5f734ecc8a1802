"""Extras: packages that are installed only where a problem asks for what they do."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

Extra = Literal["embeddings"]
_PACKAGES: dict[Extra, tuple[str, ...]] = {"embeddings": ("safetensors", "tokenizers", "wordllama")}


def missing_for(extra: Extra) -> list[str]:
    """Return the packages of an extra that are not installed, none of which is imported."""
    return [name for name in _PACKAGES[extra] if find_spec(name) is None]
